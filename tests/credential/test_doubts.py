"""What the queue learns from a doubt about a key."""

import asyncio

from prometheus_client import CollectorRegistry

from inventiv_operator.controllers.credential.doubts import Doubts
from inventiv_operator.controllers.credential.schedule import ValidationSchedule
from inventiv_operator.kube.kinds import CREDENTIAL, DEPLOYMENT
from inventiv_operator.runtime.queue import DONE, Key, QueueKey, Result, WorkQueue
from inventiv_operator.runtime.queue_metrics import QueueMetrics
from tenant_rig.bench import Bench


async def test_T6_a_closing_credential_does_not_keep_its_namespace_in_the_former_tenants_line(
    bench: Bench,
) -> None:
    await bench.made()
    bench.cluster.delete(CREDENTIAL, bench.name, "scaleway")
    await bench.settle_credential()
    row = await bench.row()
    assert row.state == "closing", "its namespace can be another's from here on"
    queue = WorkQueue(clock=bench.clock, metrics=QueueMetrics(CollectorRegistry()), workers=8)
    begun: list[QueueKey] = []

    async def step(key: QueueKey, *, deadline_s: float) -> Result:
        begun.append(key)
        await bench.clock.sleep(max(0.0, deadline_s - bench.clock.monotonic()))
        return DONE

    for number in range(6):  # more than the former tenant's share of the workers
        queue.add(Key(DEPLOYMENT.kind, "elsewhere", f"busy-{number}"), organization=str(row.organization_id))
    Doubts(ValidationSchedule(bench.clock), enqueue=queue.add)(row)
    of_the_next = Key(DEPLOYMENT.kind, bench.name, "llama")
    queue.add(of_the_next)
    running = asyncio.create_task(queue.run(step))
    await bench.clock.sleep(1.0)
    assert sum(key.namespace == "elsewhere" for key in begun) == 2
    assert {bench.key(), of_the_next} <= set(begun)
    await queue.drain(timeout_s=0.0)
    await running

"""T1: the platform team hands a namespace to another tenant while a deployment in it is begun with the seeded
credential, which no object in the namespace holds.
"""

from typing import Any

import pytest

from credential.process import deployments_of
from inventiv_operator.controllers.tenancy import Tenancy
from inventiv_operator.kube.kinds import DEPLOYMENT, NAMESPACE
from inventiv_operator.store.errors import Conflict
from scaleway_simulator.billing import billed
from seeding.conftest import SeedBench

SHARED = "shared"


async def hand_over(at: SeedBench, *, to: str) -> None:
    """From the default organization."""
    at.put_organization(namespaces=[at.bench.name])
    await at.settle()
    at.bench.put_organization(to, namespaces=[SHARED])
    await at.bench.settle_organization(to)
    assert at.bench.said_of_organization(to)[:2] == ("True", "Ready")


async def test_T1_a_deployment_on_its_way_does_not_run_in_the_project_of_the_tenant_before(
    at: SeedBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await at.seeded()
    at.bench.cluster.put(NAMESPACE, "", SHARED)
    at.put_organization(namespaces=[at.bench.name, SHARED])
    await at.settle()
    default, at.bench.name = at.bench.name, SHARED  # where deployments are applied
    made = deployments_of(at.bench)
    made.apply("llama", replicas=1)
    await made.step("llama")  # the finalizer
    credential_for = Tenancy.credential_for

    async def meanwhile(self: Tenancy, *where: Any, **more: Any) -> Any:
        found = await credential_for(self, *where, **more)
        monkeypatch.undo()
        at.bench.name = default
        await hand_over(at, to="umbrella")
        at.bench.name = SHARED
        return found

    monkeypatch.setattr(Tenancy, "credential_for", meanwhile)
    with pytest.raises(Conflict):
        await made.step("llama")
    for _ in range(10):
        await at.bench.clock.sleep(await made.step("llama"))
    said = at.bench.cluster.condition(DEPLOYMENT, SHARED, "llama")
    assert (said["status"], said["reason"]) == ("False", "MissingProviderCredentials")
    assert await at.bench.tenancy.deployment_rows(SHARED, "llama") == ()
    at.bench.world.settle()
    assert billed(at.bench.world)["servers"] == []

"""`spec.settings` of an Organization: the defaults of its credentials and deployments (S1, S8)."""

from uuid import uuid4

import pytest

from inventiv_operator.kube.errors import Unavailable
from inventiv_operator.kube.kinds import DEPLOYMENT, NAMESPACE
from inventiv_operator.runtime.queue import Key
from rig.fixtures import Premises
from tenant_rig.bench import Bench
from tenant_rig.settings_of import REFUSED, of_organization, stricter, told

SETTINGS = {
    "instanceStartupTimeoutSeconds": 600,
    "workerInstanceStartupTimeoutSeconds": 7200,
    "workerHealthPort": 9000,
    "workerVLLMPort": 9001,
    "workerDataVolumeGB": 500,
    "workerExposePorts": True,
    "workerVLLMImage": "vllm/vllm-openai:v0.13.0",
}


async def test_S1_every_setting_is_stored_changed_and_taken_back(bench: Bench) -> None:
    await bench.claimed()
    assert await of_organization(bench) == {}
    bench.put_organization(settings=SETTINGS)
    await bench.settle_organization()
    assert bench.said_of_organization()[:2] == ("True", "Ready")
    assert await of_organization(bench) == {
        "INSTANCE_STARTUP_TIMEOUT_S": 600,
        "WORKER_INSTANCE_STARTUP_TIMEOUT_S": 7200,
        "WORKER_HEALTH_PORT": 9000,
        "WORKER_VLLM_PORT": 9001,
        "WORKER_DATA_VOLUME_GB_DEFAULT": 500,
        "WORKER_EXPOSE_PORTS": True,
        "WORKER_VLLM_IMAGE": "vllm/vllm-openai:v0.13.0",
    }
    bench.put_organization(settings={"workerHealthPort": 9002, "workerExposePorts": False})
    await bench.settle_organization()
    assert await of_organization(bench) == {"WORKER_HEALTH_PORT": 9002, "WORKER_EXPOSE_PORTS": False}
    bench.put_organization()
    await bench.settle_organization()
    assert await of_organization(bench) == {}


async def test_S1_the_audit_log_tells_each_change_once(bench: Bench) -> None:
    await bench.claimed()
    bench.put_organization(settings={"workerHealthPort": 9000, "workerVLLMPort": 9001})
    await bench.settle_organization()
    bench.put_organization(settings={"workerHealthPort": 9002})
    await bench.settle_organization()
    await bench.settle_organization()
    assert await told(bench) == [
        (
            "organization",
            bench.name,
            {
                "WORKER_HEALTH_PORT.before": None,
                "WORKER_HEALTH_PORT.after": 9000,
                "WORKER_VLLM_PORT.before": None,
                "WORKER_VLLM_PORT.after": 9001,
            },
        ),
        (
            "organization",
            bench.name,
            {
                "WORKER_HEALTH_PORT.before": 9000,
                "WORKER_HEALTH_PORT.after": 9002,
                "WORKER_VLLM_PORT.before": 9001,
                "WORKER_VLLM_PORT.after": None,
            },
        ),
    ]


async def test_S8_what_lives_in_its_namespaces_is_looked_at_at_once(bench: Bench) -> None:
    second = f"{bench.name}-b"
    for namespace in (bench.name, second):
        bench.cluster.put(NAMESPACE, "", namespace)
        bench.cluster.put(DEPLOYMENT, namespace, "llama", spec={})
    bench.put_organization(namespaces=[bench.name, second])
    await bench.settle_organization()
    bench.queued.clear()
    await bench.settle_organization()
    assert bench.queued == []
    bench.put_organization(namespaces=[bench.name, second], settings={"workerHealthPort": 9000})
    await bench.settle_organization()
    woken = {Key(DEPLOYMENT.kind, namespace, "llama") for namespace in (bench.name, second)}
    assert set(bench.queued) == woken


async def test_S8_they_are_looked_at_also_when_the_api_server_did_not_list_them_at_first(
    bench: Bench,
) -> None:
    await bench.claimed()
    bench.cluster.put(DEPLOYMENT, bench.name, "llama", spec={})
    bench.put_organization(settings={"workerHealthPort": 9000})
    bench.cluster.errors["list"] = Unavailable("away")
    with pytest.raises(Unavailable):
        await bench.settle_organization()
    assert bench.queued == []
    await bench.settle_organization()
    assert bench.queued == [Key(DEPLOYMENT.kind, bench.name, "llama")]


async def test_S1_a_value_that_the_database_refuses_is_said_and_loses_nothing_else(
    bench: Bench, shared_premises: Premises
) -> None:
    await bench.claimed()
    bench.put_organization(settings={"workerVLLMPort": 9000})
    await bench.settle_organization()
    second = f"{bench.name}-b"
    bench.cluster.put(NAMESPACE, "", second)
    with stricter(shared_premises):
        bench.put_organization(namespaces=[bench.name, second], settings=REFUSED)
        await bench.settle_organization()
        status, reason, message = bench.said_of_organization()
        assert (status, reason) == ("False", "InvalidSpec")
        assert "spec.settings.workerHealthPort" in message
        assert "those from before still count" in message
        assert await of_organization(bench) == {"WORKER_VLLM_PORT": 9000}
        assert bench.cluster.label_of(second) == bench.name
    await bench.settle_organization()
    assert bench.said_of_organization()[:2] == ("True", "Ready")
    assert await of_organization(bench) == {"WORKER_VLLM_PORT": 9001, "WORKER_HEALTH_PORT": 4242}


async def test_S1_a_value_beyond_the_schema_is_said_and_changes_nothing(bench: Bench) -> None:
    """Such an object can only come from before a schema, or past it."""
    await bench.claimed()
    bench.put_organization(settings={"workerVLLMPort": 9000})
    await bench.settle_organization()
    bench.put_organization(settings={"workerVLLMPort": 70000})
    await bench.settle_organization()
    assert bench.said_of_organization()[:2] == ("False", "InvalidSpec")
    assert await of_organization(bench) == {"WORKER_VLLM_PORT": 9000}
    assert bench.cluster.label_of(bench.name) == bench.name


async def test_T6_one_organizations_settings_never_change_anothers(bench: Bench) -> None:
    await bench.claimed()
    bench.put_organization(settings={"workerHealthPort": 9000})
    await bench.settle_organization()
    other = f"other-{uuid4().hex[:10]}"
    bench.put_organization(other, namespaces=[], settings={"workerHealthPort": 1})
    await bench.settle_organization(other)
    assert await of_organization(bench) == {"WORKER_HEALTH_PORT": 9000}
    bench.put_organization(other, namespaces=[])
    await bench.settle_organization(other)
    assert await of_organization(bench) == {"WORKER_HEALTH_PORT": 9000}
    assert await of_organization(bench, other) == {}

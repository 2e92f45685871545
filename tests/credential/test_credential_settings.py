"""`spec.settings` and `spec.zones` of a ProviderCredential (S1, S8): what its deployments are given."""

from typing import Any

import pytest

from inventiv_operator.kube.errors import Unavailable
from inventiv_operator.kube.kinds import DEPLOYMENT, SECRET
from inventiv_operator.runtime.queue import Key
from rig.fixtures import Premises
from tenant_rig.bench import Bench, TestKey
from tenant_rig.settings_of import REFUSED, of_credential, of_organization, stricter, told

LLAMA = "llama"


def deployment_key(bench: Bench) -> Key:
    return Key(DEPLOYMENT.kind, bench.name, LLAMA)


def zones_asked(bench: Bench) -> set[str]:
    """In which zones Scaleway was asked anything about instances."""
    paths = (call.path.split("/") for call in bench.world.calls.since(0))
    return {parts[parts.index("zones") + 1] for parts in paths if "zones" in parts}


async def test_S8_they_are_stored_for_the_credential_alone_and_taken_back(bench: Bench) -> None:
    key = await bench.made()
    bench.put_organization(settings={"workerHealthPort": 1})
    await bench.settle_organization()
    bench.put_credential(settings={"workerHealthPort": 2, "workerVLLMImage": ""})
    await bench.settle_credential()
    assert bench.said()[:2] == ("True", "Ready")
    assert await of_credential(bench) == {"WORKER_HEALTH_PORT": 2, "WORKER_VLLM_IMAGE": ""}
    assert await of_organization(bench) == {"WORKER_HEALTH_PORT": 1}
    bench.put_credential(settings={"workerVLLMPort": 3})
    await bench.settle_credential()
    assert await of_credential(bench) == {"WORKER_VLLM_PORT": 3}
    bench.put_credential()
    await bench.settle_credential()
    assert await of_credential(bench) == {}
    row = await bench.row()
    stored = await bench.stored(row.organization_id, row.id)
    assert (stored.access_key, stored.secret_key.get_secret_value()) == (key.access_key, key.secret_key)


async def test_S1_the_audit_log_tells_a_change_once_and_no_secret(bench: Bench) -> None:
    key = await bench.made()
    bench.put_credential(settings={"workerHealthPort": 2})
    await bench.settle_credential()
    await bench.settle_credential()
    ((kind, name, detail),) = await told(bench)
    assert (kind, name) == ("credential", f"{bench.name}/scaleway")
    row = await bench.row()
    assert detail == {
        "credentialID": str(row.id),
        "WORKER_HEALTH_PORT.before": None,
        "WORKER_HEALTH_PORT.after": 2,
    }
    assert key.secret_key not in str(detail)


async def test_S8_they_count_from_the_first_pass_of_a_new_credential(bench: Bench) -> None:
    key = TestKey()
    bench.admit(key)
    await bench.claimed()
    bench.put_secret(key)
    bench.put_credential(settings={"workerHealthPort": 2}, zones=["nl-ams-1"])
    await bench.settle_credential()
    assert bench.said()[:2] == ("True", "Ready")
    assert await of_credential(bench) == {"WORKER_HEALTH_PORT": 2}
    assert (await bench.row()).zones == ("nl-ams-1",)


async def test_S8_they_are_followed_also_while_the_secret_is_missing(bench: Bench) -> None:
    await bench.made()
    bench.cluster.put(DEPLOYMENT, bench.name, LLAMA, spec={})
    bench.cluster.delete(SECRET, bench.name, "scaleway")
    await bench.settle_credential()
    assert bench.said()[1] == "SecretMissing"
    bench.queued.clear()
    bench.put_credential(settings={"instanceStartupTimeoutSeconds": 900}, zones=["fr-par-1"])
    await bench.settle_credential()
    assert bench.said()[1] == "SecretMissing"
    assert await of_credential(bench) == {"INSTANCE_STARTUP_TIMEOUT_S": 900}
    assert (await bench.row()).zones == ("fr-par-1",)
    assert deployment_key(bench) in bench.queued


@pytest.mark.parametrize(
    "change",
    [{"settings": {"workerHealthPort": 2}}, {"zones": ["fr-par-1"]}],
    ids=["settings", "zones"],
)
async def test_S8_its_deployments_are_looked_at_at_once(bench: Bench, change: dict[str, Any]) -> None:
    await bench.made()
    bench.cluster.put(DEPLOYMENT, bench.name, LLAMA, spec={})
    await bench.settle_credential()
    bench.queued.clear()
    await bench.settle_credential()
    assert bench.queued == []
    bench.put_credential(**change)
    bench.cluster.errors["list"] = Unavailable("away")
    with pytest.raises(Unavailable):
        await bench.settle_credential()
    assert bench.queued == []
    await bench.settle_credential()
    assert bench.queued == [deployment_key(bench)]
    bench.queued.clear()
    bench.put_credential()
    await bench.settle_credential()
    assert bench.queued == [deployment_key(bench)]


async def test_S1_a_value_that_the_database_refuses_is_said_and_loses_nothing_else(
    bench: Bench, shared_premises: Premises
) -> None:
    await bench.made()
    bench.put_credential(settings={"workerVLLMPort": 9000})
    await bench.settle_credential()
    newer = TestKey()
    bench.admit(newer)
    bench.put_secret(newer)
    with stricter(shared_premises):
        bench.put_credential(settings=REFUSED)
        await bench.settle_credential()
        status, reason, message = bench.said()
        assert (status, reason) == ("False", "InvalidSpec")
        assert "spec.settings.workerHealthPort" in message
        assert await of_credential(bench) == {"WORKER_VLLM_PORT": 9000}
        assert await bench.stored_access_key() == newer.access_key
        assert (await bench.row()).ready  # what it serves goes on, with the settings from before
    await bench.settle_credential()
    assert bench.said()[:2] == ("True", "Ready")
    assert await of_credential(bench) == {"WORKER_VLLM_PORT": 9001, "WORKER_HEALTH_PORT": 4242}


async def test_the_key_is_tried_where_the_credential_may_be_used_and_nowhere_else(bench: Bench) -> None:
    key = TestKey()
    bench.admit(key)
    await bench.claimed()
    bench.put_secret(key)
    bench.put_credential(zones=["pl-waw-2", "nl-ams-1"])
    await bench.settle_credential()
    assert bench.said()[:2] == ("True", "Ready")
    assert zones_asked(bench) == {"pl-waw-2"}


async def test_where_it_may_be_used_changes_with_the_object(bench: Bench) -> None:
    await bench.made()
    assert (await bench.row()).zones is None
    bench.put_credential(zones=["fr-par-1", "fr-par-2"])
    await bench.settle_credential()
    assert (await bench.row()).zones == ("fr-par-1", "fr-par-2")
    bench.put_credential()
    await bench.settle_credential()
    assert (await bench.row()).zones is None


async def test_at_rest_nothing_is_written(bench: Bench) -> None:
    await bench.made()
    bench.put_credential(settings={"workerHealthPort": 2}, zones=["fr-par-1"])
    await bench.settle_credential()
    before = await bench.row()
    lines, writes = await told(bench), bench.cluster.status_writes
    await bench.settle_credential()
    assert await bench.row() == before
    assert await told(bench) == lines
    assert bench.cluster.status_writes == writes

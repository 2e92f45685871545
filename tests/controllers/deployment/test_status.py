"""What the object says: everything the contract names, in the schema's bounds."""

from decimal import Decimal
from typing import Any

from controllers.deployment.conftest import NAME, Rig
from inventiv_operator.api.deployment_status import DeploymentStatus
from rig.tenant import TYPE, ZONE
from scaleway_simulator import outside


def valid(status: dict[str, Any]) -> DeploymentStatus:
    read = DeploymentStatus.model_validate(status)
    written = read.model_dump(mode="json", by_alias=True, exclude_none=True)
    assert set(status) <= set(written), "a field that the schema does not have would be pruned"
    for mine, theirs in zip(status["instances"], written["instances"], strict=True):
        assert set(mine) <= set(theirs)
    return read


async def test_a_ready_deployment_says_everything(rig: Rig) -> None:
    rig.apply(replicas=3)
    await rig.until_ready()
    status = rig.status
    read = valid(status)
    servers = {s["name"]: s for s in rig.servers}
    assert read.deployment_id is not None
    assert status["credentialName"] == "scaleway"
    assert (status["replicas"], status["readyReplicas"], status["updatedReplicas"]) == (3, 3, 3)
    assert status["selector"] == f"inventiv.io/deployment={read.deployment_id}"
    assert (status["phase"], status["ready"], status["zones"]) == ("Ready", "3/3", ZONE)
    assert Decimal(status["hourlyCost"]) == 3 * Decimal("0.7875")
    assert [entry["ordinal"] for entry in status["instances"]] == [0, 1, 2]
    for entry in status["instances"]:
        server = servers[entry["name"]]
        assert entry["providerID"] == f"scaleway://{ZONE}/{server['id']}"
        assert (entry["zone"], entry["instanceType"], entry["state"]) == (ZONE, TYPE, "running")
        assert entry["ready"]
        assert entry["publicIP"] in status["ips"]
        (volume,) = entry["volumes"]
        assert volume["id"] == server["volumes"]["0"]
        assert volume["kind"] == "sbs_volume"
        assert entry["createdAt"] <= entry["readyAt"]
    assert [(c["type"], c["status"], c["reason"]) for c in status["conditions"]] == [
        ("Ready", "True", "Ready"),
        ("Progressing", "False", "Complete"),
        ("CredentialReady", "True", "Ready"),
    ]


async def test_a_refused_deployment_has_a_selector_and_counts_too(rig: Rig) -> None:
    rig.kube.make_namespace("nobodys")
    spec = {"placement": [{"zone": ZONE, "instanceType": TYPE}], "image": "x", "replicas": 2}
    rig.kube.apply("nobodys", NAME, spec)
    await rig.process.reconcile("nobodys", NAME)
    status = rig.kube.status("nobodys", NAME)
    valid(status)
    assert status["selector"]
    assert (status["replicas"], status["ready"], status["phase"]) == (0, "0/2", "Pending")


async def test_what_is_on_its_way_shows_at_every_pass(rig: Rig) -> None:
    rig.apply(replicas=2)
    states: set[str] = set()

    def look() -> bool:
        if rig.status.get("instances") is not None:
            valid(rig.status)
            states.update(entry["state"] for entry in rig.status["instances"])
        return rig.is_ready

    await rig.until(look)
    assert states <= {"pending", "creating", "starting", "running"}
    rig.delete()

    def look_again() -> bool:
        if rig.body is not None:
            valid(rig.status)
        return rig.body is None

    await rig.until(look_again)


async def test_an_outage_of_the_provider_keeps_what_was_known(rig: Rig) -> None:
    rig.apply(replicas=2)
    await rig.until_ready()
    before = rig.status
    rig.fault("status", "GET", "/servers", status=503, times=None)
    await rig.rest(200)
    assert (rig.ready["status"], rig.ready["reason"]) == ("Unknown", "ProviderUnreachable")
    now = rig.status
    valid(now)
    assert now["ready"] == "2/2"
    assert [(e["state"], e["publicIP"]) for e in now["instances"]] == [
        (e["state"], e["publicIP"]) for e in before["instances"]
    ]
    rig.world.faults.clear()
    await rig.until_ready()


async def test_transitions_of_ready_are_events_and_steady_states_are_none(rig: Rig) -> None:
    rig.apply(replicas=1)
    await rig.until_ready()
    await rig.rest(500)
    reasons = [event["reason"] for event in rig.kube.events]
    assert reasons.count("Ready") == 1
    outside.stop(rig.world, rig.servers[0]["id"], {})
    await rig.until(lambda: not rig.is_ready)
    await rig.until_ready()
    assert {event["type"] for event in rig.kube.events if event["reason"] == "Ready"} == {"Normal"}


async def test_the_cost_counts_until_proven_gone(rig: Rig) -> None:
    rig.apply(replicas=2)
    await rig.until_ready()
    rig.fault("status", "GET", "/servers", status=503, times=None)
    for server in rig.servers:
        outside.delete(rig.world, server["id"], {})
    await rig.rest(200)
    assert Decimal(rig.status["hourlyCost"]) == 2 * Decimal("0.7875")

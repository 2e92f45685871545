"""The audit log against the provider's own call log: a line for each call that may have changed something."""

from collections import Counter
from hashlib import sha256
from typing import Any

from controllers.deployment.conftest import Rig
from rig.tenant import ZONE
from scaleway_simulator.calls import LoggedCall

CANARY = "canary-of-the-cloud-init-9b1c"
CLOUD_INIT = f"#cloud-config\nwrite_files: [{{path: /etc/token, content: {CANARY}}}]\n"


async def lines_of(rig: Rig, action: str = "cloud-write") -> list[tuple[Any, ...]]:
    """Object kind, id, request and detail, in the order of the calls; everything that waits is written
    before.
    """
    await rig.process.trail.close()
    async with rig.around.database.reading(rig.tenant.organization_id) as conn:
        cursor = await conn.execute(
            "SELECT object_kind, object_ref, request_id, detail FROM action_logs"
            " WHERE action = %s ORDER BY at, id",
            (action,),
        )
        return await cursor.fetchall()


def writes(rig: Rig) -> list[LoggedCall]:
    return [call for call in rig.world.calls.since(0) if call.method not in {"GET", "HEAD"}]


def as_called(call: LoggedCall) -> tuple[str, str, str]:
    """A call that got no answer brought no id and no status."""
    is_answered = call.status is not None
    return call.method, call.request_id if is_answered else "", str(call.status) if is_answered else "unknown"


def as_told(line: tuple[Any, ...]) -> tuple[str, str, str]:
    _, _, request_id, detail = line
    return detail["method"], request_id, detail["outcome"]


async def assert_told_once(rig: Rig) -> None:
    made = writes(rig)
    assert made
    assert Counter(as_told(line) for line in await lines_of(rig)) == Counter(map(as_called, made))


async def test_every_write_of_a_life_is_told_once_under_the_providers_request_id(rig: Rig) -> None:
    rig.apply(3, cloudInit={"inline": CLOUD_INIT})
    await rig.until_ready()
    rig.apply(1, cloudInit={"inline": CLOUD_INIT})
    await rig.until(lambda: rig.is_ready and len(rig.servers) == 1)
    rig.delete()
    await rig.until_gone()
    await assert_told_once(rig)


async def test_a_server_is_followed_from_its_create_to_its_end(rig: Rig) -> None:
    rig.apply(1, cloudInit={"inline": CLOUD_INIT})
    await rig.until_ready()
    (server,) = rig.servers
    rig.delete()
    await rig.until_gone()
    lines = [line for line in await lines_of(rig) if line[:2] == ("server", server["id"])]
    assert [line[3]["verb"] for line in lines] == ["create", "set-cloud-init", "poweron", "terminate"]
    create = lines[0][3]
    assert create["attempt"]
    assert {line[3]["zone"] for line in lines} == {ZONE}
    tenant = rig.tenant
    fingerprint = sha256(tenant.secret_key.encode()).hexdigest()[:8]
    key = (str(tenant.credential_id), tenant.access_key, fingerprint)
    named = {(line[3]["credentialID"], line[3]["accessKey"], line[3]["fingerprint"]) for line in lines}
    assert named == {key}


async def test_the_stored_key_is_told_when_it_comes_into_use_and_not_on_every_pass(rig: Rig) -> None:
    rig.apply(1)
    await rig.until_ready()
    await rig.rest(600.0)
    (line,) = await lines_of(rig, "key-used")
    kind, _, request_id, detail = line
    assert (kind, request_id) == ("credential", "")
    assert detail == {
        "credentialID": str(rig.tenant.credential_id),
        "projectID": rig.tenant.project_id,
        "accessKey": rig.tenant.access_key,
        "fingerprint": sha256(rig.tenant.secret_key.encode()).hexdigest()[:8],
        "encryptionKeyID": "k1",
    }


async def test_refusals_and_lost_answers_are_told_too(rig: Rig) -> None:
    rig.fault("status", "POST", "/servers$", status=500, times=1)
    rig.fault("drop_after_commit", "POST", "/servers$", times=1)
    rig.fault("status", "POST", "/action$", status=429, times=1)
    rig.fault("drop_before", "DELETE", "/volumes/", times=1)
    rig.fault("html", "PATCH", "/user_data/", status=502, times=1)
    rig.apply(2)
    await rig.until_ready()
    rig.delete()
    await rig.until_gone()
    faulted = [call for call in writes(rig) if call.fault is not None]
    assert len(faulted) == 5
    await assert_told_once(rig)


async def test_B7_what_a_process_did_before_it_lost_the_lease_is_told(rig: Rig) -> None:
    rig.apply(2)
    await rig.until(lambda: rig.calls("POST", "/servers") >= 1)
    rig.premises.take_over()
    rig.process.leader.has_lost = True
    await assert_told_once(rig)


async def test_no_column_holds_a_secret(rig: Rig) -> None:
    rig.apply(1, cloudInit={"inline": CLOUD_INIT})
    await rig.until_ready()
    rig.delete()
    await rig.until_gone()
    assert await lines_of(rig)
    async with rig.around.database.reading(rig.tenant.organization_id) as conn:
        rows = await (await conn.execute("SELECT a::text FROM action_logs a")).fetchall()
    text = "\n".join(row[0] for row in rows)
    assert rig.tenant.access_key in text
    for secret in (rig.tenant.secret_key, CANARY, "#cloud-config", "X-Auth-Token"):
        assert secret not in text

"""What the audit log tells of a key: every change once, with the key's name and never the key."""

from collections.abc import Mapping
from typing import Any

import pytest

from credential.process import restart
from inventiv_operator.controllers.sweeps.closing import QUARANTINE
from inventiv_operator.kube.kinds import CREDENTIAL
from inventiv_operator.store import credentials
from inventiv_operator.store.errors import DatabaseUnavailable
from tenant_rig.bench import Bench, TestKey

ABOUT_KEYS = (
    "key-stored",
    "key-accepted",
    "key-replaced",
    "key-refused",
    "credential-frozen",
    "credential-thawed",
    "project-claimed",
    "project-released",
)


async def lines(bench: Bench) -> list[tuple[str, Mapping[str, Any]]]:
    organization_id = await bench.organization_id()
    async with bench.services.db.reading(organization_id) as conn:
        cursor = await conn.execute(
            "SELECT action, object_kind, object_name, detail FROM action_logs"
            " WHERE organization_id = %s AND action = ANY(%s) ORDER BY id",
            (organization_id, list(ABOUT_KEYS)),
        )
        found = await cursor.fetchall()
    assert {(kind, name) for _, kind, name, _ in found} <= {("credential", f"{bench.name}/scaleway")}
    return [(action, detail) for action, _, _, detail in found]


async def actions(bench: Bench) -> list[str]:
    return [action for action, _ in await lines(bench)]


FIRST = ["key-stored", "key-accepted", "project-claimed"]


async def test_a_first_key_is_stored_accepted_and_claims_its_project_once(bench: Bench) -> None:
    key = await bench.made()
    await bench.pass_for(2000.0)  # proven again three times: no change, no line
    told = await lines(bench)
    assert [action for action, _ in told] == FIRST
    row = await bench.row()
    for _, detail in told:
        assert detail["credentialID"] == str(row.id)
        assert detail["projectID"] == bench.project_id
        assert detail["accessKey"] == key.access_key
        assert detail["fingerprint"] == row.key_fingerprint
        assert detail["encryptionKeyID"] == "k1"
        assert key.secret_key not in str(detail)


async def test_a_replaced_key_names_both(bench: Bench) -> None:
    old = await bench.made()
    before = await bench.row()
    new = TestKey()
    bench.admit(new)
    bench.put_secret(new)
    await bench.settle_credential()
    await bench.pass_for(900.0)
    *first, (action, detail) = await lines(bench)
    assert [name for name, _ in first] == FIRST
    assert action == "key-replaced"
    assert (detail["accessKey"], detail["earlierAccessKey"]) == (new.access_key, old.access_key)
    assert detail["earlierFingerprint"] == before.key_fingerprint
    assert detail["fingerprint"] == (await bench.row()).key_fingerprint


async def test_a_refused_candidate_is_told_once_also_across_a_restart(bench: Bench) -> None:
    await bench.made()
    bad = TestKey()
    bench.put_secret(bad)
    await bench.pass_for(900.0)
    restart(bench)
    await bench.pass_for(900.0)
    *_, (action, detail) = await lines(bench)
    assert await actions(bench) == [*FIRST, "key-refused"]
    assert (action, detail["accessKey"], detail["isCandidate"]) == ("key-refused", bad.access_key, True)
    worse = TestKey()
    bench.put_secret(worse)
    await bench.settle_credential()
    assert [d["accessKey"] for a, d in await lines(bench) if a == "key-refused"] == [
        bad.access_key,
        worse.access_key,
    ]


async def test_a_refused_stored_key_is_told_once_and_accepted_again_once(bench: Bench) -> None:
    key = await bench.made()
    bench.world.identity.remove_key(key.access_key)
    await bench.pass_for(3000.0)
    assert await actions(bench) == [*FIRST, "key-refused"]
    bench.admit(key)  # it was a mistake of the provider's
    await bench.pass_for(2000.0)
    assert bench.said()[:2] == ("True", "Ready")
    assert await actions(bench) == [*FIRST, "key-refused", "key-accepted"]


async def test_T8_a_freeze_and_its_end_are_told_once_each(bench: Bench) -> None:
    key = await bench.made()
    bench.admit(key, project_id="99999999-9999-4999-8999-999999999999")
    await bench.pass_for(1500.0)
    assert await actions(bench) == [*FIRST, "credential-frozen"]
    bench.admit(key)
    await bench.pass_for(300.0)
    assert bench.said()[:2] == ("True", "Ready")
    assert await actions(bench) == [*FIRST, "credential-frozen", "credential-thawed"]


async def test_what_was_not_committed_is_not_told(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    await bench.made()
    new = TestKey()
    bench.admit(new)
    bench.put_secret(new)

    async def away(*_: object, **__: object) -> bool:
        raise DatabaseUnavailable("for a test")

    with monkeypatch.context() as patched:
        patched.setattr(credentials, "set_validated", away)
        with pytest.raises(DatabaseUnavailable):
            await bench.settle_credential()
    assert await actions(bench) == FIRST
    await bench.settle_credential()
    assert await actions(bench) == [*FIRST, "key-replaced"]


async def test_the_end_of_the_last_credential_frees_its_project(bench: Bench) -> None:
    await bench.made()
    bench.cluster.delete(CREDENTIAL, bench.name, "scaleway")
    await bench.settle_credential()
    assert await actions(bench) == FIRST
    await bench.clock.sleep(QUARANTINE.total_seconds() + 60.0)
    await bench.sweep()
    assert await actions(bench) == [*FIRST, "project-released"]

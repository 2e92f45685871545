"""S3: a seeded credential is proven, rotated, frozen and watched like any other, with files or without."""

import logging
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from inventiv_operator.controllers.credential.schedule import VALID_FOR_S
from inventiv_operator.kube.errors import Unavailable
from inventiv_operator.kube.kinds import DEPLOYMENT
from inventiv_operator.runtime.queue import Key
from inventiv_operator.store import claims
from inventiv_operator.store.keyring import new_keyring_file
from rig.fixtures import Premises
from seeding.conftest import SeedBench, warnings_in
from tenant_rig.bench import TestKey, bench_on


async def stored_access_key(at: SeedBench, name: str = "") -> str:
    row = await at.row(name)
    assert row is not None
    return (await at.bench.stored(row.organization_id, row.id)).access_key


async def test_S3_it_is_proven_again_after_ten_minutes_and_not_before(at: SeedBench) -> None:
    key = await at.seeded()
    before = at.bench.calls()
    await at.pass_for(VALID_FOR_S - 30.0)
    assert at.bench.calls() == before
    at.bench.world.identity.remove_key(key.access_key)
    await at.pass_for(90.0)
    assert at.said()[:2] == (False, "CredentialRejected")
    assert at.bench.calls() > before


async def test_S3_at_rest_nothing_is_written(at: SeedBench) -> None:
    await at.seeded()
    before = at.bench.cluster.status_writes
    await at.pass_for(300.0)
    assert at.bench.cluster.status_writes == before


async def test_S3_another_key_of_the_same_project_replaces_it(at: SeedBench) -> None:
    await at.seeded()
    row = await at.row()
    new = at.new_key()
    at.write(new)
    await at.pass_for(60.0)
    assert at.said()[:2] == (True, "Ready")
    assert at.status()["accessKey"] == new.access_key
    assert await stored_access_key(at) == new.access_key
    after = await at.row()
    assert row is not None
    assert after is not None
    assert after.id == row.id


async def test_S3_a_bad_new_key_leaves_the_old_one_and_says_so(
    at: SeedBench, caplog: pytest.LogCaptureFixture
) -> None:
    old = await at.seeded()
    at.write(TestKey())
    await at.pass_for(60.0)
    ready, reason, message = at.said()
    assert (ready, reason) == (False, "CredentialRejected")
    assert "earlier key stays in use" in message
    assert await stored_access_key(at) == old.access_key
    assert len(warnings_in(caplog)) == 1
    at.write(old)
    await at.pass_for(60.0)
    assert at.said()[:2] == (True, "Ready")


@pytest.mark.parametrize("how", ["emptied", "unmounted", "spoiled"])
async def test_S3_with_the_files_gone_the_stored_copy_is_used(
    at: SeedBench, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    key = await at.seeded()
    match how:
        case "emptied":
            at.take_files_away()
        case "unmounted":
            at.directory.rename(at.directory.with_name("elsewhere"))
        case _:
            (at.directory / "secret_key").write_text("?")
    await at.pass_for(VALID_FOR_S + 120.0)  # proven again meanwhile
    ready, _, message = at.said()
    assert ready is True
    assert "the stored copy is used" in message
    assert str(at.directory) in message
    assert await stored_access_key(at) == key.access_key
    [warning] = warnings_in(caplog)
    assert "goes on with its stored key" in warning


async def test_S3_a_directory_that_is_mounted_again_changes_nothing(
    at: SeedBench, caplog: pytest.LogCaptureFixture
) -> None:
    key = await at.seeded()
    row = await at.row()
    at.directory.rename(at.directory.with_name("elsewhere"))
    await at.pass_for(60.0)
    at.write(key)
    await at.pass_for(60.0)
    assert at.said() == (True, "Ready", "the key gives access to the project")
    assert await at.row() == row
    assert len(warnings_in(caplog)) == 1
    at.directory.rename(at.directory.with_name("away again"))
    await at.pass_for(60.0)
    assert len(warnings_in(caplog)) == 2  # the same words, and news


async def test_S3_without_a_directory_it_is_kept_all_the_same(
    at: SeedBench, premises: Premises, caplog: pytest.LogCaptureFixture
) -> None:
    """INVENTIV_SEED_DIR was taken out; the process is another one."""
    key = await at.seeded()
    async with bench_on(premises, world=at.bench.world) as bench:
        later = replace(at, bench=bench, opening=bench.opening)
        bench.name, bench.project_id = at.bench.name, at.bench.project_id
        later.put_organization()
        await later.pass_for(VALID_FOR_S + 120.0)
        assert later.said()[:2] == (True, "Ready")
        bench.world.identity.remove_key(key.access_key)
        await later.pass_for(VALID_FOR_S + 120.0)
        assert later.said()[:2] == (False, "CredentialRejected")
    assert not [warning for warning in warnings_in(caplog) if "does not exist" in warning]


async def test_S3_the_end_of_its_key_is_told_beforehand(at: SeedBench) -> None:
    """At 30, 7 and 1 day, once each; then it is not waited for Scaleway to refuse it."""
    end = at.bench.clock.now() + timedelta(days=31)
    key = at.new_key(expires_at=end.isoformat())
    at.write(key)
    at.put_organization()
    await at.settle()
    assert at.status()["expiring"] == "NotExpiring"
    told = []
    for _ in range(33):
        await at.bench.clock.sleep(86_000.0)
        await at.settle()
        told.append(at.status()["expiring"])
    events = [(e["reason"], e["type"]) for e in at.bench.cluster.events if e["reason"].startswith("Expires")]
    assert events == [
        ("ExpiresSoon", "Normal"),
        ("ExpiresWithinWeek", "Warning"),
        ("ExpiresWithinDay", "Warning"),
    ]
    assert list(dict.fromkeys(told)) == [
        "NotExpiring",
        "ExpiresSoon",
        "ExpiresWithinWeek",
        "ExpiresWithinDay",
        "CredentialExpired",
    ]
    ready, reason, message = at.said()
    assert (ready, reason) == (False, "CredentialExpired")
    assert "the files access_key and secret_key of the seed directory" in message
    assert "Secret" not in message.replace("CredentialExpired", "")


async def test_S3_files_of_another_project_change_nothing(
    at: SeedBench, caplog: pytest.LogCaptureFixture
) -> None:
    key = await at.seeded()
    row = await at.row()
    other = str(uuid4())
    stranger = at.new_key(project_id=other)
    at.write(stranger, project_id=other)
    calls = at.bench.calls()
    await at.pass_for(120.0)
    ready, _, message = at.said()
    assert ready is True
    assert "names another project" in message
    [warning] = warnings_in(caplog)
    assert "file project_id names another project" in warning
    assert other not in warning + message
    assert await stored_access_key(at) == key.access_key
    assert await at.row() == row
    assert at.bench.calls() == calls


async def test_S3_a_wrong_scaleway_organization_is_said_without_a_value(
    at: SeedBench, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = str(uuid4())
    at.write(at.new_key(), organization_id=wrong)
    at.put_organization()
    await at.settle()
    assert at.said()[:2] == (False, "ProjectMismatch")
    [warning] = warnings_in(caplog)
    assert "file organization_id of the seed directory names another" in warning
    assert wrong not in warning


async def test_S3_a_candidate_of_another_project_freezes_nothing(
    at: SeedBench, caplog: pytest.LogCaptureFixture
) -> None:
    old = await at.seeded()
    at.write(at.new_key(project_id=str(uuid4())))
    await at.pass_for(60.0)
    assert at.said()[1] == "ProjectMismatch"
    [warning] = warnings_in(caplog)
    assert "file project_id of the seed directory names another" in warning
    assert at.bench.project_id not in warning
    row = await at.row()
    assert row is not None
    assert row.frozen_reason == ""
    assert await stored_access_key(at) == old.access_key


async def test_T8_a_seeded_key_that_sees_another_project_is_frozen_and_thaws(at: SeedBench) -> None:
    key = await at.seeded()
    at.bench.world.identity.remove_key(key.access_key)
    at.bench.admit(key, project_id=str(uuid4()))
    await at.pass_for(VALID_FOR_S + 120.0)
    row = await at.row()
    assert row is not None
    assert row.frozen_reason
    assert at.said()[:2] == (False, "Frozen")
    at.bench.world.identity.remove_key(key.access_key)
    at.bench.admit(key)
    await at.pass_for(300.0)
    assert at.said()[:2] == (True, "Ready")


async def test_S3_when_the_default_moves_it_stays_the_first_ones_own(
    at: SeedBench, premises: Premises, caplog: pytest.LogCaptureFixture
) -> None:
    """And the files are from then on another one's, also those that name its own project."""
    key = await at.seeded()
    first = await at.row()
    at.put_organization(default=False)
    await at.settle()
    at.put_organization("second")
    await at.settle("second")
    assert at.said("second")[:2] == (False, "ProjectConflict")
    assert await at.row("second") is None
    at.write(at.new_key())  # of the same project
    await at.pass_for(VALID_FOR_S + 120.0)
    assert await at.row() == replace(
        first or pytest.fail("none"), validated_at=(await at.row() or pytest.fail("none")).validated_at
    )
    assert at.said()[:2] == (True, "Ready")
    assert await stored_access_key(at) == key.access_key
    other = str(uuid4())
    seconds = at.new_key(project_id=other)
    at.write(seconds, project_id=other)
    await at.settle("second")
    assert at.said("second")[:2] == (True, "Ready")
    assert await stored_access_key(at, "second") == seconds.access_key
    await at.pass_for(120.0)
    assert await stored_access_key(at) == key.access_key
    at.put_organization("second", default=False)
    await at.settle("second")
    at.put_organization(default=True)
    await at.settle()
    assert await stored_access_key(at) == key.access_key
    assert await stored_access_key(at, "second") == seconds.access_key


async def test_S3_the_terminator_has_it_looked_at_and_takes_it_for_nobodys_object(at: SeedBench) -> None:
    await at.seeded()
    at.bench.living = set()  # no object is listed
    at.bench.queued.clear()
    await at.bench.terminator.look()
    row = await at.row()
    assert row is not None
    assert [key for key in at.bench.queued if key.name == str(row.id)]
    assert Key("ProviderCredential", "", "seeded") not in at.bench.queued
    await at.bench.credential.reconcile(
        Key("ProviderCredential", "", "seeded"), deadline_s=at.bench.clock.monotonic() + 20.0
    )
    assert await at.row() == row


async def test_deployments_of_its_namespaces_are_looked_at_when_readiness_changes(at: SeedBench) -> None:
    at.bench.cluster.put(DEPLOYMENT, at.bench.name, "llama", spec={})
    at.bench.cluster.put(DEPLOYMENT, "elsewhere", "llama", spec={})
    key = await at.seeded()
    wanted = Key("Deployment", at.bench.name, "llama")
    assert wanted in at.bench.queued
    assert Key("Deployment", "elsewhere", "llama") not in at.bench.queued
    at.bench.queued.clear()
    await at.settle()
    assert at.bench.queued == []
    at.bench.world.identity.remove_key(key.access_key)
    await at.pass_for(VALID_FOR_S + 120.0)
    assert wanted in at.bench.queued


async def test_waking_is_not_lost_when_the_api_server_stumbles(at: SeedBench) -> None:
    at.write(at.new_key())
    at.bench.cluster.put(DEPLOYMENT, at.bench.name, "llama", spec={})
    at.put_organization()
    await at.bench.settle_organization()
    at.bench.queued[:] = [key for key in at.bench.queued if key.kind == "seeded"]
    at.bench.cluster.errors["list"] = Unavailable("away")
    with pytest.raises(Unavailable):
        await at.settle()
    await at.bench.settle_organization()
    await at.settle()
    assert Key("Deployment", at.bench.name, "llama") in at.bench.queued


async def test_S3_a_keyring_without_its_key_is_said(
    at: SeedBench, premises: Premises, tmp_path: Path
) -> None:
    key = await at.seeded()
    other = tmp_path / "keyring.json"
    keyring = new_keyring_file(other)
    other.write_text(other.read_text().replace(f'"{keyring.primary_id}"', '"k9"'))
    async with bench_on(replace(premises, keyring=other), seed_dir=at.directory) as bench:
        later = replace(at, bench=bench, opening=bench.opening)
        bench.name, bench.project_id = at.bench.name, at.bench.project_id
        bench.admit(key)
        later.put_organization()
        await later.settle()
        assert later.said()[:2] == (False, "KeyUnavailable")
        assert "k1" in later.said()[2]
        assert bench.calls() == 0


async def test_a_refused_spec_still_shows_it(at: SeedBench) -> None:
    await at.seeded()
    at.put_organization(quota={"instances": 1})
    await at.settle()
    assert at.bench.said_of_organization()[1] == "NotSupported"
    assert at.said()[:2] == (True, "Ready")


async def test_S3_T7_of_a_rotation_no_secret_is_logged(
    at: SeedBench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    keys = [await at.seeded(), at.new_key(), TestKey()]
    for key in keys[1:]:
        at.write(key)
        await at.pass_for(60.0)
    seen = " ".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records)
    for key in keys:
        assert key.secret_key not in seen


async def test_its_namespaces_are_claimed_and_none_is_held_by_it(at: SeedBench) -> None:
    """It belongs to the organization as a whole, so a namespace can be removed while it is there."""
    await at.seeded()
    at.put_organization(namespaces=[])
    await at.settle()
    assert at.bench.said_of_organization()[:2] == ("True", "Ready")
    organization_id = await at.bench.organization_id()
    async with at.bench.services.db.reading(organization_id) as conn:
        assert await claims.of_organization(conn, organization_id) == ()
    assert at.said()[:2] == (True, "Ready")

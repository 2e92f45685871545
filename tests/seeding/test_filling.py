"""S3: the default organization's credential is filled from the files, once, and nobody else's ever."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from inventiv_operator.domain.ids import OrganizationId
from inventiv_operator.domain.ledger import OrganizationRow
from inventiv_operator.kube.errors import Unavailable
from inventiv_operator.kube.kinds import CREDENTIAL, NAMESPACE
from inventiv_operator.store import organizations
from inventiv_operator.store.keyring import new_keyring_file
from rig.fixtures import Premises
from seeding.conftest import SeedBench
from seeding.test_directory import FAULTS
from tenant_rig.bench import TestKey, bench_on


def rows(premises: Premises, statement: str) -> list[dict[str, Any]]:
    """Past row-level security."""
    with psycopg.connect(premises.place.superuser, row_factory=dict_row) as conn:
        return conn.execute(statement.encode()).fetchall()


def credentials_in(premises: Premises) -> list[dict[str, Any]]:
    return rows(premises, "SELECT * FROM providers ORDER BY created_at")


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    found = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    return [message for message in found if message.startswith("seeding")]


async def organization_row(at: SeedBench, name: str = "") -> OrganizationRow:
    async with at.bench.services.db.platform() as conn:
        row = await organizations.find(conn, name or at.bench.name)
    assert row is not None
    return row


async def test_S3_the_default_organization_gets_a_credential_without_an_object(
    at: SeedBench, premises: Premises
) -> None:
    key = at.new_key()
    scaleway = at.bench.project_id  # of a default project Scaleway's organization has the id
    at.write(key, organization_id=scaleway)
    at.put_organization()
    await at.settle()
    [row] = credentials_in(premises)
    assert (row["uid"], row["namespace"], row["state"], row["ready"]) == ("", "", "open", True)
    stored = await at.bench.stored(OrganizationId(row["organization_id"]), row["id"])
    assert (stored.project_id, stored.organization_ref) == (at.bench.project_id, scaleway)
    assert (stored.access_key, stored.secret_key.get_secret_value()) == (key.access_key, key.secret_key)
    assert at.bench.cluster.read(CREDENTIAL, at.bench.name, "seeded") is None


async def test_S3_the_organization_shows_it(at: SeedBench) -> None:
    key = await at.seeded()
    row = await at.row()
    assert row is not None
    status = at.status()
    assert status["credentialID"] == str(row.id)
    assert status["projectID"] == at.bench.project_id
    assert status["accessKey"] == key.access_key
    assert len(status["keyFingerprint"]) == 8
    assert status["lastValidatedAt"]
    assert status["encryptionKeyID"] == "k1"
    assert status["resources"] == {"servers": 0, "volumes": 0, "ips": 0, "securityGroups": 0}
    assert at.bench.said_of_organization()[:2] == ("True", "Ready")


async def test_S3_only_the_default_organization(at: SeedBench, premises: Premises) -> None:
    at.write(at.new_key())
    at.put_organization("other", default=False)
    await at.settle("other")
    assert credentials_in(premises) == []
    assert at.status("other") == {}
    at.put_organization()
    await at.settle()
    assert [row["organization_id"] for row in credentials_in(premises)] == [await at.bench.organization_id()]
    await at.settle("other")
    assert at.status("other") == {}


async def test_S3_the_ledger_itself_fills_nothing_for_another_one(at: SeedBench, premises: Premises) -> None:
    """Also when the controller is wrong about who the default is: it may just have moved."""
    at.write(at.new_key())
    at.put_organization(default=False)
    await at.bench.settle_organization()
    known = await organization_row(at)
    mistaken = OrganizationRow(id=known.id, name=known.name, uid=known.uid, is_default=True, state="open")
    assert await at.opening.open_for(mistaken, [at.bench.name]) is None
    assert credentials_in(premises) == []


async def test_S3_without_a_directory_nothing_is_filled(at: SeedBench, premises: Premises) -> None:
    async with bench_on(premises) as bench:
        bench.cluster.put(NAMESPACE, "", bench.name)
        bench.put_organization(default=True)
        await bench.settle_organization()
        assert bench.queued == []
    assert credentials_in(premises) == []


async def test_S3_nothing_is_filled_where_there_is_a_credential(at: SeedBench, premises: Premises) -> None:
    key = at.new_key()
    at.put_organization(default=False)
    await at.bench.settle_organization()
    at.bench.put_secret(key)
    at.bench.put_credential()
    await at.bench.settle_credential()
    at.write(key)
    at.put_organization(default=True)
    await at.settle()
    assert [row["name"] for row in credentials_in(premises)] == ["scaleway"]
    assert at.status() == {}


async def test_S3_nor_where_an_object_waits_for_its_secret(at: SeedBench, premises: Premises) -> None:
    """There is no row for it yet; it is the tenant's credential all the same."""
    at.write(at.new_key())
    at.put_organization()
    at.bench.put_credential()
    await at.settle()
    assert credentials_in(premises) == []
    at.bench.cluster.vanish(CREDENTIAL, at.bench.name, "scaleway")
    await at.settle()
    assert at.said()[:2] == (True, "Ready")


async def test_S3_an_object_in_somebody_elses_namespace_is_not_its_credential(at: SeedBench) -> None:
    at.bench.cluster.put(CREDENTIAL, "elsewhere", "scaleway", spec={})
    await at.seeded()


async def test_an_api_server_that_does_not_list_fills_nothing(at: SeedBench, premises: Premises) -> None:
    at.write(at.new_key())
    at.put_organization()
    at.bench.cluster.errors["list"] = Unavailable("away")  # of the waking of what is in the namespace
    with pytest.raises(Unavailable):
        await at.settle()
    await at.bench.settle_organization()
    at.bench.cluster.errors["list"] = Unavailable("away")
    assert len(credentials_in(premises)) == 1


async def test_S3_filled_once_whatever_is_repeated(at: SeedBench, premises: Premises) -> None:
    await at.seeded()
    before = credentials_in(premises)
    for _ in range(3):
        await at.settle()
    async with bench_on(premises, seed_dir=at.directory) as again:  # a restart, or the other replica
        again.name, again.project_id = at.bench.name, at.bench.project_id
        again.cluster.put(NAMESPACE, "", again.name)
        again.put_organization(default=True)
        await again.settle_organization()
    after = credentials_in(premises)
    assert [row["id"] for row in after] == [row["id"] for row in before]
    assert len(rows(premises, "SELECT 1 FROM action_logs WHERE action = 'credential-seeded'")) == 1


async def test_S3_two_that_start_at_once_fill_one(at: SeedBench, premises: Premises) -> None:
    at.write(at.new_key())
    at.put_organization()
    at.directory.rename(at.directory.with_name("later"))
    await at.bench.settle_organization()
    at.directory.with_name("later").rename(at.directory)
    organization = await organization_row(at)
    found = await asyncio.gather(
        *(at.opening.open_for(organization, [at.bench.name]) for _ in range(5)), return_exceptions=True
    )
    assert found == [None] * 5
    assert len(credentials_in(premises)) == 1


async def test_S3_a_tenants_own_credential_comes_in_between(
    at: SeedBench, premises: Premises, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its row is committed after the look and before the fill."""
    key = at.new_key()
    at.write(key)
    at.put_organization(default=False)
    await at.bench.settle_organization()
    at.bench.put_secret(key)
    at.bench.put_credential()
    await at.bench.settle_credential()
    at.put_organization(default=True)
    at.directory.rename(at.directory.with_name("later"))
    await at.bench.settle_organization()
    at.directory.with_name("later").rename(at.directory)
    organization = await organization_row(at)
    monkeypatch.setattr(at.opening, "_lacks_one", yes)
    assert await at.opening.open_for(organization, []) is None
    assert [row["name"] for row in credentials_in(premises)] == ["scaleway"]


async def yes(*_: object) -> bool:
    return True


async def test_S3_it_is_told_in_the_audit_log_without_the_secret(at: SeedBench, premises: Premises) -> None:
    key = await at.seeded()
    [line] = rows(premises, "SELECT * FROM action_logs WHERE action = 'credential-seeded'")
    assert line["detail"]["accessKey"] == key.access_key
    assert line["detail"]["credentialID"] == at.status()["credentialID"]
    assert key.secret_key not in str(rows(premises, "SELECT * FROM action_logs"))


# -- what goes wrong ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("spoil", "reason", "says"), FAULTS)
async def test_S3_a_fault_is_one_warning_and_the_operator_goes_on(
    at: SeedBench,
    premises: Premises,
    caplog: pytest.LogCaptureFixture,
    spoil: Callable[[Any], None],
    reason: str,
    says: str,
) -> None:
    key = at.new_key()
    at.write(key)
    spoil(at.directory)
    at.put_organization()
    for _ in range(3):
        result = await at.settle()
    [warning] = warnings_in(caplog)
    assert str(at.directory) in warning
    assert says in warning
    assert at.said()[:2] == (False, reason)
    assert says in at.said()[2]
    assert credentials_in(premises) == []
    assert at.bench.said_of_organization()[:2] == ("True", "Ready")
    assert result.requeue_after_s is not None
    assert result.requeue_after_s <= 30.0
    (at.directory / "organization_id").unlink(missing_ok=True)
    for file in list(at.directory.iterdir()):
        if file.name == "access_key":
            file.rmdir() if file.is_dir() and not file.is_symlink() else file.unlink()
    at.write(key)
    await at.settle()
    assert at.said()[:2] == (True, "Ready")


async def test_S3_a_directory_that_is_mounted_later(at: SeedBench, caplog: pytest.LogCaptureFixture) -> None:
    at.put_organization()
    await at.settle()
    assert warnings_in(caplog) == [f"seeding: seed directory {at.directory} does not exist"]
    at.write(at.new_key())
    await at.settle()
    assert at.said()[:2] == (True, "Ready")
    assert len(warnings_in(caplog)) == 1


async def test_S3_a_warning_is_repeated_only_when_it_changes(
    at: SeedBench, caplog: pytest.LogCaptureFixture
) -> None:
    key = at.new_key()
    at.write(key)
    (at.directory / "access_key").unlink()
    at.put_organization()
    await at.pass_for(300.0)
    assert len(warnings_in(caplog)) == 1
    (at.directory / "secret_key").unlink()
    await at.pass_for(300.0)
    assert len(warnings_in(caplog)) == 2
    at.write(key)
    await at.settle()
    at.take_files_away()
    await at.settle()
    assert len(warnings_in(caplog)) == 3


async def test_S3_a_refused_key_is_one_warning_about_the_files(
    at: SeedBench, caplog: pytest.LogCaptureFixture
) -> None:
    key = TestKey()
    at.write(key)
    at.put_organization()
    await at.pass_for(900.0)
    [warning] = warnings_in(caplog)
    assert str(at.directory) in warning
    assert "the files access_key and secret_key" in warning
    assert at.said()[:2] == (False, "CredentialRejected")
    assert "projectID" not in at.status()  # it was never proven, so it may be anything
    another = TestKey()
    at.write(another)
    await at.pass_for(60.0)
    assert len(warnings_in(caplog)) == 2
    at.write(at.new_key())
    await at.pass_for(60.0)
    assert at.said()[:2] == (True, "Ready")
    for value in (key.secret_key, another.secret_key, at.bench.project_id):
        assert value not in " ".join(warnings_in(caplog))


async def test_S3_a_project_of_another_organization_is_said_and_never_asked_about(
    at: SeedBench, premises: Premises, caplog: pytest.LogCaptureFixture
) -> None:
    await at.bench.made()
    calls = at.bench.calls()
    at.write(at.new_key())
    at.put_organization("platform")
    await at.settle("platform")
    await at.settle("platform")
    assert at.said("platform")[:2] == (False, "ProjectConflict")
    [warning] = warnings_in(caplog)
    assert str(at.directory) in warning
    assert "file project_id" in warning
    assert at.bench.project_id not in warning
    assert [row["name"] for row in credentials_in(premises)] == ["scaleway"]
    assert at.bench.calls() == calls


async def test_S3_a_project_that_another_one_proves_first_is_said_too(
    at: SeedBench, caplog: pytest.LogCaptureFixture
) -> None:
    """The credential is there already, and was not proven yet."""
    key = at.new_key()
    at.write(key)
    at.put_organization("platform")
    at.bench.fault("status", "security_groups", status=503, times=None)
    await at.settle("platform")
    assert at.said("platform")[0] is False
    at.bench.world.faults.clear()
    await at.bench.made_with(at.new_key())
    caplog.clear()
    await at.bench.clock.sleep(60.0)
    await at.settle("platform")
    assert at.said("platform")[:2] == (False, "ProjectConflict")
    assert "spec.projectID" not in at.said("platform")[2]
    assert any("file project_id" in warning for warning in warnings_in(caplog))


async def test_S3_a_wrong_project_that_was_never_proven_can_be_corrected(at: SeedBench) -> None:
    key = at.new_key()
    at.write(key, project_id="99999999-2222-4333-8444-555555555555")
    at.put_organization()
    await at.pass_for(200.0)
    assert at.said()[0] is False
    wrong = await at.row()
    at.write(key)
    await at.pass_for(60.0)
    assert at.said()[:2] == (True, "Ready")
    right = await at.row()
    assert wrong is not None
    assert right is not None
    assert (right.id != wrong.id, right.project_id) == (True, at.bench.project_id)


async def test_S3_a_keyring_without_the_key_is_a_warning(
    at: SeedBench, premises: Premises, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The organization has a data key already, of a credential before."""
    await at.bench.made()
    at.bench.cluster.delete(CREDENTIAL, at.bench.name, "scaleway")
    await at.bench.settle_credential()
    at.write(at.new_key())
    other = tmp_path / "keyring.json"
    keyring = new_keyring_file(other)
    other.write_text(other.read_text().replace(f'"{keyring.primary_id}"', '"k9"'))
    async with bench_on(replace(premises, keyring=other), seed_dir=at.directory) as bench:
        bench.cluster.put(NAMESPACE, "", at.bench.name)
        bench.put_organization(at.bench.name, default=True, namespaces=[])
        await bench.settle_organization(at.bench.name)
        await bench.settle_organization(at.bench.name)
    [warning] = warnings_in(caplog)
    assert f"seed directory {at.directory}" in warning
    assert "the keyring lacks key k1" in warning


async def test_S3_T7_no_secret_reaches_a_log_a_status_or_an_event(
    at: SeedBench, caplog: pytest.LogCaptureFixture
) -> None:
    """Good and bad keys, whole and broken files, at DEBUG."""
    caplog.set_level(logging.DEBUG)
    secrets = [TestKey() for _ in range(3)]
    at.write(secrets[0])
    at.put_organization()
    await at.settle()
    at.bench.admit(secrets[1])
    at.write(secrets[1])
    await at.pass_for(60.0)
    (at.directory / "project_id").write_text(secrets[2].secret_key[:30])
    (at.directory / "access_key").write_text(secrets[2].secret_key)
    await at.pass_for(60.0)
    seen = " ".join(
        (
            *(f"{record.getMessage()} {record.__dict__}" for record in caplog.records),
            str(at.bench.cluster.events),
            str(at.status()),
        )
    )
    assert "seeding" in seen
    for key in secrets:
        assert key.secret_key not in seen
        assert key.secret_key[:30] not in seen


async def test_S3_the_organization_says_so_in_an_event_when_it_stops_being_ready(at: SeedBench) -> None:
    key = await at.seeded()
    assert not [e for e in at.bench.cluster.events if e["type"] == "Warning"]
    at.bench.world.identity.remove_key(key.access_key)
    await at.pass_for(1300.0)
    [event] = [e for e in at.bench.cluster.events if e["type"] == "Warning"]
    assert (event["reason"], event["regarding"]["kind"]) == ("CredentialRejected", "Organization")
    assert "seeded credential" in event["note"]

"""S3: what goes wrong with seeding is one clear warning, shown and never fatal; no value is in it."""

import logging
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from inventiv_operator.kube.kinds import CREDENTIAL, NAMESPACE
from inventiv_operator.store.keyring import new_keyring_file
from rig.fixtures import Premises
from seeding.conftest import SeedBench, credentials_in, warnings_in
from seeding.test_directory import FAULTS
from tenant_rig.bench import TestKey, bench_on


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
    shutil.rmtree(at.directory)
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

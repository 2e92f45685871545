"""S3: the default organization's credential is filled from the files, once, and nobody else's ever."""

import asyncio

import pytest

from inventiv_operator.domain.ids import OrganizationId
from inventiv_operator.domain.ledger import OrganizationRow
from inventiv_operator.kube.errors import Unavailable
from inventiv_operator.kube.kinds import CREDENTIAL, NAMESPACE
from inventiv_operator.store import organizations
from rig.fixtures import Premises
from seeding.conftest import SeedBench, credentials_in, rows
from tenant_rig.bench import bench_on


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


async def test_S3_while_nobody_can_say_whether_there_is_an_object_nothing_is_filled(
    at: SeedBench, premises: Premises
) -> None:
    at.put_organization()
    await at.settle()  # its namespace is claimed
    at.write(at.new_key())
    at.bench.cluster.errors["list"] = Unavailable("away")
    with pytest.raises(Unavailable):
        await at.bench.settle_organization()
    assert credentials_in(premises) == []
    await at.settle()
    assert at.said()[:2] == (True, "Ready")


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

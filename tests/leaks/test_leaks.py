"""The command beside an operator, on a real database and a simulated Scaleway."""

from decimal import Decimal
from uuid import uuid4

import pytest

from inventiv_operator.domain.ids import CredentialId, ProjectId
from inventiv_operator.domain.leaks import Finding
from inventiv_operator.store import seeded, settings
from inventiv_operator.store.errors import CannotStart
from leaks.conftest import KNOWN, NAME, OURS, ZONE, Stage, findings, of, thing

LEDGER = """
SELECT 'r', r::text FROM cloud_resources r UNION ALL SELECT 'd', d::text FROM deployments d
UNION ALL SELECT 'i', i::text FROM instances i UNION ALL SELECT 'p', p::text FROM providers p
UNION ALL SELECT 's', s::text FROM provider_settings s
UNION ALL SELECT 'z', z::text FROM provider_zone_controls z
ORDER BY 1, 2
"""


async def test_what_is_as_the_ledger_has_it_is_a_clean_bill_with_its_cost(stage: Stage) -> None:
    await stage.deploy(stage.acme)
    report = await stage.run()
    assert report.is_clean, report.sentence()
    assert [one.name for one in report.organizations] == sorted((stage.acme.namespace, stage.beta.namespace))
    acme = of(report, stage.acme)
    assert acme.name == f"{stage.acme.namespace}/scaleway"
    assert findings(acme) == KNOWN
    server, volume, group = acme.things
    assert server.thing.deployment == f"{stage.acme.namespace}/{NAME}"
    assert server.thing.ref == stage.server_of(stage.acme)
    assert server.eur_per_hour == Decimal("0.7875")  # L4-1-24G
    size_gb = next(v.size_bytes for v in stage.world.block_volumes) // 10**9
    assert volume.eur_per_hour == size_gb * Decimal("0.000130")
    assert group.eur_per_hour == 0
    assert len(acme.zones) == 10
    assert of(report, stage.beta).things == ()
    assert report.sentence().startswith("Nothing but known things: 3 things of 2 organizations, 0.7")


async def test_nothing_is_changed_at_the_provider_and_in_the_ledger(stage: Stage) -> None:
    """Not even to make a control, where a project has no default security group."""
    await stage.deploy(stage.acme)
    stage.fault("status", r"security_groups\?", status=200, body={"security_groups": []}, times=None)
    before, since = stage.rows(LEDGER), stage.last_call
    await stage.run()
    calls = stage.calls(since=since)
    assert len(calls) > 90
    assert {method for method, _ in calls} == {"GET"}
    assert {key for _, key in calls} == {stage.acme.access_key, stage.beta.access_key}
    assert stage.rows(LEDGER) == before


async def test_each_key_that_was_used_is_in_the_audit_log(stage: Stage) -> None:
    actions = "SELECT organization_id, action FROM action_logs WHERE id > %s ORDER BY id"
    last = stage.rows("SELECT coalesce(max(id), 0) FROM action_logs")[0][0]
    await stage.run()
    found = stage.rows(actions, last)
    assert sorted(found) == sorted(
        (tenant.organization_id, "key-used") for tenant in (stage.acme, stage.beta)
    )


async def test_a_server_with_our_tags_that_the_ledger_does_not_know_is_an_orphan(stage: Stage) -> None:
    orphan = await stage.make_server(stage.acme, tags=OURS, zone="nl-ams-2")
    report = await stage.run()
    assert not report.is_clean
    found = thing(of(report, stage.acme), orphan)
    assert (found.thing.finding, found.thing.zone) == (Finding.ORPHAN, "nl-ams-2")
    (disk,) = (v.id for v in stage.world.block_volumes)
    assert disk in found.thing.note
    assert of(report, stage.acme).foreign == 1  # its disk
    assert of(report, stage.beta).things == ()


async def test_tags_of_another_installation_are_suspect(stage: Stage) -> None:
    other = uuid4()
    made = await stage.make_server(stage.acme, tags=[f"inventiv-installation={other}"])
    found = thing(of(await stage.run(), stage.acme), made).thing
    assert found.finding is Finding.UNKNOWN_INSTALLATION
    assert str(other) in found.note


async def test_a_flexible_ip_with_our_tags_is_an_orphan_and_has_its_price(stage: Stage) -> None:
    body = {"project": stage.acme.project_id, "type": "routed_ipv4", "tags": OURS}
    made = await stage.by_hand(stage.acme, "POST", f"/instance/v1/zones/{ZONE}/ips", body)
    found = thing(of(await stage.run(), stage.acme), made["ip"]["id"])
    assert (found.thing.finding, found.eur_per_hour) == (Finding.ORPHAN, Decimal("0.005"))


async def test_a_server_that_was_deleted_behind_our_back_is_missing(stage: Stage) -> None:
    await stage.deploy(stage.acme)
    await stage.rest()
    gone = stage.server_of(stage.acme)
    await stage.by_hand(
        stage.acme, "POST", f"/instance/v1/zones/{ZONE}/servers/{gone}/action", {"action": "terminate"}
    )
    await stage.rest()
    report = await stage.run()
    assert findings(of(report, stage.acme)) == [
        ("missing", "server"),
        ("known", "volume"),
        ("known", "security_group"),
    ]
    assert thing(of(report, stage.acme), gone).eur_per_hour is None
    assert "1 missing" in report.sentence()


async def test_a_lost_deployment_is_shown_with_what_it_costs(stage: Stage) -> None:
    await stage.deploy(stage.acme)
    stage.kube.vanish(stage.acme.namespace, NAME)
    await stage.process.reconcile(stage.acme.namespace, NAME)
    report = await stage.run()
    acme = of(report, stage.acme)
    assert findings(acme) == [("lost", "server"), ("lost", "volume"), ("lost", "security_group")]
    assert thing(acme, stage.server_of(stage.acme)).eur_per_hour == Decimal("0.7875")
    assert not report.is_clean


async def test_what_stays_on_its_way_out_is_unproven(stage: Stage) -> None:
    await stage.deploy(stage.acme)
    stage.rows("UPDATE cloud_resources SET state = 'deleting', changed_at = %s", stage.clock.now())
    assert findings(of(await stage.run(), stage.acme)) == KNOWN
    await stage.rest(16 * 60.0)
    report = await stage.run()
    assert {finding for finding, _ in findings(of(report, stage.acme))} == {"unproven"}


async def test_what_the_ledger_calls_gone_and_is_there_is_an_orphan(stage: Stage) -> None:
    await stage.deploy(stage.acme)
    stage.rows("UPDATE cloud_resources SET state = 'absent' WHERE kind = 'volume'")
    await stage.rest()
    assert findings(of(await stage.run(), stage.acme)) == [
        ("orphan", "volume"),
        ("known", "server"),
        ("known", "security_group"),
    ]
    assert (
        "still there, and the ledger has it as absent" in of(stage.said[-1], stage.acme).things[0].thing.note
    )


# -- zones


async def test_a_zone_that_the_endpoint_does_not_know_is_left_out(stage: Stage) -> None:
    """And one that has no block storage is listed without."""
    body = {
        "type": "not_found",
        "resource": "zone",
        "resource_id": "pl-waw-3",
        "message": "resource is not found",
    }
    stage.fault("status", "zones/pl-waw-3/", status=404, body=body, times=None)
    report = await stage.run()
    assert report.is_clean
    assert "pl-waw-3" not in of(report, stage.acme).zones
    assert "it-mil-1" in of(report, stage.acme).zones


async def test_a_project_that_is_not_found_is_no_zone_that_is_not_there(stage: Stage) -> None:
    """The same 404 of every list, but the zone's catalog answers: nothing may be concluded."""
    body = {
        "type": "not_found",
        "resource": "project",
        "resource_id": "x",
        "message": "resource is not found",
    }
    stage.fault(
        "status", rf"zones/{ZONE}/(servers|volumes|ips|security_groups)\?", status=404, body=body, times=None
    )
    report = await stage.run()
    assert {name.zone for name, _ in of(report, stage.acme).unlisted} == {ZONE}
    assert not report.is_clean


async def test_a_zone_that_nobody_lists_is_looked_at_where_the_ledger_had_something(stage: Stage) -> None:
    await stage.deploy(stage.acme)
    stage.rows("UPDATE cloud_resources SET zone = 'de-ber-1', state = 'absent' WHERE kind = 'volume'")
    since = stage.last_call
    await stage.run()
    paths = [call.path for call in stage.world.calls.since(since) if "de-ber-1" in call.path]
    assert "/instance/v1/zones/de-ber-1/servers" in paths


async def test_without_a_catalog_the_price_is_unknown_and_the_rest_is_said(stage: Stage) -> None:
    await stage.deploy(stage.acme)
    stage.fault("status", "products/servers", status=500, times=None)
    report = await stage.run()
    assert report.is_clean
    assert thing(of(report, stage.acme), stage.server_of(stage.acme)).eur_per_hour is None
    assert "1 of unknown price" in report.sentence()


# -- one organization, and credentials without an object


async def test_one_organization_is_looked_at_alone(stage: Stage) -> None:
    await stage.deploy(stage.acme)
    await stage.deploy(stage.beta)
    since = stage.last_call
    report = await stage.run(stage.acme.namespace)
    assert [one.name for one in report.organizations] == [stage.acme.namespace]
    assert findings(of(report, stage.acme)) == KNOWN
    assert {key for _, key in stage.calls(since=since)} == {stage.acme.access_key}


async def test_tags_that_name_another_organizations_deployment_tell_nothing_of_it(stage: Stage) -> None:
    await stage.deploy(stage.beta)
    ((deployment_id,),) = stage.rows("SELECT id FROM deployments")
    copied = await stage.make_server(stage.acme, tags=[*OURS, f"inventiv-deployment={deployment_id}"])
    found = thing(of(await stage.run(stage.acme.namespace), stage.acme), copied).thing
    assert (found.finding, found.deployment) == (Finding.ORPHAN, "")


async def test_an_organization_that_is_not_there_is_an_error_that_names_those_that_are(stage: Stage) -> None:
    with pytest.raises(CannotStart) as caught:
        await stage.run("acne")
    said = str(caught.value)
    assert "there is no organization 'acne'" in said
    assert stage.acme.namespace in said
    assert stage.beta.namespace in said
    assert stage.last_call == 0


async def test_S3_a_seeded_credential_is_shown_like_any_other(stage: Stage) -> None:
    tenant, keyring = stage.beta, stage.keyring.current()
    stage.rows("UPDATE organizations SET is_default = true WHERE id = %s", tenant.organization_id)
    stage.rows("UPDATE providers SET state = 'closed', closed_at = now() WHERE id = %s", tenant.credential_id)
    seeded_id = CredentialId(uuid4())
    async with stage.process.services.writing(tenant.organization_id) as conn:
        stored = await settings.read_secrets(conn, tenant.credential_id, keyring=keyring)
        made = await seeded.open_seeded(
            conn,
            id=seeded_id,
            organization_id=tenant.organization_id,
            project_id=ProjectId(tenant.project_id),
        )
        assert made is not None
        await settings.write_secrets(conn, seeded_id, stored, keyring=keyring)
    orphan = await stage.make_server(tenant, tags=OURS)
    beta = of(await stage.run(), tenant)
    assert (beta.name, beta.credential.id) == ("seeded", seeded_id)
    assert thing(beta, orphan).thing.finding is Finding.ORPHAN


@pytest.mark.parametrize("name", ["a-first-one", "z-last-one"])
async def test_two_credentials_of_one_project_do_not_call_each_others_things_orphans(
    stage: Stage, name: str
) -> None:
    """A seeded one that an object has taken the place of: what it made is its own still."""
    await stage.deploy(stage.acme)
    other = uuid4()
    stage.rows(
        "INSERT INTO providers (id, organization_id, namespace, name, uid, project_id, is_default, state)"
        " SELECT %s, organization_id, namespace, %s, 'u2', project_id, false, 'open'"
        " FROM providers WHERE id = %s",
        other,
        name,
        stage.acme.credential_id,
    )
    async with stage.process.services.writing(stage.acme.organization_id) as conn:
        keyring = stage.keyring.current()
        stored = await settings.read_secrets(conn, stage.acme.credential_id, keyring=keyring)
        await settings.write_secrets(conn, CredentialId(other), stored, keyring=keyring)
    orphan = await stage.make_server(stage.acme, tags=OURS)
    report = await stage.run(stage.acme.namespace)
    ((first, second),) = (one.credentials for one in report.organizations)
    assert [one.credential.name for one in (first, second)] == sorted(("scaleway", name))
    holder = first if first.credential.id == stage.acme.credential_id else second
    assert findings(first) == [("orphan", "server"), *(KNOWN if first is holder else [])]
    assert first.things[0].thing.ref == orphan
    assert findings(second) == (KNOWN if second is holder else [])
    assert (first.foreign, second.foreign) == (1, 0)  # the disk of the orphan


async def test_a_credential_in_quarantine_of_a_closed_organization_is_looked_at(stage: Stage) -> None:
    now = stage.clock.now()
    stage.rows(
        "UPDATE providers SET state = 'closing', closing_at = %s WHERE id = %s", now, stage.beta.credential_id
    )
    stage.rows(
        "UPDATE organizations SET state = 'closed', closed_at = %s WHERE id = %s",
        now,
        stage.beta.organization_id,
    )
    orphan = await stage.make_server(stage.beta, tags=OURS)
    report = await stage.run()
    assert report.organizations[-1].name == stage.beta.namespace
    assert thing(of(report, stage.beta), orphan).thing.finding is Finding.ORPHAN


async def test_a_database_that_no_operator_has_used_is_said(stage: Stage) -> None:
    stage.rows("DELETE FROM installation")
    with pytest.raises(CannotStart, match="no operator has run on this database"):
        await stage.run()

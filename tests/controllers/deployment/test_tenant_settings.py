"""What the tenant has set on its organization and its credential, as its deployments are given it (S8)."""

from typing import Any
from uuid import uuid4

import pytest

from controllers.deployment.conftest import NAME, Rig
from inventiv_operator.domain.ids import Zone
from inventiv_operator.domain.settings import Layer
from inventiv_operator.kube.kinds import CLEANUP_FINALIZER
from inventiv_operator.store import credentials, settings
from inventiv_operator.store.keyring import KeyringFile
from rig.process import STEADY_S
from rig.tenant import ZONE, RigTenant, new_tenant, write_tenant
from scaleway_simulator import outside

NEVER: dict[str, Any] = {"readiness": {"tcpSocket": {"port": 8000}}, "failedRetentionSeconds": 600}
"""Nothing answers there, so the startup timeout is what ends the wait."""
TIMEOUT = "INSTANCE_STARTUP_TIMEOUT_S"
ELSEWHERE = Zone("nl-ams-1")


async def put_settings(
    rig: Rig,
    *,
    organization: Layer | None = None,
    credential: Layer | None = None,
    tenant: RigTenant | None = None,
) -> None:
    """As the reconcilers of the two kinds do; a level that is None stays as it is."""
    whose = tenant or rig.tenant
    async with rig.process.services.writing(whose.organization_id) as conn:
        for level, credential_id in ((organization, None), (credential, whose.credential_id)):
            if level is not None:
                await settings.replace_settings(
                    conn, level, organization_id=whose.organization_id, credential_id=credential_id
                )


async def may_be_used_in(rig: Rig, *zones: Zone) -> None:
    namespace = await rig.kube.get_namespace(rig.tenant.namespace)
    assert namespace is not None
    async with rig.process.services.writing(rig.tenant.organization_id) as conn:
        row = await credentials.get(conn, rig.tenant.credential_id)
        assert row is not None
        await credentials.open_credential(
            conn,
            id=row.id,
            organization_id=row.organization_id,
            namespace=row.namespace,
            namespace_uid=namespace["metadata"]["uid"],
            name=row.name,
            uid=row.uid,
            project_id=row.project_id,
            is_default=row.is_default,
            zones=zones or None,
        )


# -- startup timeout -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("own", "credential", "organization", "after_s"),
    [
        pytest.param({"startupTimeoutSeconds": 60}, {TIMEOUT: 900}, {TIMEOUT: 900}, 60, id="own-field"),
        pytest.param({}, {TIMEOUT: 60}, {TIMEOUT: 900}, 60, id="credential"),
        pytest.param({}, {}, {TIMEOUT: 60}, 60, id="organization"),
        pytest.param({}, {"WORKER_INSTANCE_STARTUP_TIMEOUT_S": 60}, {}, 300, id="built-in"),
    ],
)
async def test_S8_a_start_fails_after_the_first_timeout_that_is_set(
    rig: Rig, own: dict[str, Any], credential: Layer, organization: Layer, after_s: float
) -> None:
    await put_settings(rig, organization=organization, credential=credential)
    rig.apply(**NEVER, **own)
    took_s = await rig.until_reason("StartupTimeout")
    assert after_s < took_s < after_s + 40


async def test_S8_a_changed_default_of_the_organization_counts_in_the_next_pass_without_a_restart(
    rig: Rig,
) -> None:
    await put_settings(rig, organization={TIMEOUT: 900})
    rig.apply(**NEVER)
    await rig.rest(400)
    assert rig.ready["reason"] == "Starting"
    assert len(rig.servers) == 1
    await put_settings(rig, organization={TIMEOUT: 30})
    await rig.until_reason("StartupTimeout", within_s=STEADY_S)


async def test_S8_a_setting_that_is_taken_back_falls_through_in_the_next_pass(rig: Rig) -> None:
    await put_settings(rig, organization={TIMEOUT: 60}, credential={TIMEOUT: 900})
    rig.apply(**NEVER)
    await rig.rest(200)
    assert rig.ready["reason"] == "Starting"
    await put_settings(rig, credential={})
    await rig.until_reason("StartupTimeout", within_s=STEADY_S)


async def test_T6_the_settings_of_another_tenant_change_nothing(rig: Rig) -> None:
    other = new_tenant()
    await write_tenant(
        rig.around.database,
        other,
        fence=rig.process.leader.fence(),
        namespace_uid=str(uuid4()),
        keyring=KeyringFile(rig.around.keyring).current(),
        now=rig.around.clock.now(),
    )
    await put_settings(rig, tenant=other, organization={TIMEOUT: 30}, credential={TIMEOUT: 30})
    rig.apply(**NEVER)
    await rig.rest(250)
    assert rig.ready["reason"] == "Starting"
    await put_settings(rig, tenant=other, organization={TIMEOUT: 86400}, credential={TIMEOUT: 86400})
    await rig.until_reason("StartupTimeout", within_s=100.0)


# -- zones ---------------------------------------------------------------------------------------------------


async def test_in_a_zone_that_its_credential_is_not_for_nothing_is_begun(rig: Rig) -> None:
    await may_be_used_in(rig, ELSEWHERE, Zone("pl-waw-1"))
    rig.apply(replicas=2)
    await rig.until_reason("ZoneNotAllowed")
    assert rig.ready["status"] == "False"
    message = rig.ready["message"]
    assert ZONE in message
    assert "ProviderCredential scaleway" in message
    assert "only in nl-ams-1, pl-waw-1" in message
    await rig.rest(600)
    assert list(rig.world.calls.since(0)) == []
    assert CLEANUP_FINALIZER not in ((rig.body or {})["metadata"].get("finalizers") or [])
    await may_be_used_in(rig, ELSEWHERE, Zone(ZONE))
    await rig.until_ready()


async def test_what_exists_in_a_zone_that_is_no_longer_allowed_is_watched_and_deleted(rig: Rig) -> None:
    rig.apply(replicas=3)
    await rig.until_ready()
    await may_be_used_in(rig, ELSEWHERE)
    await rig.until_reason("ZoneNotAllowed", within_s=STEADY_S + 1)
    assert (rig.status["phase"], rig.status["ready"], rig.status["readyReplicas"]) == ("Degraded", "3/3", 3)
    outside.delete(rig.world, rig.servers[0]["id"], {})
    await rig.until(lambda: rig.status["ready"] == "2/3")
    rig.apply(replicas=5)
    await rig.rest(600)
    assert rig.ready["reason"] == "ZoneNotAllowed"
    assert len(rig.servers) == 2
    rig.apply(replicas=1)
    await rig.until(lambda: len(rig.servers) == 1)
    rig.delete()
    await rig.until_gone()
    rig.assert_nothing_left()


async def test_a_zone_that_is_allowed_again_goes_on_in_the_next_pass(rig: Rig) -> None:
    rig.apply(replicas=1)
    await rig.until_ready()
    await may_be_used_in(rig, ELSEWHERE)
    rig.apply(replicas=2)
    await rig.until_reason("ZoneNotAllowed")
    await may_be_used_in(rig)
    await rig.until_ready(within_s=STEADY_S + 60.0)
    assert len(rig.servers) == 2


async def test_a_zone_that_is_not_allowed_is_said_before_a_credential_that_is_not_ready(rig: Rig) -> None:
    """The second may mend by itself, and the first never does."""
    rig.apply(replicas=1)
    await rig.until_ready()
    await may_be_used_in(rig, ELSEWHERE)
    async with rig.process.services.writing(rig.tenant.organization_id) as conn:
        await credentials.set_not_ready(conn, rig.tenant.credential_id, reason="CredentialRejected")
    await rig.until_reason("ZoneNotAllowed", within_s=STEADY_S + 1)
    assert rig.kube.condition(rig.tenant.namespace, NAME, "CredentialReady")["status"] == "False"

"""T1: a namespace that was deleted and made anew inherits no credential of the tenant before."""

from credential.process import Deployments, deployments_of
from inventiv_operator.api.supported import ABANDON
from inventiv_operator.controllers.claiming import CLAIM_ANNOTATION
from inventiv_operator.controllers.credential.reconciler import REFRESH_S
from inventiv_operator.domain.ledger import CredentialRow
from inventiv_operator.kube.kinds import (
    CLEANUP_FINALIZER,
    CREDENTIAL,
    DEPLOYMENT,
    NAMESPACE,
    ORGANIZATION,
    SECRET,
)
from inventiv_operator.store import credentials
from scaleway_simulator.billing import billed
from tenant_rig.bench import Bench, TestKey

DAY_S = 24 * 3600.0


def servers(bench: Bench) -> int:
    bench.world.settle()
    return len(billed(bench.world)["servers"])


async def gone_with_servers_left(bench: Bench) -> tuple[TestKey, Deployments]:
    """Every finalizer was taken away, and the namespace went: two servers run on, and the key is kept for
    them (L9).
    """
    key = await bench.made()
    made = deployments_of(bench)
    made.apply("llama", replicas=2)
    await made.until_ready("llama")
    for kind, name in ((DEPLOYMENT, "llama"), (CREDENTIAL, "scaleway"), (SECRET, "scaleway")):
        bench.cluster.vanish(kind, bench.name, name)
    bench.cluster.vanish(NAMESPACE, "", bench.name)
    await made.step("llama")
    await bench.settle_credential()
    await bench.settle_organization()
    assert servers(bench) == 2
    return key, made


async def stranger_comes(bench: Bench) -> None:
    """He makes namespace and credential anew, for the same project: its id is no secret."""
    bench.cluster.put(NAMESPACE, "", bench.name)
    await bench.settle_organization()
    assert bench.said_of_organization()[1] == "NamespaceConflict"
    bench.put_secret(TestKey())  # Scaleway does not know it
    bench.put_credential()


def put_our_finalizer(bench: Bench) -> None:
    """As anybody may who may edit the object."""
    bench.cluster.put(CREDENTIAL, bench.name, "scaleway", metadata={"finalizers": [CLEANUP_FINALIZER]})


def is_there(bench: Bench) -> bool:
    return bench.cluster.read(CREDENTIAL, bench.name, "scaleway") is not None


async def in_ledger(bench: Bench, row: CredentialRow) -> dict[str, int]:
    async with bench.services.db.reading(row.organization_id) as conn:
        cursor = await conn.execute(
            "SELECT state, count(*) FROM cloud_resources WHERE provider_id = %s GROUP BY state", (row.id,)
        )
        return dict(await cursor.fetchall())


async def audit_lines(bench: Bench, row: CredentialRow) -> int:
    async with bench.services.db.reading(row.organization_id) as conn:
        found = await (await conn.execute("SELECT count(*) FROM action_logs")).fetchone()
    assert found is not None
    return int(found[0])


async def test_T1_a_stranger_learns_nothing_of_the_credential_before(bench: Bench) -> None:
    key, _ = await gone_with_servers_left(bench)
    row = await bench.row()
    await stranger_comes(bench)
    result = await bench.settle_credential()
    assert bench.said()[:2] == ("False", "OrganizationMissing")
    assert set(bench.status()) <= {"conditions", "observedGeneration"}
    body = repr(bench.cluster.read(CREDENTIAL, bench.name, "scaleway"))
    assert not [fact for fact in (key.access_key, row.key_fingerprint, str(row.id)) if fact in body]
    assert result.organization is None
    assert await bench.row() == row  # nor did he change anything of it


async def test_T1_a_stranger_does_not_give_up_the_servers_of_the_tenant_before(bench: Bench) -> None:
    key, _ = await gone_with_servers_left(bench)
    bench.world.identity.remove_key(key.access_key)
    row = await bench.row()
    async with bench.services.writing(row.organization_id) as conn:
        await credentials.set_not_ready(
            conn, row.id, reason="CredentialRejected", rejected_at=bench.clock.now()
        )
    await stranger_comes(bench)
    put_our_finalizer(bench)
    bench.cluster.put(CREDENTIAL, bench.name, "scaleway", metadata={"annotations": {ABANDON: str(row.id)}})
    bench.cluster.delete(CREDENTIAL, bench.name, "scaleway")
    await bench.clock.sleep(DAY_S + 60.0)
    before = await in_ledger(bench, row)
    assert before
    assert "abandoned" not in before
    await bench.settle_credential()
    assert await in_ledger(bench, row) == before
    assert not is_there(bench)  # nothing was ever begun for this one


async def test_T1_no_call_and_no_audit_line_come_of_a_strangers_key(bench: Bench) -> None:
    """Neither while his object lives nor while it goes."""
    await gone_with_servers_left(bench)
    row = await bench.row()
    await stranger_comes(bench)
    calls, lines = bench.calls(), await audit_lines(bench, row)
    await bench.settle_credential()
    put_our_finalizer(bench)
    bench.cluster.delete(CREDENTIAL, bench.name, "scaleway")
    await bench.settle_credential()
    assert (bench.calls(), await audit_lines(bench, row)) == (calls, lines)


async def test_T5_a_row_comes_to_its_end_though_a_stranger_has_the_name(bench: Bench) -> None:
    """The terminator takes his object for the row's."""
    bench.without_default_group()  # so that one of ours is to be removed
    await bench.made()
    for kind in (CREDENTIAL, SECRET):
        bench.cluster.vanish(kind, bench.name, "scaleway")
    bench.cluster.vanish(NAMESPACE, "", bench.name)
    await stranger_comes(bench)
    bench.fault("status", "security_groups/", method="DELETE", status=503, times=None)
    assert (await bench.settle_credential()).requeue_after_s == REFRESH_S
    assert (await bench.row()).state == "open"
    bench.world.faults.clear()
    await bench.pass_for(300.0)
    assert (await bench.row()).state == "closing"
    assert bench.groups() == []
    assert is_there(bench)
    assert bench.said()[:2] == ("False", "OrganizationMissing")


async def test_T5_the_tenant_that_claims_its_namespace_anew_has_its_credential_back(bench: Bench) -> None:
    """It waits for nobody: the platform team says that it is the same tenant's."""
    await gone_with_servers_left(bench)
    row = await bench.row()
    bench.cluster.put(NAMESPACE, "", bench.name)
    new = TestKey()
    bench.admit(new)
    bench.put_secret(new)
    bench.put_credential()
    await bench.settle_credential()
    assert bench.said()[:2] == ("False", "OrganizationMissing")
    anew = f"{bench.name}={bench.namespace_uid()}"
    bench.cluster.put(ORGANIZATION, "", bench.name, metadata={"annotations": {CLAIM_ANNOTATION: anew}})
    await bench.settle_organization()
    await bench.settle_credential()
    assert bench.said()[:2] == ("True", "Ready"), bench.said()
    assert bench.status()["credentialID"] == str(row.id)
    assert await bench.stored_access_key() == new.access_key

"""Organizations: a durable id, and namespaces that belong to one tenant at a time (T1)."""

import pytest

from inventiv_operator.kube.errors import Unavailable
from inventiv_operator.kube.kinds import CREDENTIAL, DEPLOYMENT, NAMESPACE, ORGANIZATION
from inventiv_operator.runtime.queue import Key
from rig.log_lines import log_lines
from tenant_rig.bench import Bench


def status(bench: Bench, name: str = "") -> dict[str, object]:
    return (bench.cluster.read(ORGANIZATION, "", name or bench.name) or {}).get("status") or {}


def delete(bench: Bench) -> None:
    bench.cluster.delete(ORGANIZATION, "", bench.name)


def is_gone(bench: Bench) -> bool:
    return bench.cluster.read(ORGANIZATION, "", bench.name) is None


async def test_it_gets_an_id_claims_its_namespace_and_labels_it(bench: Bench) -> None:
    await bench.claimed()
    assert bench.said_of_organization()[:2] == ("True", "Ready")
    said = status(bench)
    assert said["organizationID"] == str(await bench.organization_id())
    assert said["installationID"] == "11111111-1111-4111-8111-111111111111"
    uid = (bench.cluster.read(NAMESPACE, "", bench.name) or {})["metadata"]["uid"]
    assert said["namespaces"] == [{"name": bench.name, "uid": uid, "claimed": True}]
    assert bench.cluster.label_of(bench.name) == bench.name


async def test_the_first_pass_of_a_new_process_says_which_organization_it_is_about(bench: Bench) -> None:
    await bench.claimed()
    organization_id = await bench.organization_id()
    delete(bench)
    with log_lines() as lines:
        await bench.settle_organization()
    (closed,) = [line for line in lines if line["message"].startswith("organization closed")]
    assert closed["organization"] == str(organization_id)


async def test_at_rest_nothing_is_written(bench: Bench) -> None:
    await bench.claimed()
    before = bench.cluster.status_writes
    await bench.settle_organization()
    assert bench.cluster.status_writes == before


async def test_a_namespace_that_does_not_exist_yet_is_awaited(bench: Bench) -> None:
    bench.put_organization()
    result = await bench.settle_organization()
    status_, reason, message = bench.said_of_organization()
    assert (status_, reason) == ("False", "Progressing")
    assert bench.name in message
    assert result.requeue_after_s is not None
    bench.cluster.put(NAMESPACE, "", bench.name)
    await bench.settle_organization()
    assert bench.said_of_organization()[:2] == ("True", "Ready")


async def test_T1_a_namespace_belongs_to_the_first(bench: Bench) -> None:
    await bench.claimed()
    other = f"{bench.name}-other"
    bench.put_organization(other)
    await bench.settle_organization(other)
    status_, reason, message = bench.said_of_organization(other)
    assert (status_, reason) == ("False", "NamespaceConflict")
    assert "belongs to another Organization" in message
    assert bench.cluster.label_of(bench.name) == bench.name
    bench.put_organization(namespaces=[])
    await bench.settle_organization()
    await bench.settle_organization(other)
    assert bench.said_of_organization(other)[:2] == ("True", "Ready")
    assert bench.cluster.label_of(bench.name) == other


async def test_T1_a_namespace_made_anew_is_claimed_only_when_the_platform_says_so(bench: Bench) -> None:
    await bench.claimed()
    bench.cluster.vanish(NAMESPACE, "", bench.name)
    await bench.settle_organization()
    assert bench.said_of_organization()[:2] == ("False", "Progressing")
    uid = bench.cluster.put(NAMESPACE, "", bench.name)["metadata"]["uid"]
    await bench.settle_organization()
    _, reason, message = bench.said_of_organization()
    assert reason == "NamespaceConflict"
    assert f"inventiv.io/claim: {bench.name}={uid}" in message
    assert bench.cluster.label_of(bench.name) is None
    bench.cluster.put(
        ORGANIZATION,
        "",
        bench.name,
        metadata={"annotations": {"inventiv.io/claim": f"x=y, {bench.name}={uid}"}},
    )
    await bench.settle_organization()
    assert bench.said_of_organization()[:2] == ("True", "Ready")
    assert bench.cluster.label_of(bench.name) == bench.name


async def test_a_namespace_made_anew_with_something_left_in_it_follows_the_platforms_word(
    bench: Bench,
) -> None:
    """Whose credentials and lost deployments would otherwise stay out of reach of everybody."""
    await bench.made()
    before = await bench.row()
    bench.cluster.vanish(NAMESPACE, "", bench.name)
    uid = bench.cluster.put(NAMESPACE, "", bench.name)["metadata"]["uid"]
    await bench.settle_organization()
    assert bench.said_of_organization()[1] == "NamespaceConflict"
    assert bench.cluster.label_of(bench.name) is None
    bench.cluster.put(
        ORGANIZATION, "", bench.name, metadata={"annotations": {"inventiv.io/claim": f"{bench.name}={uid}"}}
    )
    await bench.settle_organization()
    assert bench.said_of_organization()[:2] == ("True", "Ready")
    assert status(bench)["namespaces"] == [{"name": bench.name, "uid": uid, "claimed": True}]
    assert bench.cluster.label_of(bench.name) == bench.name
    await bench.settle_credential()
    assert bench.said()[:2] == ("True", "Ready")
    assert (await bench.row()).id == before.id


async def test_T1_a_namespace_of_another_uid_is_not_labelled_while_the_earlier_one_is_in_use(
    bench: Bench,
) -> None:
    await bench.made()
    bench.cluster.vanish(NAMESPACE, "", bench.name)
    bench.cluster.put(NAMESPACE, "", bench.name)
    for namespaces in ([bench.name], [], [bench.name]):
        bench.put_organization(namespaces=namespaces)
        await bench.settle_organization()
        assert bench.cluster.label_of(bench.name) is None


async def test_removing_and_adding_the_name_claims_it_anew_too(bench: Bench) -> None:
    await bench.claimed()
    bench.cluster.vanish(NAMESPACE, "", bench.name)
    bench.cluster.put(NAMESPACE, "", bench.name)
    for namespaces in ([], [bench.name]):
        bench.put_organization(namespaces=namespaces)
        await bench.settle_organization()
    assert bench.said_of_organization()[:2] == ("True", "Ready")


async def test_a_namespace_in_use_cannot_be_removed(bench: Bench) -> None:
    await bench.made()
    bench.put_organization(namespaces=[])
    await bench.settle_organization()
    status_, reason, message = bench.said_of_organization()
    assert (status_, reason) == ("False", "NamespaceInUse")
    assert bench.name in message
    assert bench.cluster.label_of(bench.name) == bench.name
    assert await bench.row()  # and its credential is still its own
    await bench.settle_credential()
    assert bench.said()[:2] == ("True", "Ready")


async def test_what_waits_in_a_namespace_is_looked_at_when_it_is_claimed(bench: Bench) -> None:
    bench.cluster.put(NAMESPACE, "", bench.name)
    bench.cluster.put(CREDENTIAL, bench.name, "scaleway", spec={})
    bench.cluster.put(DEPLOYMENT, bench.name, "llama", spec={})
    bench.put_organization()
    bench.cluster.errors["list"] = Unavailable("away")
    with pytest.raises(Unavailable):
        await bench.settle_organization()
    await bench.settle_organization()
    wanted = [Key("ProviderCredential", bench.name, "scaleway"), Key("Deployment", bench.name, "llama")]
    assert bench.queued == wanted
    await bench.settle_organization()
    assert bench.queued == wanted


async def test_at_most_one_is_the_default(bench: Bench) -> None:
    bench.put_organization(default=True, namespaces=[])
    await bench.settle_organization()
    assert bench.said_of_organization()[:2] == ("True", "Ready")
    other = f"{bench.name}-other"
    bench.put_organization(other, default=True, namespaces=[])
    await bench.settle_organization(other)
    assert bench.said_of_organization(other)[:2] == ("False", "DefaultConflict")
    bench.put_organization(default=False, namespaces=[])
    await bench.settle_organization()
    await bench.settle_organization(other)
    assert bench.said_of_organization(other)[:2] == ("True", "Ready")
    bench.put_organization(other, default=False, namespaces=[])
    await bench.settle_organization(other)


async def test_unsupported_fields_claim_nothing(bench: Bench) -> None:
    bench.cluster.put(NAMESPACE, "", bench.name)
    bench.put_organization(quota={"instances": 1}, suspended=True)
    await bench.settle_organization()
    status_, reason, message = bench.said_of_organization()
    assert (status_, reason) == ("False", "NotSupported")
    assert "spec.quota" in message
    assert "spec.suspended" in message
    assert bench.cluster.label_of(bench.name) is None


async def test_unsupported_fields_added_later_take_nothing_away(bench: Bench) -> None:
    await bench.claimed()
    bench.put_organization(suspended=True)
    await bench.settle_organization()
    assert bench.said_of_organization()[1] == "NotSupported"
    assert status(bench)["organizationID"] == str(await bench.organization_id())
    assert bench.cluster.label_of(bench.name) == bench.name


async def test_T5_deletion_waits_for_what_is_left_and_says_so(bench: Bench) -> None:
    await bench.made()
    delete(bench)
    await bench.settle_organization()
    status_, reason, message = bench.said_of_organization()
    assert (status_, reason) == ("False", "Deleting")
    assert f"credential {bench.name}/scaleway" in message
    await bench.settle_credential()  # its deletion does not stop the tenant's own
    bench.cluster.delete(CREDENTIAL, bench.name, "scaleway")
    await bench.settle_credential()
    await bench.settle_organization()
    assert is_gone(bench)
    assert bench.cluster.label_of(bench.name) is None
    assert (await bench.row()).state == "closing"  # the quarantine does not hold the object


async def test_a_name_made_anew_is_another_organization(bench: Bench) -> None:
    await bench.claimed()
    first = await bench.organization_id()
    delete(bench)
    await bench.settle_organization()
    bench.put_organization()
    await bench.settle_organization()
    assert await bench.organization_id() != first
    assert bench.said_of_organization()[:2] == ("True", "Ready")


async def test_an_object_that_vanished_with_something_left_keeps_its_id(bench: Bench) -> None:
    await bench.made()
    first = await bench.organization_id()
    bench.cluster.vanish(ORGANIZATION, "", bench.name)
    await bench.settle_organization()
    bench.put_organization()
    await bench.settle_organization()
    assert await bench.organization_id() == first


async def test_an_object_that_vanished_with_nothing_left_lets_its_namespaces_go(bench: Bench) -> None:
    await bench.claimed()
    bench.cluster.vanish(ORGANIZATION, "", bench.name)
    await bench.settle_organization()
    other = f"{bench.name}-other"
    bench.put_organization(other)
    await bench.settle_organization(other)
    assert bench.said_of_organization(other)[:2] == ("True", "Ready")


async def test_one_that_was_never_opened_is_deleted_at_once(bench: Bench) -> None:
    bench.put_organization(suspended=True)
    await bench.settle_organization()
    delete(bench)
    if not is_gone(bench):
        await bench.settle_organization()
    assert is_gone(bench)

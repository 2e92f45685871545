"""S3: whom a seeded credential serves. An object of the namespace wins, and nobody else is served."""

from inventiv_operator.controllers.tenancy import Refused
from inventiv_operator.domain.ledger import CredentialRow
from inventiv_operator.kube.kinds import CREDENTIAL, NAMESPACE
from seeding.conftest import SeedBench


async def choice(
    at: SeedBench, organization: str = "", *, namespace: str = "", name: str | None = None
) -> CredentialRow | Refused:
    return await at.bench.tenancy.credential_for(
        await at.bench.organization_id(organization), namespace=namespace or at.bench.name, name=name
    )


async def test_S3_it_serves_deployments_that_name_no_credential(at: SeedBench) -> None:
    await at.seeded()
    found = await choice(at)
    assert isinstance(found, CredentialRow)
    assert found == await at.row()
    assert found.title == "the organization's seeded credential"


async def test_S3_in_every_namespace_of_its_organization(at: SeedBench) -> None:
    await at.seeded()
    second = f"{at.bench.name}-b"
    at.bench.cluster.put(NAMESPACE, "", second)
    at.put_organization(namespaces=[at.bench.name, second])
    await at.settle()
    assert await choice(at, namespace=second) == await at.row()


async def test_S3_a_named_credential_is_never_the_seeded_one(at: SeedBench) -> None:
    await at.seeded()
    for name in ("scaleway", "seeded"):
        found = await choice(at, name=name)
        assert isinstance(found, Refused)
        assert found.reason == "MissingProviderCredentials"


async def test_S3_an_object_of_the_namespace_wins(at: SeedBench) -> None:
    key = await at.seeded()
    at.bench.put_secret(key)
    at.bench.put_credential()
    await at.bench.settle_credential()
    found = await choice(at)
    assert isinstance(found, CredentialRow)
    assert found.name == "scaleway"


async def test_S3_an_object_wins_also_before_it_has_a_key(at: SeedBench) -> None:
    """Applied together with its Secret and a Deployment: which of them is looked at first must not decide."""
    await at.seeded()
    at.bench.put_credential()
    found = await choice(at)
    assert isinstance(found, Refused)
    assert found.reason == "MissingProviderCredentials"


async def test_S3_an_object_that_is_no_default_leaves_the_seeded_one(at: SeedBench) -> None:
    key = await at.seeded()
    at.bench.put_secret(key)
    at.bench.put_credential(default=False)
    await at.bench.settle_credential()
    assert await choice(at) == await at.row()


async def test_S3_what_cannot_be_read_counts_as_the_namespaces_default(at: SeedBench) -> None:
    await at.seeded()
    at.bench.cluster.put(CREDENTIAL, at.bench.name, "odd", spec={"default": "perhaps"})
    assert isinstance(await choice(at), Refused)


async def test_S3_another_organization_is_never_served(at: SeedBench) -> None:
    await at.seeded()
    at.put_organization("other", default=False)
    await at.settle("other")
    found = await choice(at, "other", namespace="other")
    assert isinstance(found, Refused)
    at.put_organization(default=False)
    await at.settle()
    at.take_files_away()
    at.put_organization("other", default=True)
    await at.settle("other")
    assert isinstance(await choice(at, "other", namespace="other"), Refused)
    assert await choice(at) == await at.row()  # it stays the first one's own

"""T1: the platform team hands a namespace to another tenant while a credential in it is on its way."""

import pytest

from inventiv_operator.kube.kinds import CLEANUP_FINALIZER, CREDENTIAL
from inventiv_operator.kube.secret import SecretData
from inventiv_operator.store.errors import Conflict
from tenant_rig.bench import Bench, TestKey


async def hand_over(bench: Bench, *, to: str) -> None:
    bench.put_organization(namespaces=[])
    await bench.settle_organization()
    bench.put_organization(to, namespaces=[bench.name])
    await bench.settle_organization(to)
    assert bench.said_of_organization(to)[:2] == ("True", "Ready"), bench.said_of_organization(to)


async def test_T1_a_credential_on_its_way_does_not_stay_with_the_tenant_before(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.claimed()
    key, other = TestKey(), f"b{bench.name}"
    bench.admit(key)
    bench.put_secret(key)
    bench.put_credential()
    bench.cluster.put(CREDENTIAL, bench.name, "scaleway", metadata={"finalizers": [CLEANUP_FINALIZER]})
    get_secret = bench.cluster.get_secret

    async def meanwhile(namespace: str, name: str) -> SecretData | None:
        monkeypatch.undo()
        await hand_over(bench, to=other)
        return await get_secret(namespace, name)

    monkeypatch.setattr(bench.cluster, "get_secret", meanwhile)
    with pytest.raises(Conflict):
        await bench.settle_credential()
    await bench.settle_credential()  # it is asked again whose it is
    assert (await bench.row()).organization_id == await bench.organization_id(other)
    assert bench.said()[:2] == ("True", "Ready")

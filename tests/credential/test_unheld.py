"""T5: a credential in deletion that lost our finalizer, while another keeps its object."""

from credential.process import deployments_of
from inventiv_operator.kube.kinds import CLEANUP_FINALIZER, CREDENTIAL, DEPLOYMENT
from tenant_rig.bench import Bench, TestKey

THEIRS = "acme.io/hold"


async def let_go_of_by_us(bench: Bench) -> None:
    bench.cluster.put(CREDENTIAL, bench.name, "scaleway", metadata={"finalizers": [THEIRS]})
    bench.cluster.delete(CREDENTIAL, bench.name, "scaleway")
    await bench.settle_credential()


def is_there(bench: Bench) -> bool:
    return bench.cluster.read(CREDENTIAL, bench.name, "scaleway") is not None


async def test_T5_an_unused_one_begins_its_quarantine_and_says_so(bench: Bench) -> None:
    await bench.made()
    await let_go_of_by_us(bench)
    assert (await bench.row()).state == "closing"
    assert bench.said()[:2] == ("False", "Deleting")
    assert "nothing of it is left" in bench.said()[2]
    assert is_there(bench)
    writes = bench.cluster.status_writes
    await bench.settle_credential()
    assert bench.cluster.status_writes == writes  # it is at rest
    made = deployments_of(bench)
    made.apply("llama", replicas=1)
    await made.step("llama")
    said = bench.cluster.condition(DEPLOYMENT, bench.name, "llama")
    assert (said["status"], said["reason"]) == ("False", "MissingProviderCredentials")


async def test_T5_a_used_one_serves_nothing_new_takes_a_new_key_and_ends_with_the_last(bench: Bench) -> None:
    await bench.made()
    made = deployments_of(bench)
    made.apply("llama", replicas=1)
    await made.until_ready("llama")
    await let_go_of_by_us(bench)
    row = await bench.row()
    assert (row.state, row.ready, row.reason) == ("open", False, "Deleting")
    assert bench.said()[:2] == ("False", "Deleting")
    assert "1 deployment" in bench.said()[2]
    assert f"the finalizer {CLEANUP_FINALIZER} was taken away" in bench.said()[2]
    made.apply("mistral", replicas=1)
    await made.step("mistral")
    assert bench.cluster.condition(DEPLOYMENT, bench.name, "mistral")["reason"] == "CredentialNotReady"
    new = TestKey()
    bench.admit(new)
    bench.put_secret(new)
    await bench.pass_for(60.0)
    assert await bench.stored_access_key() == new.access_key
    made.delete("llama")
    for _ in range(100):
        if not made.is_there("llama"):
            break
        await bench.clock.sleep(await made.step("llama"))
    await bench.settle_credential()
    assert (await bench.row()).state == "closing"
    assert is_there(bench)  # theirs keeps it

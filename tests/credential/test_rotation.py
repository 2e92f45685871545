"""A new key is a candidate until it is proven; a bad one leaves the old one for watching and deleting."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from inventiv_operator.controllers.credential.schedule import VALID_FOR_S
from inventiv_operator.kube.errors import Unavailable
from inventiv_operator.kube.kinds import DEPLOYMENT, SECRET
from inventiv_operator.runtime.queue import Key
from tenant_rig.bench import Bench, TestKey


async def test_a_good_new_key_replaces_the_old_one(bench: Bench) -> None:
    await bench.made()
    new = TestKey()
    bench.admit(new)
    bench.put_secret(new)
    await bench.settle_credential()
    assert bench.said()[:2] == ("True", "Ready")
    assert bench.status()["accessKey"] == new.access_key
    assert await bench.stored_access_key() == new.access_key


async def test_T4_a_bad_new_key_leaves_the_old_one_in_use_and_says_so(bench: Bench) -> None:
    old = await bench.made()
    bench.put_secret(TestKey())
    await bench.settle_credential()
    status, reason, message = bench.said()
    assert (status, reason) == ("False", "CredentialRejected")
    assert "earlier key stays in use" in message
    row = await bench.row()
    assert (row.ready, row.frozen_reason) == (False, "")  # nothing new, but deleting goes on
    assert await bench.stored_access_key() == old.access_key
    assert bench.status()["accessKey"] == old.access_key
    bench.put_secret(old)
    await bench.settle_credential()
    assert bench.said()[:2] == ("True", "Ready")


async def test_a_candidate_of_another_project_freezes_nothing(bench: Bench) -> None:
    old = await bench.made()
    other = TestKey()
    bench.admit(other, project_id="99999999-9999-4999-8999-999999999999")
    bench.put_secret(other)
    await bench.settle_credential()
    assert bench.said()[1] == "ProjectMismatch"
    assert (await bench.row()).frozen_reason == ""
    assert await bench.stored_access_key() == old.access_key


async def test_a_candidate_that_gets_no_clear_answer_is_tried_again(bench: Bench) -> None:
    old = await bench.made()
    new = TestKey()
    bench.admit(new)
    bench.put_secret(new)
    bench.fault("status", "security_groups", status=503, times=None)
    await bench.settle_credential()
    assert await bench.stored_access_key() == old.access_key
    assert (await bench.row()).ready  # the old one was not refused
    bench.world.faults.clear()
    await bench.pass_for(60.0)
    assert await bench.stored_access_key() == new.access_key


async def test_T4_a_secret_that_is_taken_away_stops_creates_and_keeps_the_stored_copy(bench: Bench) -> None:
    old = await bench.made()
    bench.cluster.vanish(SECRET, bench.name, "scaleway")
    await bench.settle_credential()
    assert bench.said()[:2] == ("False", "SecretMissing")
    assert not (await bench.row()).ready
    assert await bench.stored_access_key() == old.access_key
    bench.put_secret(old)
    await bench.settle_credential()
    assert bench.said()[:2] == ("True", "Ready")
    assert (await bench.row()).ready


async def test_a_proven_key_is_proven_again_after_ten_minutes_and_not_before(bench: Bench) -> None:
    key = await bench.made()
    before = bench.calls()
    await bench.pass_for(VALID_FOR_S - 30.0)
    assert bench.calls() == before
    bench.world.identity.remove_key(key.access_key)
    await bench.pass_for(60.0)
    assert bench.said()[:2] == ("False", "CredentialRejected")
    assert bench.calls() > before


async def test_a_changed_spec_proves_it_at_once(bench: Bench) -> None:
    await bench.made()
    before = bench.calls()
    bench.put_credential(default=False)
    await bench.settle_credential()
    assert bench.calls() > before
    assert not (await bench.row()).is_default


async def test_a_status_that_says_the_same_is_not_written_again(bench: Bench) -> None:
    await bench.made()
    await bench.settle_credential()
    before = bench.cluster.status_writes
    await bench.pass_for(300.0)
    assert bench.cluster.status_writes == before


async def test_deployments_are_looked_at_when_readiness_changes(bench: Bench) -> None:
    key = TestKey()
    bench.admit(key)
    await bench.claimed()
    bench.cluster.put(DEPLOYMENT, bench.name, "llama", spec={})
    bench.cluster.put(DEPLOYMENT, "elsewhere", "llama", spec={})
    bench.put_secret(key)
    bench.put_credential()
    await bench.settle_credential()
    assert bench.queued == [Key("Deployment", bench.name, "llama")]
    bench.queued.clear()
    await bench.settle_credential()
    assert bench.queued == []
    bench.cluster.vanish(SECRET, bench.name, "scaleway")
    await bench.settle_credential()
    assert bench.queued == [Key("Deployment", bench.name, "llama")]


async def test_waking_is_not_lost_when_the_api_server_stumbles(bench: Bench) -> None:
    key = TestKey()
    bench.admit(key)
    await bench.claimed()
    bench.cluster.put(DEPLOYMENT, bench.name, "llama", spec={})
    bench.put_secret(key)
    bench.put_credential()
    bench.cluster.errors["list"] = Unavailable("away")
    with pytest.raises(Unavailable):
        await bench.settle_credential()
    await bench.settle_credential()
    assert bench.queued == [Key("Deployment", bench.name, "llama")]


# -- the stored key while another one is offered, or none ----------------------------------------------------


async def bad_candidate(bench: Bench) -> TestKey:
    """A tenant whose Secret holds a key that Scaleway does not know; answers with the stored one."""
    old = await bench.made()
    bench.put_secret(TestKey())
    await bench.settle_credential()
    assert bench.said()[:2] == ("False", "CredentialRejected")
    return old


async def test_a_refused_candidate_does_not_make_the_stored_key_look_refused(bench: Bench) -> None:
    await bad_candidate(bench)
    for _ in range(2):
        row = await bench.row()
        assert (row.ready, row.reason, row.rejected_at) == (False, "CredentialRejected", None)
        await bench.pass_for(900.0)
    assert await bench.access.provider_for(row.organization_id, row.id)
    assert "earlier key stays in use" in bench.said()[2]


async def without_secret(bench: Bench) -> TestKey:
    old = await bench.made()
    bench.cluster.vanish(SECRET, bench.name, "scaleway")
    await bench.settle_credential()
    assert bench.said()[:2] == ("False", "SecretMissing")
    return old


Begin = Callable[[Bench], Awaitable[TestKey]]
STORED_ALONE = pytest.mark.parametrize("begin", [bad_candidate, without_secret])


@STORED_ALONE
async def test_the_stored_key_is_proven_on_its_own_schedule(bench: Bench, begin: Begin) -> None:
    old = await begin(bench)
    before, first = bench.calls(), (await bench.row()).validated_at
    await bench.pass_for(VALID_FOR_S * 2.5)
    with_old = [c for c in bench.world.calls.since(before) if c.access_key == old.access_key]
    assert 2 <= sum("security_groups" in c.template for c in with_old) <= 3
    row = await bench.row()
    assert first is not None
    assert row.validated_at is not None
    assert row.validated_at > first
    assert not row.ready, "proven, and yet nothing new is made"


@STORED_ALONE
async def test_its_revocation_is_noticed(bench: Bench, begin: Begin) -> None:
    old = await begin(bench)
    bench.world.identity.remove_key(old.access_key)
    await bench.pass_for(VALID_FOR_S * 1.5)
    assert (await bench.row()).rejected_at is not None
    assert "the key is refused by Scaleway (401)" in bench.said()[2]
    assert bench.said()[0] == "False"


@STORED_ALONE
async def test_T8_its_move_to_another_project_freezes(bench: Bench, begin: Begin) -> None:
    old = await begin(bench)
    bench.admit(old, project_id="99999999-9999-4999-8999-999999999999")
    await bench.pass_for(VALID_FOR_S * 1.5)
    assert (await bench.row()).frozen_reason
    assert "until the key is proven again" in bench.said()[2]


async def test_its_expiry_is_noticed_while_a_bad_candidate_waits(bench: Bench) -> None:
    key = TestKey()
    bench.admit(key, expires_at=(bench.clock.now() + timedelta(days=1)).isoformat())
    await bench.made_with(key)
    bench.put_secret(TestKey())
    await bench.settle_credential()
    await bench.clock.sleep(86400.0)
    await bench.pass_for(VALID_FOR_S * 1.5)
    assert bench.said()[:2] == ("False", "CredentialExpired")
    assert (await bench.row()).rejected_at is not None


async def test_the_first_key_that_was_refused_leaves_no_trace_on_the_next_one(bench: Bench) -> None:
    await bench.claimed()
    bench.put_secret(TestKey())
    bench.put_credential()
    await bench.settle_credential()
    assert (await bench.row()).rejected_at is not None
    bench.put_secret(TestKey())
    bench.fault("status", "security_groups", status=503, times=None)
    await bench.settle_credential()  # it is stored; nobody can say how good it is
    assert (await bench.row()).rejected_at is None


# -- another Secret ------------------------------------------------------------------------------------------


async def test_a_reference_to_another_secret_is_followed_at_once(bench: Bench) -> None:
    await bench.made()
    new = TestKey()
    bench.admit(new)
    bench.cluster.put_secret(bench.name, "mine", id=new.access_key, key=new.secret_key)
    bench.put_credential(secretRef={"name": "mine", "accessKeyKey": "id", "secretKeyKey": "key"})
    await bench.settle_credential()
    assert bench.said()[:2] == ("True", "Ready")
    assert await bench.stored_access_key() == new.access_key


async def test_other_keys_of_the_same_secret_are_followed_at_once(bench: Bench) -> None:
    old, new = await bench.made(), TestKey()
    bench.admit(new)
    bench.cluster.put_secret(
        bench.name,
        "scaleway",
        SCW_ACCESS_KEY=old.access_key,
        SCW_SECRET_KEY=old.secret_key,
        NEXT_ACCESS_KEY=new.access_key,
        NEXT_SECRET_KEY=new.secret_key,
    )
    await bench.settle_credential()
    assert await bench.stored_access_key() == old.access_key
    bench.put_credential(
        secretRef={
            "name": "scaleway",
            "accessKeyKey": "NEXT_ACCESS_KEY",
            "secretKeyKey": "NEXT_SECRET_KEY",
        }
    )
    await bench.settle_credential()
    assert await bench.stored_access_key() == new.access_key


async def test_a_reference_to_a_secret_that_is_not_there_stops_creates_alone(bench: Bench) -> None:
    old = await bench.made()
    bench.put_credential(secretRef={"name": "nowhere"})
    await bench.settle_credential()
    assert bench.said()[:2] == ("False", "SecretMissing")
    row = await bench.row()
    assert not row.ready
    assert (await bench.access.provider_for(row.organization_id, row.id)).client.project_id
    assert await bench.stored_access_key() == old.access_key

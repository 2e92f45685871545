"""A tenant whose key ends at night is told before, each time once, and loses nothing after."""

from datetime import datetime, timedelta

from credential.process import restart
from inventiv_operator.kube.kinds import CREDENTIAL
from inventiv_operator.runtime.queue import Key
from tenant_rig.bench import STEP_S, Bench, TestKey

EXPIRY_REASONS = {"ExpiresSoon", "ExpiresWithinWeek", "ExpiresWithinDay"}


async def made_with_end(bench: Bench, *, days: float) -> datetime:
    """A tenant with a Ready credential whose key ends after so many days from now."""
    ends = bench.clock.now() + timedelta(days=days)
    key = TestKey()
    bench.admit(key, expires_at=ends.isoformat())
    await bench.made_with(key)
    return ends


def expiring(bench: Bench) -> tuple[str, str, str]:
    c = bench.cluster.condition(CREDENTIAL, bench.name, "scaleway", "Expiring")
    return c["status"], c["reason"], c["message"]


def told(bench: Bench) -> list[tuple[str, str]]:
    """Reason and type of the events about the end of a key."""
    return [(e["reason"], e["type"]) for e in bench.cluster.events if e["reason"] in EXPIRY_REASONS]


async def look(bench: Bench, ends: datetime, *, before: timedelta) -> None:
    """Nobody looks until so long before the end; then once."""
    await bench.clock.sleep((ends - before - bench.clock.now()).total_seconds())
    await bench.settle_credential()


async def test_expiring_says_the_date_the_days_left_and_what_to_do(bench: Bench) -> None:
    ends = await made_with_end(bench, days=40)
    at = ends.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert expiring(bench)[:2] == ("False", "NotExpiring")
    assert at in expiring(bench)[2]
    await look(bench, ends, before=timedelta(days=30, seconds=5))
    assert expiring(bench)[0] == "False"
    await look(bench, ends, before=timedelta(days=30))
    status, reason, message = expiring(bench)
    assert (status, reason) == ("True", "ExpiresSoon")
    assert f"ends at {at}, in 30 days" in message
    assert "put it into the Secret" in message
    await look(bench, ends, before=timedelta(days=3))
    assert "in 3 days" in expiring(bench)[2]
    assert bench.said()[:2] == ("True", "Ready")


async def test_each_step_is_told_once_and_from_a_week_on_as_a_warning(bench: Bench) -> None:
    ends = await made_with_end(bench, days=31)
    expected: list[tuple[str, str]] = []
    for days, event in (
        (30, ("ExpiresSoon", "Normal")),
        (7, ("ExpiresWithinWeek", "Warning")),
        (1, ("ExpiresWithinDay", "Warning")),
    ):
        await look(bench, ends, before=timedelta(days=days, seconds=5))
        assert told(bench) == expected
        await look(bench, ends, before=timedelta(days=days))
        expected.append(event)
        assert told(bench) == expected
        for _ in range(3):
            await bench.clock.sleep(700.0)  # past the time in which the recorder would drop a repetition
            await bench.settle_credential()
        restart(bench)
        await bench.settle_credential()
        assert told(bench) == expected


async def test_after_a_long_silence_only_the_step_that_is_reached_is_told(bench: Bench) -> None:
    ends = await made_with_end(bench, days=40)
    restart(bench)
    await look(bench, ends, before=timedelta(hours=3))
    assert told(bench) == [("ExpiresWithinDay", "Warning")]


async def test_a_pass_is_asked_for_at_the_very_moment_of_a_step(bench: Bench) -> None:
    ends = await made_with_end(bench, days=8)
    await look(bench, ends, before=timedelta(days=7, seconds=9))
    result = await bench.settle_credential()
    assert result.requeue_after_s is not None
    assert 8.0 < result.requeue_after_s <= 9.0
    bench.cluster.put_secret(bench.name, "scaleway", SCW_ACCESS_KEY="", SCW_SECRET_KEY="")
    result = await bench.settle_credential()  # nor does a Secret that is wrong hide it
    assert bench.said()[1] == "SecretInvalid"
    assert result.requeue_after_s is not None
    assert 8.0 < result.requeue_after_s <= 9.0


async def test_when_it_has_ended_nobody_waits_for_scaleway_to_say_so(bench: Bench) -> None:
    ends = await made_with_end(bench, days=1)
    await look(bench, ends, before=timedelta(seconds=20))
    assert bench.said()[:2] == ("True", "Ready")
    await bench.clock.sleep(20.0)
    calls = bench.calls()
    result = await bench.credential.reconcile(
        Key(CREDENTIAL.kind, bench.name, "scaleway"), deadline_s=bench.clock.monotonic() + STEP_S
    )
    assert bench.said()[:2] == ("False", "CredentialExpired")
    assert "put a new one into the Secret" in bench.said()[2]
    assert expiring(bench)[:2] == ("True", "CredentialExpired")
    assert bench.calls() == calls
    assert result.requeue_after_s == 0.0  # then Scaleway is asked: the end may have been put off
    row = await bench.row()
    assert (row.ready, row.reason) == (False, "CredentialExpired")
    assert [e["type"] for e in bench.cluster.events if e["reason"] == "CredentialExpired"] == ["Warning"]


async def test_an_end_that_was_put_off_counts_again(bench: Bench) -> None:
    ends = await made_with_end(bench, days=1)
    later = ends + timedelta(days=300)
    for key in bench.world.identity.keys:
        key.expires_at = later
    await look(bench, ends, before=timedelta(0))
    assert bench.said()[:2] == ("True", "Ready")
    assert expiring(bench)[:2] == ("False", "NotExpiring")


async def test_the_refusal_that_follows_starts_the_clock_of_what_may_be_given_up(bench: Bench) -> None:
    ends = await made_with_end(bench, days=1)
    await look(bench, ends, before=timedelta(0))
    assert bench.said()[:2] == ("False", "CredentialExpired")
    assert (await bench.row()).rejected_at is not None


async def test_after_a_rotation_to_a_key_that_ends_later_the_condition_goes_back(bench: Bench) -> None:
    ends = await made_with_end(bench, days=8)
    await look(bench, ends, before=timedelta(days=6))
    assert expiring(bench)[:2] == ("True", "ExpiresWithinWeek")
    new = TestKey()
    bench.admit(new, expires_at=(ends + timedelta(days=365)).isoformat())
    bench.put_secret(new)
    await bench.settle_credential()
    assert expiring(bench)[:2] == ("False", "NotExpiring")
    assert bench.status()["expiresAt"].startswith((ends + timedelta(days=365)).isoformat()[:19])


async def test_another_key_that_ends_soon_is_told_of_anew(bench: Bench) -> None:
    ends = await made_with_end(bench, days=20)
    await bench.settle_credential()
    assert told(bench) == [("ExpiresSoon", "Normal")]
    new = TestKey()
    bench.admit(new, expires_at=(ends + timedelta(hours=1)).isoformat())
    bench.put_secret(new)
    await bench.settle_credential()
    assert told(bench) == [("ExpiresSoon", "Normal")] * 2


async def test_a_look_up_that_fails_later_does_not_forget_a_known_end(bench: Bench) -> None:
    ends = await made_with_end(bench, days=8)
    bench.fault("status", "/api-keys/", status=403, times=None)
    await look(bench, ends, before=timedelta(days=6))
    assert bench.said()[:2] == ("True", "Ready")
    assert expiring(bench)[:2] == ("True", "ExpiresWithinWeek")


async def test_an_end_that_nobody_may_look_up_stays_unknown(bench: Bench) -> None:
    key = TestKey()
    bench.admit(key, rights=["instances", "block"], expires_at="2026-07-03T00:00:00+00:00")
    await bench.made_with(key)
    assert expiring(bench)[:2] == ("Unknown", "ExpiryUnknown")
    assert told(bench) == []


async def test_a_key_that_works_after_its_known_end_has_no_known_end(bench: Bench) -> None:
    """It was put off, and the key may not look itself up any more: Scaleway's word is worth more."""
    ends = await made_with_end(bench, days=1)
    for key in bench.world.identity.keys:
        key.expires_at = None
    bench.fault("status", "/api-keys/", status=403, times=None)
    await look(bench, ends, before=timedelta(0))
    assert bench.said()[:2] == ("True", "Ready")
    assert expiring(bench)[:2] == ("Unknown", "ExpiryUnknown")

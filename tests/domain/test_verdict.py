"""What a deployment says of itself: the phase that people see in the column, and the newest cause."""

import pytest

from domain.things import NOW, ago, facts, instance
from inventiv_operator.domain.ledger import InstanceState
from inventiv_operator.domain.sight import Unknown
from inventiv_operator.domain.start_record import FREE, HoldBack, StartRecord
from inventiv_operator.domain.verdict import Outcome, Standing, Verdict, judge, refused
from inventiv_operator.domain.waits import Wait

CREDENTIAL = refused("CredentialNotReady", "ProviderCredential scaleway is not ready")
IMAGE = refused("ImageNotFound", "there is no image with label 'ubuntu_warty' in fr-par-2")


def ready(ordinal: int = 0) -> Standing:
    return Standing(
        facts=facts(instance=instance(ordinal=ordinal, ready_at=ago(50)), ready=True),
        wait=Wait(reason="Ready", after_s=None),
    )


def starting(ordinal: int = 0) -> Standing:
    return Standing(facts=facts("starting", instance=instance(ordinal=ordinal)), wait=Wait(reason="Starting"))


def down(ordinal: int = 0) -> Standing:
    """It was ready once."""
    return Standing(
        facts=facts(instance=instance(ordinal=ordinal, ready_at=ago(50))),
        wait=Wait(reason="NotReady", after_s=None, message="acme-llama-0 runs and does not answer its probe"),
    )


def leaving(ordinal: int = 0) -> Standing:
    one = instance(ordinal=ordinal, state=InstanceState.DELETING, ready_at=ago(50))
    return Standing(facts=facts("stopping", instance=one), wait=Wait(reason="Deleting"))


def unseen(ordinal: int = 0) -> Standing:
    sight = Unknown(reason="ProviderUnreachable", message="list servers: no answer")
    return Standing(
        facts=facts(instance=instance(ordinal=ordinal, ready_at=ago(50)), sight=sight, ready=True),
        wait=Wait(reason=sight.reason, message=sight.message),
    )


def verdict(
    replicas: int,
    *standings: Standing,
    hold: HoldBack = FREE,
    record: StartRecord | None = None,
    blocked: Verdict | None = None,
) -> Verdict:
    clean = StartRecord(failures=0, next_start_at=None, reason="", message="", reset_token="")
    return judge(
        Outcome(
            replicas=replicas,
            standings=standings,
            hold=hold,
            record=record or clean,
            group_wait=None,
            blocked=blocked,
        )
    )


@pytest.mark.parametrize(
    ("found", "phase", "reason"),
    [
        pytest.param(verdict(2, ready(0), ready(1)), "Ready", "Ready", id="all-ready"),
        pytest.param(verdict(0), "Ready", "Ready", id="nothing-wanted-and-nothing-there"),
        pytest.param(verdict(2, starting(0), starting(1)), "Progressing", "Starting", id="starting"),
        pytest.param(verdict(3, ready(0), ready(1), starting(2)), "Progressing", "Starting", id="scaling-up"),
        pytest.param(verdict(1, ready(0), leaving(1)), "Progressing", "Progressing", id="scaling-down"),
        pytest.param(verdict(2, ready(0), down(1)), "Degraded", "NotReady", id="one-went-down"),
        pytest.param(verdict(1, unseen(0)), "Degraded", "ProviderUnreachable", id="nobody-can-look"),
        pytest.param(verdict(2, ready(0), blocked=IMAGE), "Degraded", "ImageNotFound", id="cannot-add"),
        pytest.param(verdict(2, blocked=IMAGE), "Pending", "ImageNotFound", id="cannot-begin"),
        pytest.param(verdict(1, ready(0), blocked=CREDENTIAL), "Ready", "Ready", id="runs-without-its-key"),
    ],
)
def test_the_phase_alarms_nobody_without_a_cause(found: Verdict, phase: str, reason: str) -> None:
    assert (found.phase, found.reason) == (phase, reason)


def test_what_nobody_can_see_is_neither_ready_nor_not() -> None:
    assert verdict(1, unseen(0)).ready is None


def test_B5_what_an_instance_waits_for_now_says_more_than_an_old_failure() -> None:
    failed = instance(ordinal=0, state=InstanceState.FAILED, failed_at=ago(80), reason="StartupTimeout")
    old = Standing(
        facts=facts(instance=failed), wait=Wait(reason="StartupTimeout", message="not ready 300 s")
    )
    assert verdict(2, old, down(1)).reason == "NotReady"


def test_starts_that_are_held_back_say_until_when() -> None:
    record = StartRecord(
        failures=1, next_start_at=NOW, reason="OutOfStock", message="no L4-1-24G left", reset_token=""
    )
    found = verdict(1, hold=HoldBack(reason="BackingOff", wait_s=240.0), record=record)
    assert (found.reason, found.message) == ("OutOfStock", "no L4-1-24G left; next start in 4 min")
    given_up = verdict(1, hold=HoldBack(reason="StartupFailed", wait_s=None), record=record)
    assert given_up.reason == "StartupFailed"
    assert "inventiv.io/reconcile-at" in given_up.message

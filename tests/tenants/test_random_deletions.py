"""Objects of three tenants at once come and go in random order, also by force and with the operator down: in
the end each account holds exactly what its tenant wants, and the ledger says the same (T1, T5, L9).

See test_random_keys.py for how a failure is played again.
"""

import pytest

from tenants.operations import THINGS_GO, Do, Step
from tenants.play import CHUNKS, Theatre

ONCE_FAILED: dict[str, list[Step]] = {
    "nothing-happens": [],
    "a-key-moves-away-before-anything-is-known-of-it": [Step(Do.KEY, 2, "moved", 0, 1.0)],
    "lost-before-its-first-server-was-made": [
        Step(Do.FAULT, 1, "html", 0, 5.0),
        Step(Do.FORCE_NAMESPACE, 1, "", 0, 5.0),
    ],
}


@pytest.mark.parametrize("settled", [False, True], ids=["at-once", "settled"])
@pytest.mark.parametrize("steps", [pytest.param(steps, id=name) for name, steps in ONCE_FAILED.items()])
def test_T1_T5_what_failed_once_does_not_fail_again(
    theatre: Theatre, steps: list[Step], *, settled: bool
) -> None:
    theatre.play(steps, settled=settled)


@pytest.mark.slow
@pytest.mark.parametrize("chunk", CHUNKS)
def test_T1_T5_in_whatever_order_things_go_accounts_hold_what_is_wanted(theatre: Theatre, chunk: int) -> None:
    theatre.play_many(THINGS_GO, part=f"deletions.{chunk}")

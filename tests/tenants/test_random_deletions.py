"""Objects of three tenants at once come and go in random order, also by force and with the operator down: in
the end each account holds exactly what its tenant wants, and the ledger says the same (T1, T5, L9).

See test_random_keys.py for how a failure is played again.
"""

import pytest

from tenants.operations import CONTENTS, DAY_S, THINGS_GO, Do, Step
from tenants.play import CHUNKS, Theatre

KNOWN: dict[str, list[Step]] = {
    "nothing-happens": [],
    "a-key-moves-away-before-anything-is-known-of-it": [Step(Do.KEY, 2, "moved", 0, 1.0)],
    "a-key-moves-away-with-something-to-delete": [
        Step(Do.KEY, 2, "moved", 0),
        Step(Do.UNDEPLOY, 2, "llama", 0, 40.0),
    ],
    "lost-before-its-first-server-was-made": [
        Step(Do.FAULT, 1, "html", 0, 5.0),
        Step(Do.FORCE_NAMESPACE, 1, "", 0, 5.0),
    ],
    "an-organization-goes-with-something-lost": [
        Step(Do.FORCE_NAMESPACE, 2),
        Step(Do.NAMESPACE, 2),
        Step(Do.NO_ORGANIZATION, 2, "", 0, 1.0),
    ],
    "the-first-key-is-anothers-very-own": [
        Step(Do.UNDEPLOY, 0, "llama"),
        Step(Do.NO_CREDENTIAL, 0, "", 0, 40.0),
        Step(Do.SECRET, 0, "scaleway", CONTENTS.index("their 0")),
        Step(Do.CREDENTIAL, 0, "", 0, 40.0),
        Step(Do.DEPLOY, 0, "llama", 1, 40.0),
    ],
    "a-revoked-key-comes-back-after-every-object-went": [
        Step(Do.KEY, 0, "revoked"),
        Step(Do.UNDEPLOY, 0, "llama", 0, 40.0),
        Step(Do.NO_ORGANIZATION, 0, "", 0, 40.0),
        Step(Do.FORCE_NAMESPACE, 0, "", 0, 5.0),
    ],
    "made-anew-in-and-after-the-quarantine": [
        Step(Do.UNDEPLOY, 0, "llama"),
        Step(Do.NO_CREDENTIAL, 0, "", 0, 40.0),
        Step(Do.CREDENTIAL, 0, "", 0, 5.0),
        Step(Do.NO_CREDENTIAL, 0, "", 0, 5.0),
        Step(Do.PASS, 0, "", DAY_S),
        Step(Do.PASS, 0, "", 130),
        Step(Do.CREDENTIAL, 0, "", 0, 5.0),
        Step(Do.DEPLOY, 0, "llama", 1),
    ],
}
"""What failed once, or is too seldom drawn."""


@pytest.mark.parametrize("settled", [False, True], ids=["at-once", "settled"])
@pytest.mark.parametrize("steps", [pytest.param(steps, id=name) for name, steps in KNOWN.items()])
def test_T1_T5_T8_known_sequences_end_well(theatre: Theatre, steps: list[Step], *, settled: bool) -> None:
    theatre.play(steps, settled=settled)


@pytest.mark.slow
@pytest.mark.parametrize("chunk", CHUNKS)
def test_T1_T5_in_whatever_order_things_go_accounts_hold_what_is_wanted(theatre: Theatre, chunk: int) -> None:
    theatre.play_many(THINGS_GO, part=f"deletions.{chunk}")

"""Keys of three tenants at once turn over in random ways: what each account holds is what its tenant wants,
and no call ever carries a key of somebody else, or one that was replaced or destroyed (T1, T8).

    SEED=... RUNS=... pytest tests/tenants

The seed is printed. A failure prints the smallest sequence that still fails: `SEED=<that>` finds it again,
and pasted into `KNOWN` of test_random_deletions.py it is played first for ever.
"""

import pytest

from tenants.operations import KEYS_TURN_OVER
from tenants.play import CHUNKS, Theatre


@pytest.mark.slow
@pytest.mark.parametrize("chunk", CHUNKS)
def test_T1_T8_whatever_becomes_of_keys_no_call_carries_anothers(theatre: Theatre, chunk: int) -> None:
    theatre.play_many(KEYS_TURN_OVER, part=f"keys.{chunk}")
    assert theatre.swaps > 0, "no key was ever replaced: nothing was tried"

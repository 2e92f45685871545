"""Random sequences."""

import os

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tenants.operations import KEYS_TURN_OVER, THINGS_GO, Step
from tenants.play import Theatre

SEED = int(os.environ.get("SEED", "20260801"))
PHASES = [Phase.generate] if "QUICK" in os.environ else list(Phase)
RUNS = int(os.environ.get("RUNS", "5"))


def test_nothing_happens(theatre: Theatre) -> None:
    theatre.play([], settled=True)


@pytest.mark.slow
@seed(SEED)
@settings(
    max_examples=RUNS, deadline=None, database=None, print_blob=True, phases=PHASES, suppress_health_check=list(HealthCheck)
)
@given(steps=KEYS_TURN_OVER, settled=st.booleans())
def test_random(theatre: Theatre, steps: list[Step], settled: bool) -> None:  # noqa: FBT001
    theatre.play(steps, settled=settled)


@pytest.mark.slow
@seed(SEED)
@settings(
    max_examples=RUNS, deadline=None, database=None, print_blob=True, phases=PHASES, suppress_health_check=list(HealthCheck)
)
@given(steps=THINGS_GO, settled=st.booleans())
def test_things(theatre: Theatre, steps: list[Step], settled: bool) -> None:  # noqa: FBT001
    theatre.play(steps, settled=settled)

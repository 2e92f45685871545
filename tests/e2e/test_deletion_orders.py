"""T5: everything of a tenant deleted in every order, with the operator up or down: nothing leaks, everything
goes away by itself, and what has to wait says for what.
"""

from collections import Counter
from itertools import permutations

import psycopg
import pytest

from e2e.crowd import TENANT_KINDS, Crowd
from e2e.tenant import FAST_WORLD, until
from local_stack.simulator_client import SimulatorClient
from local_stack.stack import Stack
from stack_fixtures import Database, OperatorFactory, OperatorProcess, remove_our_objects

pytestmark = [pytest.mark.stack, pytest.mark.slow]

ORDERS = {"".join(kind[0].lower() for kind in order): order for order in permutations(TENANT_KINDS)}
"""By the first letters of the kinds: `opdsn` deletes the Organization first and the Namespace last."""
WITHIN_S = 240.0
NOTHING = {"servers": 0, "volumes": 0, "ips": 0, "security_groups": 0}
FINAL = {
    "organizations": "closed",
    "providers": "closing",  # its quarantine outlives the test
    "deployments": "closed",
    "instances": "gone",
    "cloud_resources": "absent",
}
SEEN_AT_LEAST = {"organizations": 1, "providers": 1, "deployments": 1, "instances": 1, "cloud_resources": 3}


def crowd_of_all_orders(stack: Stack, simulator: SimulatorClient) -> Crowd:
    remove_our_objects(stack)  # what a failed test left
    crowd = Crowd(stack, simulator, [f"t-{letters}" for letters in ORDERS])
    simulator.reset(*crowd.keys.values(), **FAST_WORLD)
    crowd.apply()
    return crowd


def until_ready(crowd: Crowd, operator: OperatorProcess) -> None:
    until(
        crowd.are_ready,
        what="all tenants to be Ready",
        within_s=WITHIN_S,
        poll_s=1.0,
        tell=lambda: f"{crowd.left()[:10]}\n{operator.log[-4000:]}",
    )
    assert not crowd.unprotected()
    assert crowd.servers() == dict.fromkeys(crowd.names, 1)


def until_gone(crowd: Crowd, operator: OperatorProcess) -> None:
    until(
        crowd.are_gone,
        what="every object to go away",
        within_s=WITHIN_S,
        poll_s=1.0,
        tell=lambda: f"{crowd.left()[:10]}\n{operator.log[-4000:]}",
    )


def ledger_states(database: Database) -> dict[str, Counter[str]]:
    """How many rows of each table are in which state."""
    with psycopg.connect(database.superuser_url) as conn:
        return {
            table: Counter(
                dict(conn.execute(f"SELECT state, count(*) FROM {table} GROUP BY state").fetchall())
            )
            for table in FINAL
        }


def claims_held(database: Database) -> int:
    with psycopg.connect(database.superuser_url) as conn:
        found = conn.execute(
            "SELECT (SELECT count(*) FROM namespace_claims WHERE released_at IS NULL)"
            " + (SELECT count(*) FROM project_claims WHERE released_at IS NULL)"
        ).fetchone()
    assert found is not None
    return int(found[0])


def assert_nothing_is_left(crowd: Crowd, database: Database) -> None:
    assert crowd.simulator.billed_count() == NOTHING
    states = ledger_states(database)
    assert {table: set(counts) for table, counts in states.items()} == {
        table: {state} for table, state in FINAL.items()
    }
    for table, least in SEEN_AT_LEAST.items():
        assert states[table].total() >= least * len(crowd.names), table
    assert claims_held(database) == 0


def test_T5_every_order_with_the_operator_up(
    clean_cluster: Stack, simulator: SimulatorClient, database: Database, operator_process: OperatorFactory
) -> None:
    """In rounds: the first of every tenant, then the second of each; so the operator sees every state that
    lies between, although nobody waits for it.
    """
    with crowd_of_all_orders(clean_cluster, simulator) as crowd:
        operator = operator_process()
        until_ready(crowd, operator)
        for step in range(len(TENANT_KINDS)):
            for letters, order in ORDERS.items():
                crowd.delete(order[step], f"t-{letters}")
        until_gone(crowd, operator)
        assert_nothing_is_left(crowd, database)


def test_T5_every_order_with_the_operator_down(
    clean_cluster: Stack, simulator: SimulatorClient, database: Database, operator_process: OperatorFactory
) -> None:
    with crowd_of_all_orders(clean_cluster, simulator) as crowd:
        operator = operator_process()
        until_ready(crowd, operator)
        operator.stop()
        for letters, order in ORDERS.items():
            for kind in order:
                crowd.delete(kind, f"t-{letters}")
        assert simulator.billed_count()["servers"] == len(crowd.names)
        operator.start(wait=False)
        until_gone(crowd, operator)
        assert_nothing_is_left(crowd, database)

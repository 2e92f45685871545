from collections.abc import Iterator

import pytest

from e2e.proxy import CuttableProxy
from e2e.tenant import FAST_WORLD, Tenant
from local_stack.simulator_client import SimulatorClient, new_key
from local_stack.stack import Stack
from stack_fixtures import Database, fresh_database, remove_our_objects


@pytest.fixture
def database(stack: Stack) -> Iterator[Database]:
    """One for each test: every simulator draws the same ids, and the ledger holds each of them once."""
    with fresh_database(stack) as made:
        yield made


@pytest.fixture
def tenant(clean_cluster: Stack, simulator: SimulatorClient) -> Tenant:
    """Known to the simulator; its objects are yet to be applied."""
    remove_our_objects(clean_cluster)
    key = new_key()
    simulator.reset(key, **FAST_WORLD)
    return Tenant(stack=clean_cluster, simulator=simulator, key=key, name="acme")


@pytest.fixture
def provider_line(simulator: SimulatorClient) -> Iterator[CuttableProxy]:
    """A line to the simulator that can be cut."""
    with CuttableProxy(simulator.url) as proxy:
        yield proxy

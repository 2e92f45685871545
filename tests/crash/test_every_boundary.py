"""The operator, a real process, is killed at every boundary of create, scale-down and delete (L2, L4, L5,
L8).

Life after life dies once in each phase, at the next boundary every time, is started again, and must end with
the servers that are wanted, until lives survive because a phase has no more boundaries. What counts is what
the simulator bills.
"""

import itertools
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from e2e.tenant import FAST_WORLD
from local_stack import installation, sample_tenant
from local_stack.api_client import ApiClient, is_ready
from local_stack.parts import operator_environment
from local_stack.ports import free_port
from local_stack.processes import MARKER, Command, marker, plain_environment
from local_stack.simulator_client import SimulatorClient, new_key
from local_stack.stack import Stack
from stack_fixtures import Database, OperatorProcess, Session

pytestmark = [pytest.mark.stack, pytest.mark.slow]

HERE = Path(__file__).parent
NAMESPACE = "boundary"
WITHIN_S = 60.0
PHASES = ("create", "scale-down", "delete")
SURVIVED_IN_A_ROW = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """A tenant with a ready credential, and an operator that dies where it is told."""

    api: ApiClient
    simulator: SimulatorClient
    operator: OperatorProcess
    arm_file: Path
    trace_file: Path

    def arm(self, number: int, *, label: str) -> None:
        """Count from now on and die at boundary `number`; 0 only counts."""
        draft = self.arm_file.with_suffix(".draft")
        draft.write_text(f"{number} {label}")
        draft.replace(self.arm_file)
        self.trace_file.write_text("")

    def disarm(self) -> list[str]:
        """What was passed since `arm`."""
        self.arm_file.unlink()
        return self.trace_file.read_text().splitlines()

    def until(self, true: Callable[[], bool], *, what: str) -> None:
        deadline_s = time.monotonic() + WITHIN_S
        while not true():
            if not self.operator.is_running:
                if self.arm_file.exists():
                    self.disarm()
                self.operator.start(wait=False)
            if time.monotonic() > deadline_s:
                described = json.dumps(self.api.list("Deployment", namespace=NAMESPACE), indent=1)
                pytest.fail(
                    f"{what}: not within {WITHIN_S:g} s\nbilled: {self.simulator.billed()}\n"
                    f"{described[-3000:]}\n{self.operator.log[-6000:]}"
                )
            time.sleep(0.05)  # polling, under the deadline above


@pytest.fixture
def bench(
    test_session: Session, clean_cluster: Stack, database: Database, simulator: SimulatorClient
) -> Iterator[Bench]:
    site = clean_cluster.site
    installation.make_keyring(site.keyring, environ=os.environ)
    key = new_key()
    api = ApiClient(site)
    simulator.reset(key, **FAST_WORLD)
    port = free_port()
    arm_file, trace_file = (test_session.directory / f"{name}-{port}" for name in ("arm", "trace"))
    trace_file.touch()
    own = operator_environment(
        site,
        database_url=database.operator_url,
        scaleway_url=simulator.url,
        kubeconfig=site.operator_kubeconfig,
    ) | {
        "INVENTIV_HTTP_PORT": str(port),
        "INVENTIV_SETTLE_S": "0.5",
        "INVENTIV_PROVIDER_TIMEOUT_S": "2",
        "INVENTIV_TERMINATOR_INTERVAL_S": "1",
        MARKER: marker(test_session.id, f"dying-operator-{port}"),
    }
    operator = OperatorProcess(
        command=Command(
            argv=(sys.executable, str(HERE / "dying_operator.py"), str(arm_file), str(trace_file)),
            directory=test_session.directory,
            log=test_session.directory / f"dying-operator-{port}.log",
            environment=plain_environment(os.environ, **own),
        ),
        port=port,
    )
    bench = Bench(api=api, simulator=simulator, operator=operator, arm_file=arm_file, trace_file=trace_file)
    api.apply(*sample_tenant.everything(NAMESPACE, key))
    operator.start(wait=False)
    bench.until(
        lambda: is_ready(api.get("ProviderCredential", sample_tenant.CREDENTIAL, namespace=NAMESPACE)),
        what="the credential to be Ready",
    )
    yield bench
    operator.kill_9()
    api.close()


def test_L2_L4_L5_L8_a_kill_at_any_boundary_leaves_exactly_the_wanted_servers(bench: Bench) -> None:
    """Life after life, each killed one boundary later; a phase has no more of them when two lives in a row
    survived it: a poll more or less moves the last ones.
    """
    struck = dict.fromkeys(PHASES, 0)
    survived = dict.fromkeys(PHASES, 0)
    for number in itertools.count(1):
        dying = [phase for phase in PHASES if survived[phase] < SURVIVED_IN_A_ROW]
        if not dying:
            break
        deaths = tuple(number if phase in dying else 0 for phase in PHASES)
        lives = _live(bench, f"n{number}", deaths=deaths)
        for phase, passed in zip(PHASES, lives, strict=True):
            if phase in dying and passed:
                survived[phase] += 1
            elif phase in dying:
                struck[phase], survived[phase] = struck[phase] + 1, 0
    assert min(struck.values()) >= 10, f"phases are too short to have been killed at every boundary: {struck}"


def _live(bench: Bench, name: str, *, deaths: tuple[int, ...]) -> tuple[list[str], ...]:
    """One life of one deployment; for each phase the boundaries it passed, none if it was killed in it."""
    api = bench.api
    steps: tuple[Callable[[], object], ...] = (
        lambda: api.apply(sample_tenant.deployment(NAMESPACE, name, replicas=2)),
        lambda: api.apply(sample_tenant.deployment(NAMESPACE, name, replicas=1)),
        lambda: api.delete("Deployment", name, namespace=NAMESPACE),
    )
    wanted = (2, 1, 0)
    passed = []
    for phase, step, death, servers in zip(PHASES, steps, deaths, wanted, strict=True):
        label = f"{name} {phase} {death}"
        bench.arm(death, label=label)
        step()
        bench.until(partial(_is_as_wanted, bench, name, servers), what=label)
        _assert_bill(bench, name, servers, what=label)
        passed.append(bench.disarm() if bench.arm_file.exists() else [])
    return tuple(passed)


def _is_as_wanted(bench: Bench, name: str, servers: int) -> bool:
    if servers:
        found = bench.api.get("Deployment", name, namespace=NAMESPACE)
        status = (found or {}).get("status") or {}
        is_said = status.get("readyReplicas") == servers and is_ready(found)
        return is_said and len(bench.simulator.billed()["servers"]) == servers
    return bench.api.get("Deployment", name, namespace=NAMESPACE) is None


def _assert_bill(bench: Bench, name: str, servers: int, *, what: str) -> None:
    billed = bench.simulator.billed()
    assert len(billed["servers"]) == servers, f"{what}: {billed}"
    assert len(billed["volumes"]) == servers, f"{what}: a root volume for each server and no other: {billed}"
    assert billed["ips"] == [], what
    for server in billed["servers"]:
        assert server["cloud_init_before_first_power_on"] is True, f"{what}: {server}"
    own_groups = [group for group in billed["security_groups"] if name in group["name"]]
    assert len(own_groups) == (1 if servers else 0), f"{what}: {billed['security_groups']}"

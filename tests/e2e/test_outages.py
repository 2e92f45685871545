"""B6: a part that is away, at start or later, stops actions and not the process; then work goes on."""

import httpx
import pytest

from e2e.proxy import CuttableProxy
from e2e.tenant import Tenant, until
from local_stack.parts import Part
from stack_fixtures import OperatorFactory, OperatorProcess

pytestmark = [pytest.mark.stack, pytest.mark.slow]


def is_alive(operator: OperatorProcess) -> bool:
    try:
        return httpx.get(f"{operator.url}/healthz", timeout=2.0, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def until_unready(operator: OperatorProcess, check: str) -> None:
    until(
        lambda: f"[-]{check} failed" in operator.readiness(),
        what=f"/readyz to name {check}",
        tell=lambda: f"{operator.readiness()}\n{operator.log[-4000:]}",
    )
    assert is_alive(operator)


@pytest.mark.parametrize(
    ("part", "check"),
    [(Part.POSTGRES, "database"), (Part.APISERVER, "kubernetes")],
    ids=["postgres", "apiserver"],
)
def test_B6_a_part_stopped_under_the_running_operator(
    tenant: Tenant, operator_process: OperatorFactory, part: Part, check: str
) -> None:
    operator = operator_process()
    tenant.apply(*tenant.everything(), tenant.deployment(replicas=1))
    tenant.until_ready("idep", "web", log=lambda: operator.log)
    pid = operator.pid
    assert 'inventiv_leader{shard="0"} 1.0' in operator.metrics()
    tenant.stack.stop(part)
    try:
        until_unready(operator, check)
        if part is Part.POSTGRES:
            tenant.apply(tenant.deployment("later", replicas=1))
            tenant.until_reason("idep", "later", "DatabaseUnavailable", log=lambda: operator.log)
            assert tenant.ready("idep", "web")[0] == "True"  # what runs goes on running
    finally:
        tenant.stack.start(part)
    tenant.apply(tenant.deployment("later", replicas=1), tenant.deployment(replicas=2))
    for name in ("web", "later"):
        tenant.until_ready("idep", name, log=lambda: operator.log)
    assert operator.is_running
    assert operator.pid == pid
    assert tenant.simulator.billed_count()["servers"] == 3


@pytest.mark.parametrize(
    ("part", "check"),
    [(Part.POSTGRES, "database"), (Part.APISERVER, "kubernetes")],
    ids=["postgres", "apiserver"],
)
def test_B6_a_part_absent_at_start(
    tenant: Tenant, operator_process: OperatorFactory, part: Part, check: str
) -> None:
    tenant.apply(*tenant.everything(), tenant.deployment(replicas=1))
    tenant.stack.stop(part)
    try:
        operator = operator_process(wait=False)
        until_unready(operator, check)
    finally:
        tenant.stack.start(part)
    tenant.until_ready("idep", "web", log=lambda: operator.log)
    assert tenant.simulator.billed_count()["servers"] == 1


def test_B6_the_provider_away_at_start_and_again_later(
    tenant: Tenant, operator_process: OperatorFactory, provider_line: CuttableProxy
) -> None:
    provider_line.cut()
    operator = operator_process(INVENTIV_SCALEWAY_API_URL=provider_line.url)
    tenant.apply(*tenant.everything(), tenant.deployment(replicas=1))
    tenant.until_reason("icred", "scaleway", "ProviderUnreachable", log=lambda: operator.log)
    provider_line.mend()
    tenant.until_ready("idep", "web", log=lambda: operator.log)
    provider_line.cut()
    tenant.apply(tenant.deployment(replicas=2))
    tenant.until_reason("idep", "web", "ProviderUnreachable", log=lambda: operator.log)
    provider_line.mend()
    tenant.until_ready("idep", "web", log=lambda: operator.log)
    assert tenant.simulator.billed_count()["servers"] == 2


def test_sigterm_ends_it_and_hands_the_lease_over(tenant: Tenant, operator_process: OperatorFactory) -> None:
    first = operator_process()
    second = operator_process(wait=False)
    first.stop()
    assert first.wait_ended()
    assert "Traceback" not in first.log
    tenant.apply(*tenant.everything())
    tenant.until_ready("icred", "scaleway", within_s=12.0, log=lambda: second.log)  # less than a lease
    second.stop()


def test_sigterm_while_it_waits_ends_it_at_once(tenant: Tenant, operator_process: OperatorFactory) -> None:
    tenant.stack.stop(Part.POSTGRES)
    try:
        operator = operator_process(wait=False)
        until_unready(operator, "database")
        operator.stop()
        assert operator.wait_ended(timeout_s=5.0)
    finally:
        tenant.stack.start(Part.POSTGRES)

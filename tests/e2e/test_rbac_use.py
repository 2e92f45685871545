"""The operator's role lists exactly what it needs: nothing is refused, and no rule is there for nothing.

The whole traffic runs against an API server that writes an audit log of the operator's service account.
"""

from collections.abc import Iterator

import pytest

from e2e.audited import Request, Right, granted, requests
from e2e.tenant import Tenant, until
from local_stack.simulator_client import new_key
from local_stack.stack import Stack
from local_stack.state import Outside
from stack_fixtures import BASE_PARTS, OperatorFactory, OperatorProcess, Session

pytestmark = [pytest.mark.stack, pytest.mark.slow]

CREATE_EVENT = Right(verb="create", resource="events", group="events.k8s.io")


@pytest.fixture(scope="module")
def stack(test_session: Session) -> Iterator[Stack]:
    """One of its own, because the session's writes no audit log."""
    made = Stack.up(
        test_session.directory / "audited",
        parts=BASE_PARTS,
        outside=Outside(),
        install=False,
        audit=True,
    )
    made.install()
    yield made
    made.down()


@pytest.fixture(scope="module")
def clean_cluster(stack: Stack) -> Stack:
    return stack


def drive(tenant: Tenant, operator: OperatorProcess) -> None:
    """Everything that the operator does at an API server, in two lives of it."""
    _create_and_change(tenant, operator)
    _refuse(tenant, operator)
    _rotate(tenant, operator)
    operator.restart()  # lists and watches everything anew
    _move_a_namespace(tenant, operator)
    _delete(tenant, operator)
    operator.stop()


def _create_and_change(tenant: Tenant, operator: OperatorProcess) -> None:
    tenant.apply(*tenant.everything(), tenant.deployment())
    tenant.until_ready("idep", "web", log=lambda: operator.log)
    rule = {"port": 80, "cidrs": ["203.0.113.0/24"]}
    tenant.apply(tenant.deployment(replicas=2, network={"ingress": [rule]}, tags=["team=search"]))
    tenant.until_ready("idep", "web", log=lambda: operator.log)
    tenant.stack.kubectl("scale", "deployments.inventiv.io", "web", "-n", tenant.name, "--replicas=1")
    tenant.until_ready("idep", "web", log=lambda: operator.log)
    until(lambda: tenant.simulator.billed_count()["servers"] == 1, what="one server to go")


def _refuse(tenant: Tenant, operator: OperatorProcess) -> None:
    tenant.apply(tenant.deployment("refused", deletionPolicy="Retain"))
    tenant.until_reason("idep", "refused", "NotSupported", log=lambda: operator.log)


def _rotate(tenant: Tenant, operator: OperatorProcess) -> None:
    another = new_key(project_id=tenant.key.project_id, organization_id=tenant.key.organization_id)
    tenant.simulator.add_key(another)
    tenant.apply(tenant.secret(another))
    until(
        lambda: tenant.status("icred", "scaleway").get("accessKey") == another.access_key,
        what="the new key to be in use",
        tell=lambda: operator.log[-4000:],
    )


def _move_a_namespace(tenant: Tenant, operator: OperatorProcess) -> None:
    """Claimed, and let go of again."""
    name = f"{tenant.name}-other"

    def is_labelled() -> bool:
        labels = (tenant.get("namespace", name) or {})["metadata"].get("labels") or {}
        return labels.get("inventiv.io/organization") == tenant.name

    tenant.stack.kubectl("create", "namespace", name)
    tenant.apply(tenant.organization(namespaces=[tenant.name, name]))
    until(is_labelled, what="the namespace to be claimed", tell=lambda: operator.log[-4000:])
    tenant.apply(tenant.organization())
    until(lambda: not is_labelled(), what="the namespace to be let go", tell=lambda: operator.log[-4000:])


def _delete(tenant: Tenant, operator: OperatorProcess) -> None:
    tenant.delete("idep", "web")
    tenant.until_gone("idep", "web", log=lambda: operator.log)
    tenant.apply(tenant.deployment())
    tenant.until_ready("idep", "web", log=lambda: operator.log)
    tenant.delete("namespace", tenant.name)
    tenant.delete("iorg", tenant.name)
    for kind in ("namespace", "iorg"):
        tenant.until_gone(kind, tenant.name, log=lambda: operator.log)


def is_for_nobodys_eyes(request: Request) -> bool:
    """An event in a namespace that is being deleted: whoever asks, it is refused after the authorizer let it
    pass. Statuses can be written there, so nothing is lost.
    """
    is_event = request.uses(CREATE_EVENT)
    return is_event and request.code == 403 and "because it is being terminated" in request.message


def test_no_request_of_the_operator_is_refused_and_no_right_of_it_is_unused(
    tenant: Tenant, operator_process: OperatorFactory
) -> None:
    before = len(requests(tenant.stack))
    drive(tenant, operator_process())
    made = requests(tenant.stack)[before:]
    assert len(made) > 100
    refused = [r for r in made if not r.was_allowed or (r.code == 403 and not is_for_nobodys_eyes(r))]
    assert not [f"{r.used} {r.uri}: {r.message}" for r in refused]
    unused = [right for right in granted(tenant.stack) if not any(request.uses(right) for request in made)]
    assert not [str(right) for right in sorted(unused)]


def test_a_right_of_the_operator_names_what_it_is_for(stack: Stack) -> None:
    """With a `*` the test above would say nothing."""
    rights = granted(stack)
    assert rights
    assert not [str(right) for right in rights if "*" in f"{right.verb}{right.resource}{right.group}"]


def test_the_audit_log_knows_who_may_not(stack: Stack) -> None:
    """That the first test can fail: what the role lacks is in the log, as refused."""
    before = len(requests(stack))
    done = stack.operator_kubectl("get", "pods", "--namespace=default", check=False)
    assert "Forbidden" in done.stderr
    said = [r for r in requests(stack)[before:] if r.code == 403 and not r.was_allowed]
    assert [str(r.used) for r in said] == ["list pods"]
    assert not any(is_for_nobodys_eyes(r) for r in said)

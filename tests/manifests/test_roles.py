"""Who may do what: the operator exactly its own calls, tenants what is theirs."""

import json
import time
from collections.abc import Iterator

import pytest
import yaml

from contract_manifests import NAMESPACE, deployment
from inventiv_operator.kube.kinds import EVENT, OURS, SECRET
from inventiv_operator.kube.kinds import NAMESPACE as NAMESPACE_KIND
from local_stack.stack import Stack

ROLES = ("view", "edit", "admin")
_WITHIN_S = 60.0


def may(cluster: Stack, user: str, verb: str, resource: str, *, namespace: str | None = NAMESPACE) -> bool:
    subresource = []
    if "/" in resource:
        resource, name = resource.split("/")
        subresource = [f"--subresource={name}"]
    where = "--all-namespaces" if namespace is None else f"--namespace={namespace}"
    done = cluster.kubectl("auth", "can-i", verb, resource, *subresource, where, f"--as={user}", check=False)
    return done.stdout.strip() == "yes"


@pytest.fixture(scope="module")
def cluster(clean_cluster: Stack) -> Iterator[Stack]:
    """With a user per role, bound in the tenant's namespace only, once the roles are aggregated."""
    clean_cluster.kubectl("create", "namespace", NAMESPACE)
    for role in ROLES:
        clean_cluster.kubectl(
            "create",
            "rolebinding",
            role,
            f"--clusterrole={role}",
            f"--user={role}",
            f"--namespace={NAMESPACE}",
        )
    deadline = time.monotonic() + _WITHIN_S
    while not all(may(clean_cluster, role, "list", "deployments.inventiv.io") for role in ROLES):
        assert time.monotonic() < deadline, "the roles are not aggregated"
        time.sleep(0.2)
    yield clean_cluster
    clean_cluster.kubectl("delete", "namespace", NAMESPACE)


READS = [
    (verb, f"{kind}.inventiv.io")
    for kind in ("deployments", "providercredentials")
    for verb in ("get", "list", "watch")
]
WRITES = [
    (verb, f"{kind}.inventiv.io")
    for kind in ("deployments", "providercredentials")
    for verb in ("create", "update", "patch", "delete", "deletecollection")
]
SCALES = [("update", "deployments.inventiv.io/scale"), ("patch", "deployments.inventiv.io/scale")]
NEVER = [
    ("update", "deployments.inventiv.io/status"),
    ("patch", "deployments.inventiv.io/status"),
    ("patch", "providercredentials.inventiv.io/status"),
    ("get", "organizations.inventiv.io"),
    ("create", "organizations.inventiv.io"),
    ("patch", "organizations.inventiv.io"),
    ("patch", "namespaces"),
]


@pytest.mark.parametrize("role", ROLES)
def test_every_role_of_a_tenant_reads(cluster: Stack, role: str) -> None:
    assert not [rule for rule in READS if not may(cluster, role, *rule)]
    assert may(cluster, role, "get", "deployments.inventiv.io/scale")


@pytest.mark.parametrize("role", ["edit", "admin"])
def test_edit_and_admin_write(cluster: Stack, role: str) -> None:
    assert not [rule for rule in WRITES + SCALES if not may(cluster, role, *rule)]


def test_view_does_not_write(cluster: Stack) -> None:
    assert not [rule for rule in WRITES + SCALES if may(cluster, "view", *rule)]


@pytest.mark.parametrize("role", ROLES)
def test_no_role_of_a_tenant_writes_status_organizations_or_namespaces(cluster: Stack, role: str) -> None:
    assert not [rule for rule in NEVER if may(cluster, role, *rule)]


@pytest.mark.parametrize("role", ROLES)
def test_T2_no_role_reaches_beyond_its_namespace(cluster: Stack, role: str) -> None:
    assert not [rule for rule in READS + WRITES if may(cluster, role, *rule, namespace="default")]


def test_a_tenant_scales_and_deletes_what_it_made_but_cannot_say_how_it_is(cluster: Stack) -> None:
    cluster.kubectl("create", "--filename=-", "--as=edit", stdin=json.dumps(deployment()))
    target = ("deployments.inventiv.io", "llama", f"--namespace={NAMESPACE}", "--as=edit")
    cluster.kubectl("scale", *target, "--replicas=2")
    lie = cluster.kubectl(
        "patch",
        *target,
        "--subresource=status",
        "--type=merge",
        '-p={"status":{"phase":"Ready"}}',
        check=False,
    )
    assert "Forbidden" in lie.stderr
    cluster.kubectl("patch", *target, "--type=merge", '-p={"status":{"phase":"Ready"}}')
    assert not cluster.kubectl("get", *target, "--output=jsonpath={.status}").stdout
    cluster.kubectl("delete", *target)


def test_the_operators_role_is_what_its_client_calls_and_nothing_else(installed_stack: Stack) -> None:
    """`kube/client.py` and the watches are all that talks to the API server."""
    role = installed_stack.kubectl("get", "clusterrole", "inventiv-operator", "--output=json").stdout
    granted = {
        (verb, f"{resource}.{group}" if group else resource)
        for rule in yaml.safe_load(role)["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    reading = ("get", "list", "watch")
    called = {(verb, f"{kind.plural}.{kind.group}") for kind in OURS for verb in (*reading, "patch")}
    called |= {("patch", f"{kind.plural}/status.{kind.group}") for kind in OURS}
    called |= {(verb, SECRET.plural) for verb in reading}
    called |= {(verb, NAMESPACE_KIND.plural) for verb in (*reading, "patch")}
    called |= {("create", f"{EVENT.plural}.{EVENT.group}")}
    assert granted == called


def test_the_operator_writes_statuses_and_neither_specs_nor_secrets(installed_stack: Stack) -> None:
    user = "system:serviceaccount:inventiv-system:inventiv-operator"
    assert may(installed_stack, user, "patch", "deployments.inventiv.io/status", namespace=None)
    for verb, resource in (
        ("create", "deployments.inventiv.io"),
        ("delete", "deployments.inventiv.io"),
        ("update", "secrets"),
        ("create", "secrets"),
        ("delete", "namespaces"),
        ("create", "pods"),
        ("patch", "deployments.apps"),
        ("patch", "customresourcedefinitions.apiextensions.k8s.io"),
    ):
        assert not may(installed_stack, user, verb, resource, namespace=None), (verb, resource)

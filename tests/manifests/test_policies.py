"""The admission policies at a real API server, from every side."""

import json
import secrets
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from contract_manifests import credential, deployment
from local_stack.stack import Stack

LABEL = "inventiv.io/organization"
OPERATOR = "--as=system:serviceaccount:inventiv-system:inventiv-operator"
TENANT = "--as=mallory"
NAMESPACE_ADMINISTRATOR = """
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: test-namespaces}
rules:
- {apiGroups: [""], resources: [namespaces, namespaces/status, namespaces/finalize], verbs: ["*"]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: test-namespaces}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: test-namespaces}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: mallory}]
"""
_WITHIN_S = 30.0

Completed = subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def cluster(clean_cluster: Stack) -> Iterator[Stack]:
    """With somebody who may do anything to namespaces, once the policies are in force (not at once)."""
    clean_cluster.kubectl("apply", "--filename=-", stdin=NAMESPACE_ADMINISTRATOR)
    for refused in (
        lambda: clean_cluster.kubectl(
            "label", "ns", "default", f"{LABEL}=x", "--dry-run=server", TENANT, check=False
        ),
        lambda: clean_cluster.kubectl(
            "delete", "crd", "organizations.inventiv.io", "--dry-run=server", check=False
        ),
    ):
        eventually(refused, lambda done: "ValidatingAdmissionPolicy" in done.stderr)
    yield clean_cluster
    clean_cluster.kubectl("delete", "--filename=-", stdin=NAMESPACE_ADMINISTRATOR)


def eventually(ask: Callable[[], Completed], is_fine: Callable[[Completed], bool]) -> Completed:
    deadline = time.monotonic() + _WITHIN_S
    while not is_fine(done := ask()):
        assert time.monotonic() < deadline, done
        time.sleep(0.1)
    return done


@pytest.fixture
def namespace(cluster: Stack) -> Iterator[str]:
    name = f"test-{secrets.token_hex(4)}"
    cluster.kubectl("create", "namespace", name)
    yield name
    cluster.kubectl("delete", "namespace", name, "--ignore-not-found", "--wait=false")


def is_refused(done: Completed, policy: str) -> bool:
    return done.returncode != 0 and f"ValidatingAdmissionPolicy '{policy}'" in done.stderr


def relabelled(cluster: Stack, namespace: str, value: str) -> str:
    """The whole namespace with another label, as JSON."""
    body = json.loads(cluster.kubectl("get", "ns", namespace, "--output=json").stdout)
    body["metadata"]["labels"][LABEL] = value
    return json.dumps(body)


class TestT1TheLabelOfANamespaceIsTheOperators:
    POLICY = "inventiv-namespace-label"

    @pytest.mark.parametrize("value", ["stolen", ""])
    def test_a_tenant_cannot_set_it(self, cluster: Stack, namespace: str, value: str) -> None:
        done = cluster.kubectl("label", "ns", namespace, f"{LABEL}={value}", TENANT, check=False)
        assert is_refused(done, self.POLICY)
        assert "name the namespace in an Organization" in done.stderr

    def test_a_tenant_cannot_change_or_remove_it(self, cluster: Stack, namespace: str) -> None:
        cluster.kubectl("label", "ns", namespace, f"{LABEL}=acme")
        change = cluster.kubectl(
            "label", "--overwrite", "ns", namespace, f"{LABEL}=other", TENANT, check=False
        )
        remove = cluster.kubectl("label", "ns", namespace, f"{LABEL}-", TENANT, check=False)
        assert is_refused(change, self.POLICY)
        assert is_refused(remove, self.POLICY)

    def test_a_tenant_cannot_bring_it_along_into_a_new_namespace(self, cluster: Stack) -> None:
        body = {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": "test-born", "labels": {LABEL: ""}},
        }
        done = cluster.kubectl("create", "--filename=-", TENANT, stdin=json.dumps(body), check=False)
        assert is_refused(done, self.POLICY)

    def test_a_tenant_cannot_set_it_by_way_of_the_status(self, cluster: Stack, namespace: str) -> None:
        patch = json.dumps({"metadata": {"labels": {LABEL: "stolen"}}})
        done = cluster.kubectl(
            "patch",
            "ns",
            namespace,
            "--subresource=status",
            "--type=merge",
            f"-p={patch}",
            TENANT,
            check=False,
        )
        assert is_refused(done, self.POLICY)

    def test_a_tenant_cannot_set_it_by_way_of_finalize(self, cluster: Stack, namespace: str) -> None:
        done = cluster.kubectl(
            "replace",
            f"--raw=/api/v1/namespaces/{namespace}/finalize",
            "--filename=-",
            TENANT,
            stdin=relabelled(cluster, namespace, "stolen"),
            check=False,
        )
        assert is_refused(done, self.POLICY)

    @pytest.mark.parametrize("subresource", ["status", "finalize"])
    @pytest.mark.parametrize("value", ["other", None], ids=["change", "remove"])
    def test_a_tenant_cannot_change_or_remove_it_by_another_way(
        self, cluster: Stack, namespace: str, subresource: str, value: str | None
    ) -> None:
        cluster.kubectl("label", "ns", namespace, f"{LABEL}=acme")
        body = json.loads(cluster.kubectl("get", "ns", namespace, "--output=json").stdout)
        body["metadata"]["labels"][LABEL] = value
        if value is None:
            del body["metadata"]["labels"][LABEL]
        path = f"--raw=/api/v1/namespaces/{namespace}/{subresource}"
        done = cluster.kubectl("replace", path, "--filename=-", TENANT, stdin=json.dumps(body), check=False)
        assert is_refused(done, self.POLICY)
        assert LABEL in cluster.kubectl("get", "ns", namespace, "--output=jsonpath={.metadata.labels}").stdout

    def test_a_tenant_may_change_everything_else(self, cluster: Stack, namespace: str) -> None:
        cluster.kubectl("label", "ns", namespace, f"{LABEL}=acme")
        cluster.kubectl("label", "ns", namespace, "team=search", TENANT)
        cluster.kubectl("create", "namespace", f"{namespace}-b", TENANT)
        cluster.kubectl("delete", "namespace", f"{namespace}-b", "--wait=false", TENANT)

    def test_the_operator_sets_and_removes_it(self, cluster: Stack, namespace: str) -> None:
        for value in (f"{LABEL}=acme", f"{LABEL}-"):
            cluster.kubectl("label", "ns", namespace, value, OPERATOR)

    def test_a_labelled_namespace_can_be_deleted(self, cluster: Stack, namespace: str) -> None:
        """The namespace controller writes status and finalize on the way."""
        cluster.kubectl("label", "ns", namespace, f"{LABEL}=acme")
        cluster.kubectl("delete", "ns", namespace, "--timeout=60s", TENANT)


def placed(manifest: dict[str, Any], namespace: str) -> str:
    return json.dumps({**manifest, "metadata": {**manifest["metadata"], "namespace": namespace}})


class TestS5ADeploymentNeedsAnOrganization:
    POLICY = "inventiv-organization-required"

    @pytest.mark.parametrize(
        "manifest", [pytest.param(deployment(), id="deployment"), pytest.param(credential(), id="credential")]
    )
    def test_without_one_there_is_a_warning(
        self, cluster: Stack, namespace: str, manifest: dict[str, Any]
    ) -> None:
        done = cluster.kubectl("create", "--filename=-", stdin=placed(manifest, namespace))
        assert f"namespace {namespace} belongs to no Organization" in done.stderr

    def test_with_one_there_is_none(self, cluster: Stack, namespace: str) -> None:
        cluster.kubectl("label", "ns", namespace, f"{LABEL}=acme")
        done = eventually(
            lambda: cluster.kubectl(
                "create", "--dry-run=server", "--filename=-", stdin=placed(deployment(), namespace)
            ),
            lambda done: not done.stderr,  # the policy reads namespaces from a cache
        )
        assert "created" in done.stdout

    @pytest.fixture
    def strict(self, cluster: Stack, namespace: str) -> Iterator[str]:
        """As with overlays/strict, in force when the test begins and out of force when it has ended."""
        cluster.kubectl("create", "--filename=-", stdin=placed(deployment("old"), namespace))

        def create() -> Completed:
            body = placed(deployment("new"), namespace)
            return cluster.kubectl("create", "--dry-run=server", "--filename=-", stdin=body, check=False)

        cluster.kubectl("patch", *BINDING, "--type=merge", '-p={"spec":{"validationActions":["Deny"]}}')
        eventually(create, lambda done: done.returncode != 0)
        yield namespace
        cluster.kubectl("patch", *BINDING, "--type=merge", '-p={"spec":{"validationActions":["Warn"]}}')
        eventually(create, lambda done: done.returncode == 0)

    def test_the_strict_overlay_refuses_new_ones(self, cluster: Stack, strict: str) -> None:
        body = placed(deployment("new"), strict)
        assert is_refused(cluster.kubectl("create", "--filename=-", stdin=body, check=False), self.POLICY)

    def test_the_strict_overlay_lets_old_ones_go_finalizers_included(
        self, cluster: Stack, strict: str
    ) -> None:
        target = ("idep", "old", f"--namespace={strict}")
        cluster.kubectl("patch", *target, "--type=merge", f"-p={FINALIZERS}")
        cluster.kubectl("delete", *target, "--wait=false")
        cluster.kubectl("patch", *target, "--type=merge", f"-p={NO_FINALIZERS}")
        assert not cluster.kubectl("get", "idep", f"-n={strict}", "--output=name").stdout


class TestANamespaceThatLostItsLabel:
    """What was made while it had one is not held up: T1 rests on the database."""

    @pytest.fixture
    def lost(self, cluster: Stack, namespace: str) -> str:
        cluster.kubectl("label", "ns", namespace, f"{LABEL}=acme")
        cluster.kubectl("create", "--filename=-", stdin=placed(deployment("old"), namespace))
        cluster.kubectl("create", "--filename=-", stdin=placed(credential(), namespace))
        cluster.kubectl("label", "ns", namespace, f"{LABEL}-", OPERATOR)
        return namespace

    def test_a_new_object_is_warned_about_again(self, cluster: Stack, lost: str) -> None:
        body = placed(deployment("new"), lost)
        eventually(
            lambda: cluster.kubectl("create", "--dry-run=server", "--filename=-", stdin=body),
            lambda done: f"namespace {lost} belongs to no Organization" in done.stderr,
        )

    def test_an_old_one_is_changed_scaled_and_deleted_without_a_word(self, cluster: Stack, lost: str) -> None:
        here = f"--namespace={lost}"
        for done in (
            cluster.kubectl("patch", "idep", "old", here, "--type=merge", f"-p={FINALIZERS}", OPERATOR),
            cluster.kubectl("patch", "idep", "old", here, "--type=merge", '-p={"spec":{"paused":true}}'),
            cluster.kubectl("scale", "deployments.inventiv.io", "old", here, "--replicas=2"),
            cluster.kubectl("delete", "idep", "old", here, "--wait=false"),
            cluster.kubectl("patch", "idep", "old", here, "--type=merge", f"-p={NO_FINALIZERS}", OPERATOR),
            cluster.kubectl("delete", "icred", "scaleway", here),
        ):
            assert not done.stderr
        assert not cluster.kubectl("get", "idep,icred", here, "--output=name").stdout


class TestScale:
    """The subresource writes one number, under the same bounds."""

    @pytest.fixture
    def scaled(self, cluster: Stack, namespace: str) -> str:
        cluster.kubectl("label", "ns", namespace, f"{LABEL}=acme")
        cluster.kubectl("create", "--filename=-", stdin=placed(deployment("llama"), namespace))
        return f"/apis/inventiv.io/v1alpha1/namespaces/{namespace}/deployments/llama"

    def put(self, cluster: Stack, path: str, scale: dict[str, Any]) -> Completed:
        text = json.dumps(scale)
        return cluster.kubectl("replace", f"--raw={path}/scale", "--filename=-", stdin=text, check=False)

    def get(self, cluster: Stack, path: str) -> dict[str, Any]:
        body: dict[str, Any] = json.loads(cluster.kubectl("get", f"--raw={path}").stdout)
        return body

    @pytest.mark.parametrize(
        ("replicas", "words"), [(101, "less than or equal to 100"), (-1, "greater than or equal to 0")]
    )
    def test_it_has_the_bounds_of_the_spec(
        self, cluster: Stack, scaled: str, replicas: int, words: str
    ) -> None:
        scale = self.get(cluster, f"{scaled}/scale")
        done = self.put(cluster, scaled, scale | {"spec": {"replicas": replicas}})
        assert done.returncode != 0
        assert words in done.stderr or "must be" in done.stderr
        assert self.get(cluster, scaled)["spec"]["replicas"] == 1

    def test_it_changes_nothing_else(self, cluster: Stack, scaled: str) -> None:
        before = self.get(cluster, scaled)
        scale = self.get(cluster, f"{scaled}/scale")
        scale["spec"] = {"replicas": 3, "deletionProtection": True, "image": "other"}
        scale["status"] = {"replicas": 3, "selector": "x=y", "phase": "Ready"}
        scale["metadata"] |= {"labels": {LABEL: "stolen"}, "finalizers": ["x/y"], "annotations": {"a": "b"}}
        self.put(cluster, scaled, scale)
        after = self.get(cluster, scaled)
        assert after["spec"] in (before["spec"], before["spec"] | {"replicas": 3})
        assert after.get("status") == before.get("status")
        for name in ("labels", "finalizers", "annotations"):
            assert after["metadata"].get(name) == before["metadata"].get(name)


BINDING = ("validatingadmissionpolicybinding", "inventiv-organization-required")
FINALIZERS = '{"metadata":{"finalizers":["inventiv.io/cleanup"]}}'
NO_FINALIZERS = '{"metadata":{"finalizers":null}}'


class TestDeletionProtection:
    POLICY = "inventiv-deletion-protection"

    @pytest.fixture
    def protected(self, cluster: Stack, namespace: str) -> Iterator[str]:
        manifest = placed(deployment("kept", deletionProtection=True), namespace)
        cluster.kubectl("create", "--filename=-", stdin=manifest)
        yield namespace
        self.unprotect(cluster, namespace)

    def unprotect(self, cluster: Stack, namespace: str) -> None:
        patch = '{"spec":{"deletionProtection":false}}'
        cluster.kubectl(
            "patch", "idep", "kept", f"-n={namespace}", "--type=merge", f"-p={patch}", check=False
        )

    def test_a_protected_deployment_is_not_deleted(self, cluster: Stack, protected: str) -> None:
        done = cluster.kubectl("delete", "idep", "kept", f"-n={protected}", check=False)
        assert is_refused(done, self.POLICY)
        assert "set it to false first" in done.stderr

    def test_nor_with_all_the_others(self, cluster: Stack, protected: str) -> None:
        path = f"/apis/inventiv.io/v1alpha1/namespaces/{protected}/deployments"
        assert is_refused(cluster.kubectl("delete", f"--raw={path}", check=False), self.POLICY)

    def test_its_namespace_waits_and_says_for_what(self, cluster: Stack, protected: str) -> None:
        cluster.kubectl("delete", "ns", protected, "--wait=false")
        eventually(
            lambda: cluster.kubectl("get", "ns", protected, "--output=jsonpath={.status.conditions}"),
            lambda done: "spec.deletionProtection of Deployment kept" in done.stdout,
        )

    def test_an_unprotected_one_is(self, cluster: Stack, protected: str) -> None:
        self.unprotect(cluster, protected)
        cluster.kubectl("delete", "idep", "kept", f"-n={protected}")

    def test_a_protected_one_may_be_changed(self, cluster: Stack, protected: str) -> None:
        cluster.kubectl("scale", "deployments.inventiv.io", "kept", f"-n={protected}", "--replicas=2")


class TestCrdsAreNotDeletedByMistake:
    POLICY = "inventiv-crd-deletion"
    OTHER_CRD = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.test.example}
spec:
  group: test.example
  scope: Namespaced
  names: {kind: Thing, plural: things}
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]
"""

    @pytest.mark.parametrize("kind", ["organizations", "providercredentials", "deployments"])
    def test_ours_is_refused(self, cluster: Stack, kind: str) -> None:
        done = cluster.kubectl("delete", "crd", f"{kind}.inventiv.io", "--dry-run=server", check=False)
        assert is_refused(done, self.POLICY)
        assert "inventiv.io/allow-delete=true" in done.stderr

    def test_all_at_once_is_refused(self, cluster: Stack) -> None:
        path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions?dryRun=All"
        assert is_refused(cluster.kubectl("delete", f"--raw={path}", check=False), self.POLICY)

    def test_annotated_it_goes(self, cluster: Stack) -> None:
        crd = ("crd", "organizations.inventiv.io")
        cluster.kubectl("annotate", *crd, "inventiv.io/allow-delete=true")
        try:
            cluster.kubectl("delete", *crd, "--dry-run=server")
        finally:
            cluster.kubectl("annotate", *crd, "inventiv.io/allow-delete-")

    def test_a_foreign_one_goes(self, cluster: Stack) -> None:
        cluster.kubectl("create", "--filename=-", stdin=self.OTHER_CRD)
        cluster.kubectl("delete", "crd", "things.test.example")

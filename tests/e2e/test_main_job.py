"""From kubectl apply to a running instance and back to nothing: a real API server, PostgreSQL and process."""

import pytest

from e2e.tenant import FAST_WORLD, Tenant, until
from stack_fixtures import OperatorFactory

pytestmark = pytest.mark.stack


def test_apply_ready_scale_delete_and_nothing_is_billed(
    tenant: Tenant, operator_process: OperatorFactory
) -> None:
    operator = operator_process()

    def log() -> str:
        return operator.log

    tenant.apply(*tenant.everything(), tenant.deployment(replicas=2))
    tenant.until_ready("idep", "web", log=log)

    status = tenant.status("icred", "scaleway")
    assert tenant.key.access_key == status["accessKey"]
    assert len(status["keyFingerprint"]) == 8
    assert status["encryptionKeyID"] == "k1"
    organization = tenant.status("iorg", tenant.name)
    assert organization["namespaces"][0]["claimed"] is True
    namespace = tenant.get("namespace", tenant.name) or {}
    assert namespace["metadata"]["labels"]["inventiv.io/organization"] == tenant.name

    billed = tenant.simulator.billed()
    assert len(billed["servers"]) == len(billed["volumes"]) == 2
    assert all(server["cloud_init_before_first_power_on"] for server in billed["servers"])
    assert {server["project"] for server in billed["servers"]} == {tenant.key.project_id}

    tenant.apply(tenant.deployment(replicas=3))
    until(lambda: tenant.status("idep", "web").get("readyReplicas") == 3, what="three", tell=log)
    tenant.apply(tenant.deployment(replicas=1))
    until(lambda: tenant.simulator.billed_count()["servers"] == 1, what="one", tell=log)
    tenant.until_ready("idep", "web", log=log)
    until(
        lambda: tenant.status("icred", "scaleway").get("resources", {}).get("servers") == 1,
        what="the credential to count one server",
    )

    tenant.delete("idep", "web")
    tenant.until_gone("idep", "web", log=log)
    assert tenant.simulator.billed_count() | {"security_groups": 0} == {
        "servers": 0,
        "volumes": 0,
        "ips": 0,
        "security_groups": 0,
    }
    tenant.delete("icred", "scaleway")
    tenant.until_gone("icred", "scaleway", log=log)
    tenant.delete("iorg", tenant.name)
    tenant.until_gone("iorg", tenant.name, log=log)
    assert tenant.simulator.billed_count()["security_groups"] == 0
    namespace = tenant.get("namespace", tenant.name) or {}
    assert "inventiv.io/organization" not in (namespace["metadata"].get("labels") or {})
    operator.stop()
    assert '"level": "error"' not in operator.log
    assert tenant.key.secret_key not in operator.log


def test_S5_without_an_organization_no_call_leaves(tenant: Tenant, operator_process: OperatorFactory) -> None:
    operator = operator_process()
    tenant.apply(tenant.namespace(), tenant.secret(), tenant.credential(), tenant.deployment())
    for kind, name in (("idep", "web"), ("icred", "scaleway")):
        message = tenant.until_reason(kind, name, "OrganizationMissing", log=lambda: operator.log)
        assert "ask the platform team" in message
    assert tenant.simulator.calls() == []
    tenant.apply(tenant.organization())
    tenant.until_ready("idep", "web", log=lambda: operator.log)


def test_T5_everything_deleted_at_once_and_the_operator_away_leaves_nothing(
    tenant: Tenant, operator_process: OperatorFactory
) -> None:
    operator = operator_process()
    tenant.apply(*tenant.everything(), tenant.deployment(replicas=2))
    tenant.until_ready("idep", "web", log=lambda: operator.log)
    operator.kill_9()
    tenant.delete("iorg", tenant.name)
    tenant.delete("secret", "scaleway")
    tenant.delete("icred", "scaleway")
    tenant.stack.kubectl("delete", "namespace", tenant.name, "--wait=false")
    operator.start(wait=False)
    tenant.until_gone("namespace", tenant.name, log=lambda: operator.log)
    tenant.until_gone("iorg", tenant.name, log=lambda: operator.log)
    assert tenant.simulator.billed_count() == {"servers": 0, "volumes": 0, "ips": 0, "security_groups": 0}


def test_an_endpoint_with_the_bare_minimum_is_enough(
    tenant: Tenant, operator_process: OperatorFactory
) -> None:
    """No IAM, account and availability endpoints, no default security groups, no keys known or checked."""
    no_groups = {
        "kind": "status",
        "status": 200,
        "body": {"security_groups": []},
        "times": None,
        "match": {"method": "GET", "path_regex": r"security_groups\?"},
    }
    tenant.simulator.reset(**FAST_WORLD, minimal=True, open=True, faults=[no_groups])
    operator = operator_process()
    tenant.apply(*tenant.everything(), tenant.deployment(replicas=1))
    tenant.until_ready("idep", "web", log=lambda: operator.log)
    assert tenant.ready("icred", "scaleway")[0] == "True"
    tenant.delete("idep", "web")
    tenant.delete("icred", "scaleway")
    tenant.until_gone("icred", "scaleway", log=lambda: operator.log)
    assert tenant.simulator.billed_count() == {"servers": 0, "volumes": 0, "ips": 0, "security_groups": 0}


def test_T1_a_namespace_that_lost_its_label_is_still_its_organizations(
    tenant: Tenant, operator_process: OperatorFactory
) -> None:
    """It is a copy for people and policies; the operator decides by its ledger, and writes it again."""
    operator = operator_process()
    tenant.apply(*tenant.everything())
    tenant.until_ready("icred", "scaleway", log=lambda: operator.log)
    for stolen in ("inventiv.io/organization-", "inventiv.io/organization=other"):
        tenant.stack.kubectl("label", "--overwrite", "namespace", tenant.name, stolen)
        until(
            lambda: label_of(tenant) == tenant.name,
            what="the label to be written again",
            tell=lambda: operator.log,
        )
    tenant.stack.kubectl("label", "namespace", tenant.name, "inventiv.io/organization-")
    tenant.apply(tenant.deployment())
    tenant.until_ready("idep", "web", log=lambda: operator.log)
    tenant.delete("idep", "web")
    tenant.until_gone("idep", "web", log=lambda: operator.log)


def label_of(tenant: Tenant) -> str | None:
    labels = (tenant.get("namespace", tenant.name) or {})["metadata"].get("labels") or {}
    found: str | None = labels.get("inventiv.io/organization")
    return found

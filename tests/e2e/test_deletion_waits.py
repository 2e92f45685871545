"""T5: a deletion that has to wait waits for as long as it takes, and `kubectl describe` says for what."""

import json
from collections.abc import Callable

import pytest

from e2e.crowd import DEPLOYMENT, Crowd
from e2e.tenant import FAST_WORLD, until
from local_stack import sample_tenant
from local_stack.simulator_client import SimulatorClient, TenantKey, new_key
from local_stack.stack import Stack
from stack_fixtures import OperatorFactory

pytestmark = [pytest.mark.stack, pytest.mark.slow]

NOTHING = {"servers": 0, "volumes": 0, "ips": 0, "security_groups": 0}
ORGANIZATION, CREDENTIAL, SECRET, SERVER, NAMESPACE, REVOKED = TENANTS = (
    "organization-first",
    "credential-first",
    "secret-first",
    "server-stays",
    "namespace-first",
    "key-revoked",
)


def refuse_to_end_servers(key: TenantKey) -> dict[str, object]:
    """For as long as nobody clears it: neither the action `terminate` nor a DELETE comes through."""
    match = {"access_key": key.access_key, "path_regex": "/servers/", "method": "POST"}
    return {"kind": "status", "status": 500, "times": None, "match": match}


class Says:
    """What `kubectl describe` prints, in one line."""

    def __init__(self, stack: Stack, log: Callable[[], str]) -> None:
        self._stack = stack
        self._log = log

    def describe(self, kind: str, name: str, *, namespace: str = "") -> str:
        where = [f"--namespace={namespace}"] if namespace else []
        return " ".join(self._stack.kubectl("describe", kind, name, *where).stdout.split())

    def until(self, kind: str, name: str, *words: str, namespace: str = "") -> None:
        until(
            lambda: all(word in self.describe(kind, name, namespace=namespace) for word in words),
            what=f"kubectl describe {kind} {name} to say {words}",
            tell=lambda: f"{self.describe(kind, name, namespace=namespace)}\n{self._log()[-3000:]}",
        )


def test_T5_what_waits_says_for_what_and_goes_on_when_it_can(
    clean_cluster: Stack, simulator: SimulatorClient, operator_process: OperatorFactory
) -> None:
    with Crowd(clean_cluster, simulator, TENANTS) as crowd:
        simulator.reset(*crowd.keys.values(), **FAST_WORLD)
        crowd.apply()
        operator = operator_process()
        says = Says(clean_cluster, lambda: operator.log)
        until(crowd.are_ready, what="all tenants to be Ready", tell=lambda: f"{crowd.left()}\n{operator.log}")
        simulator.faults(refuse_to_end_servers(crowd.keys[SERVER]))
        simulator.someone_else("keys", crowd.keys[REVOKED].access_key, "revoke")
        crowd.delete("Organization", ORGANIZATION)
        crowd.delete("ProviderCredential", CREDENTIAL)
        crowd.delete("Secret", SECRET)
        crowd.delete("Deployment", SERVER)
        crowd.delete("Namespace", SERVER)
        crowd.delete("Namespace", NAMESPACE)
        crowd.delete("Deployment", REVOKED)

        def all_say() -> None:
            says.until(
                "iorg",
                ORGANIZATION,
                f"waiting for credential {ORGANIZATION}/scaleway, deployment {ORGANIZATION}/web,",
                "1 server, 1 volume",
            )
            says.until(
                "icred",
                "scaleway",
                "waiting until it is no longer used: 1 deployment, 1 server, 1 volume, 1 security group",
                namespace=CREDENTIAL,
            )
            says.until("icred", "scaleway", "SecretMissing", "make it with the keys", namespace=SECRET)
            server = server_of(simulator, crowd.keys[SERVER])
            says.until("idep", DEPLOYMENT, "still there: server", server, namespace=SERVER)
            says.until("namespace", SERVER, "inventiv.io/cleanup in")
            server = server_of(simulator, crowd.keys[REVOKED])
            says.until("idep", DEPLOYMENT, "still there: server", server, namespace=REVOKED)
            says.until("icred", "scaleway", "CredentialRejected", namespace=REVOKED)

        all_say()
        until(lambda: crowd.is_gone("Namespace", NAMESPACE), what="the namespace to go, as nothing holds it")
        says.until("iorg", NAMESPACE, f"waiting for namespaces that do not exist yet: {NAMESPACE}")
        operator.restart()  # as long as it takes is longer than a process lives
        all_say()
        assert crowd.servers() == dict.fromkeys(TENANTS, 1) | {NAMESPACE: 0}

        simulator.clear_faults()
        another = new_key(project_id=crowd.keys[REVOKED].project_id)
        simulator.add_key(another)
        secret = json.dumps(sample_tenant.secret(REVOKED, another))
        clean_cluster.kubectl("apply", "-f", "-", stdin=secret)
        # Before the namespace takes the Secret along: a key that nobody has read yet would be gone with it.
        until(lambda: crowd.is_gone("Deployment", REVOKED), what="the new key to finish the deletion")
        for kind in ("Deployment", "ProviderCredential", "Organization", "Namespace"):
            for name in TENANTS:
                crowd.delete(kind, name)
        until(crowd.are_gone, what="everything to go", tell=lambda: f"{crowd.left()}\n{operator.log[-6000:]}")
        assert simulator.billed_count() == NOTHING


def server_of(simulator: SimulatorClient, key: TenantKey) -> str:
    return str(next(s["id"] for s in simulator.billed()["servers"] if s["project"] == key.project_id))

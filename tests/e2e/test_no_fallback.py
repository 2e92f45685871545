"""S7 and T3: the key of a tenant comes from that tenant's own row and from nowhere else."""

from pathlib import Path

import pytest

from e2e.tenant import Tenant
from local_stack.simulator_client import SimulatorClient, TenantKey, new_key
from stack_fixtures import OperatorFactory

pytestmark = [pytest.mark.stack, pytest.mark.slow]

KEYLESS = "keyless"


def ambient(key: TenantKey, *, url: str, home: Path) -> dict[str, str]:
    """Everything that the SDKs, the CLI and Terraform would take a key from, and the names of the origin."""
    config = home / ".config" / "scw" / "config.yaml"
    config.parent.mkdir(parents=True)
    config.write_text(
        f"access_key: {key.access_key}\n"
        f"secret_key: {key.secret_key}\n"
        f"default_organization_id: {key.organization_id}\n"
        f"default_project_id: {key.project_id}\n"
        "default_region: fr-par\n"
        "default_zone: fr-par-1\n"
        f"api_url: {url}\n"
    )
    names = {
        "API_URL": url,
        "ACCESS_KEY": key.access_key,
        "SECRET_KEY": key.secret_key,
        "ORGANIZATION_ID": key.organization_id,
        "PROJECT_ID": key.project_id,
        "DEFAULT_ORGANIZATION_ID": key.organization_id,
        "DEFAULT_PROJECT_ID": key.project_id,
        "DEFAULT_REGION": "fr-par",
        "DEFAULT_ZONE": "fr-par-1",
        "PROFILE": "default",
        "CONFIG_PATH": str(config),
        "INSECURE": "true",
    }
    given = {f"{prefix}_{name}": value for prefix in ("SCW", "SCALEWAY") for name, value in names.items()}
    return given | {"HOME": str(home), "XDG_CONFIG_HOME": str(home / ".config")}


def test_T3_S7_no_call_carries_a_key_of_the_environment_and_without_a_key_none_leaves(
    tenant: Tenant, simulator: SimulatorClient, operator_process: OperatorFactory, tmp_path: Path
) -> None:
    other = new_key()
    simulator.add_key(other)
    keyless = Tenant(stack=tenant.stack, simulator=simulator, key=other, name=KEYLESS)
    operator = operator_process(**ambient(other, url=simulator.url, home=tmp_path))
    told = Path(f"/proc/{operator.pid}/environ").read_text()
    assert other.secret_key in told
    assert f"HOME={tmp_path}\0" in told

    everything = [keyless.namespace(), keyless.organization(), keyless.credential(), keyless.deployment()]
    keyless.apply(*everything)
    keyless.until_reason("icred", "scaleway", "SecretMissing", log=lambda: operator.log)
    keyless.until_reason("idep", "web", "MissingProviderCredentials", log=lambda: operator.log)
    assert simulator.calls() == []

    tenant.apply(*tenant.everything(), tenant.deployment())
    tenant.until_ready("idep", "web", log=lambda: operator.log)
    tenant.apply(tenant.deployment(replicas=2))
    tenant.until_ready("idep", "web", log=lambda: operator.log)
    for one in (tenant, keyless):
        for kind, name in (("idep", "web"), ("icred", "scaleway"), ("iorg", one.name)):
            one.delete(kind, name)
            one.until_gone(kind, name, log=lambda: operator.log)
    operator.stop()

    calls = simulator.calls()
    assert len(calls) > 20
    assert {call["access_key"] for call in calls} == {tenant.key.access_key}
    asked = " ".join(f"{call['path']}?{call['query']}" for call in calls)
    assert tenant.key.project_id in asked
    assert not [value for value in (other.access_key, other.project_id) if value in asked]
    assert not [value for value in (other.secret_key, other.access_key) if value in operator.log]

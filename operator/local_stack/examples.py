"""The tenant of `examples/tenant`, as files to apply and as a key that the simulator lets in."""

from pathlib import Path
from typing import Any

import yaml

from local_stack.places import REPOSITORY
from local_stack.simulator_client import TenantKey

TENANT = REPOSITORY / "examples" / "tenant"
ORGANIZATION = TENANT / "1-organization.yaml"
CREDENTIAL = TENANT / "2-credential.yaml"
DEPLOYMENT = TENANT / "3-deployment.yaml"
_SCALEWAY_ORGANIZATION = "c0ffee00-5a1e-4b0b-8d0d-0123456789ab"  # nothing in the files depends on it


def tenant_key() -> TenantKey:
    """The key in the Secret, for the project that the credential names."""
    by_kind = {item["kind"]: item for item in objects(CREDENTIAL)}
    secret = by_kind["Secret"]["stringData"]
    return TenantKey(
        access_key=secret["SCW_ACCESS_KEY"],
        secret_key=secret["SCW_SECRET_KEY"],
        project_id=by_kind["ProviderCredential"]["spec"]["projectID"],
        organization_id=_SCALEWAY_ORGANIZATION,
    )


def objects(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text()))

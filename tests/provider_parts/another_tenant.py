"""Another tenant's access to Scaleway, put wherever Scaleway's own tools look for one (api.md, section 1)."""

from pathlib import Path
from typing import Final

import pytest

PROJECT: Final = "a0a0a0a0-0000-4000-8000-0000000000a0"
ORGANIZATION: Final = "b0b0b0b0-0000-4000-8000-0000000000b0"
ACCESS_KEY: Final = "SCWANOTHERTENANT0000"
SECRET: Final = "c0c0c0c0-0000-4000-8000-0000000000c0"

VARIABLES: Final = {
    "SCW_API_URL": "http://127.0.0.1:1",
    "SCW_ACCESS_KEY": ACCESS_KEY,
    "SCW_SECRET_KEY": SECRET,
    "SCW_TOKEN": SECRET,
    "SCW_DEFAULT_ORGANIZATION_ID": ORGANIZATION,
    "SCW_DEFAULT_PROJECT_ID": PROJECT,
    "SCW_DEFAULT_REGION": "nl-ams",
    "SCW_DEFAULT_ZONE": "nl-ams-1",
    "SCW_PROFILE": "another",
    "SCW_INSECURE": "true",
    # The names under which settings stand in our own database, and those of the system that this replaces.
    "SCALEWAY_API_URL": "http://127.0.0.1:1",
    "SCALEWAY_ACCESS_KEY": ACCESS_KEY,
    "SCALEWAY_SECRET_KEY": SECRET,
    "SCALEWAY_SECRET_KEY_CANDIDATE": SECRET,
    "SCALEWAY_PROJECT_ID": PROJECT,
    "SCALEWAY_ORGANIZATION_ID": ORGANIZATION,
    "SCALEWAY_TOKEN": SECRET,
    "SCALEWAY_REGION": "nl-ams",
    "SCALEWAY_ZONE": "nl-ams-1",
}
_CONFIG: Final = f"""
access_key: {ACCESS_KEY}
secret_key: {SECRET}
default_organization_id: {ORGANIZATION}
default_project_id: {PROJECT}
default_region: nl-ams
default_zone: nl-ams-1
api_url: http://127.0.0.1:1
active_profile: another
profiles:
  another:
    access_key: {ACCESS_KEY}
    secret_key: {SECRET}
    default_project_id: {PROJECT}
"""


def put_everywhere(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """In the environment, in a home folder, and in the file that `SCW_CONFIG_PATH` names."""
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    home = folder / "home-of-another"
    for path in (home / ".config" / "scw" / "config.yaml", home / ".scwrc", folder / "scw.yaml"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_CONFIG)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / ".config"))
    monkeypatch.setenv("SCW_CONFIG_PATH", str(folder / "scw.yaml"))

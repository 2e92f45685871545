"""Scaleway's own Python client, unchanged, against the simulator on a socket."""

import json
import os
import subprocess
from pathlib import Path

import httpx
import pytest

from simulator.api import ALPHA, ZONE
from simulator.conftest import two_tenants
from simulator.process import simulator
from simulator.sdk_environment import sdk_python

SCRIPT = Path(__file__).with_name("official_client.py")


@pytest.mark.slow
def test_the_official_client_creates_starts_terminates_and_deletes() -> None:
    python = sdk_python()
    with (
        simulator("--boot-s", "0.2", "--guest-s", "0.1") as running,
        httpx.Client(base_url=running.url, trust_env=False) as control,
    ):
        world = two_tenants(terminate_s=0.2, delete_detach_s=0.1, allocate_s=0.1)
        assert control.post("/_simulator/reset", json=world).status_code == 204
        variables = {
            "SCW_API_URL": running.url,
            "SCW_ACCESS_KEY": ALPHA.access_key,
            "SCW_SECRET_KEY": ALPHA.secret_key,
            "SCW_DEFAULT_PROJECT_ID": ALPHA.project_id,
            "SCW_DEFAULT_ORGANIZATION_ID": ALPHA.project_id,
            "SCW_DEFAULT_ZONE": ZONE,
        }
        environment = {"PATH": os.environ["PATH"], "NO_PROXY": "*", **variables}
        finished = subprocess.run(
            [str(python), str(SCRIPT)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert finished.returncode == 0, finished.stderr
        report = json.loads(finished.stdout)
        assert report["types"] > 100
        assert report["listed"] == [report["server"]]
        assert report["left"] == 0
        billed = control.get("/_simulator/billed").json()
        assert (billed["servers"], billed["volumes"]) == ([], [])
        counts = control.get("/_simulator/calls").json()["counts"]
        statuses = {(c["method"], c["template"].rsplit("/", 1)[1]): c["status"] for c in counts}
        assert statuses["PATCH", "{key}"] == "204"
        assert statuses["POST", "action"] == "202"

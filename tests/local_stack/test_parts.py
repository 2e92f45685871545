from pathlib import Path

import pytest

from local_stack import state as states
from local_stack.parts import operator_environment
from local_stack.site import Site
from local_stack.state import Outside
from provider_parts import another_tenant


def environment(tmp_path: Path, *, scaleway_url: str, **operator_settings: str) -> dict[str, str]:
    site = Site(
        directory=tmp_path,
        state=states.new_state(outside=Outside()),
        environ={**another_tenant.VARIABLES, "HOME": str(tmp_path), "SCW_CONFIG_PATH": str(tmp_path / "c")},
        programs={},
        operator_settings=operator_settings,
    )
    return operator_environment(
        site, database_url="postgresql://x", scaleway_url=scaleway_url, kubeconfig=tmp_path / "k"
    )


def test_T3_the_operator_is_told_nothing_of_the_callers_shell(tmp_path: Path) -> None:
    told = environment(tmp_path, scaleway_url="http://127.0.0.1:1")
    assert all(name == "KUBECONFIG" or name.startswith("INVENTIV_") for name in told)


def test_the_simulator_is_not_waited_for_as_long_as_the_real_thing(tmp_path: Path) -> None:
    assert environment(tmp_path, scaleway_url="http://127.0.0.1:1")["INVENTIV_SETTLE_S"] == "2"


@pytest.mark.parametrize("url", ["https://api.scaleway.com", "https://api.scaleway.com:443/"])
def test_nothing_is_cut_short_where_servers_cost_money(tmp_path: Path, url: str) -> None:
    told = environment(tmp_path, scaleway_url=url)
    assert not {"INVENTIV_SETTLE_S", "INVENTIV_PROVIDER_TIMEOUT_S", "INVENTIV_PROBE_ALLOW_CIDRS"} & set(told)


def test_what_is_asked_for_wins(tmp_path: Path) -> None:
    told = environment(tmp_path, scaleway_url="http://127.0.0.1:1", INVENTIV_SETTLE_S="9")
    assert told["INVENTIV_SETTLE_S"] == "9"

from pathlib import Path

import pytest

from local_stack import databases
from local_stack.errors import LocalStackError
from local_stack.given import outside_parts
from local_stack.state import Outside


def test_nothing_set_is_everything_of_our_own() -> None:
    assert outside_parts({"INVENTIV_DATABASE_URL": "postgresql://x"}) == Outside()


def test_what_is_set_is_used(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "config"
    kubeconfig.touch()
    given = outside_parts(
        {
            "KUBECONFIG": str(kubeconfig),
            "DATABASE_URL": "postgresql://a@b/c",
            "INVENTIV_SCALEWAY_API_URL": "http://127.0.0.1:1/",
        }
    )
    assert given == Outside(
        kubeconfig=str(kubeconfig), database_url="postgresql://a@b/c", scaleway_api_url="http://127.0.0.1:1"
    )


def test_the_flag_wins_over_the_variable(tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    flag.touch()
    assert outside_parts({"KUBECONFIG": "/nowhere"}, kubeconfig=str(flag)).kubeconfig == str(flag)


def test_what_a_stack_gave_out_itself_does_not_count(tmp_path: Path) -> None:
    for name in ("admin.kubeconfig", "state.json"):
        (tmp_path / name).touch()
    environ = {
        "KUBECONFIG": f"{tmp_path}/admin.kubeconfig",
        "INVENTIV_SCALEWAY_API_URL": "http://127.0.0.1:2",
    }
    assert outside_parts(environ, own_scaleway_url="http://127.0.0.1:2") == Outside()


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        pytest.param("/nowhere/config", "is not a file", id="missing"),
        pytest.param("/a:/b", "names several files", id="several"),
    ],
)
def test_a_kubeconfig_that_cannot_be_used_is_said(value: str, complaint: str) -> None:
    with pytest.raises(LocalStackError, match=complaint):
        outside_parts({"KUBECONFIG": value})


@pytest.mark.parametrize(
    ("given", "url"),
    [
        pytest.param(
            {"host": "db", "port": "6432", "user": "admin", "password": "old", "sslmode": "require"},
            "postgresql://o%40wner:p%2Fw@db:6432/inventiv_1?sslmode=require",
            id="tcp",
        ),
        pytest.param({}, "postgresql://o%40wner:p%2Fw@localhost:5432/inventiv_1", id="defaults"),
        pytest.param(
            {"host": "/run/pg"},
            "postgresql://o%40wner:p%2Fw@:5432/inventiv_1?host=%2Frun%2Fpg",
            id="unix-socket",
        ),
    ],
)
def test_a_url_of_our_login_goes_where_the_given_one_went(given: dict[str, object], url: str) -> None:
    assert databases.make_url(given, database="inventiv_1", user="o@wner", password="p/w") == url

"""Where the configuration of the cluster comes from, and when it is loaded anew."""

import json
from pathlib import Path

import pytest

from inventiv_operator.kube.access import REFRESH_S, Access, AccessError, ClusterAccess, ssl_context_of
from runtime.virtual_time import LoopClock


def write_kubeconfig(path: Path, *, token: str = "t1", server: str = "https://127.0.0.1:6443") -> None:
    path.write_text(
        json.dumps(
            {
                "clusters": [{"name": "c", "cluster": {"server": server, "insecure-skip-tls-verify": True}}],
                "users": [{"name": "u", "user": {"token": token}}],
                "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
                "current-context": "x",
            }
        )
    )


def access_of(environ: dict[str, str]) -> ClusterAccess:
    return ClusterAccess(clock=LoopClock(), environ=environ)


async def test_a_kubeconfig_gives_server_and_token(tmp_path: Path) -> None:
    write_kubeconfig(tmp_path / "config")
    current = await access_of({"KUBECONFIG": str(tmp_path / "config")}).current()
    assert (current.server, current.authorization) == ("https://127.0.0.1:6443", "Bearer t1")
    assert not current.in_cluster


async def test_an_explicit_kubeconfig_comes_before_the_service_account(tmp_path: Path) -> None:
    write_kubeconfig(tmp_path / "config")
    environ = {"KUBECONFIG": str(tmp_path / "config"), "KUBERNETES_SERVICE_HOST": "10.0.0.1"}
    assert not (await access_of(environ).current()).in_cluster


async def test_a_token_does_not_print(tmp_path: Path) -> None:
    write_kubeconfig(tmp_path / "config", token="hunter2hunter2")
    assert "hunter2" not in repr(await access_of({"KUBECONFIG": str(tmp_path / "config")}).current())


@pytest.mark.looptime
async def test_it_is_loaded_anew_when_old_and_when_refused(tmp_path: Path) -> None:
    path = tmp_path / "config"
    write_kubeconfig(path)
    access, clock = access_of({"KUBECONFIG": str(path)}), LoopClock()
    first = await access.current()
    write_kubeconfig(path, token="t2")
    assert await access.current() is first
    refused = await access.current(refused=first)
    assert refused.authorization == "Bearer t2"
    write_kubeconfig(path, token="t3")
    await clock.sleep(REFRESH_S)
    assert (await access.current()).authorization == "Bearer t3"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        pytest.param(None, "names no file", id="missing"),
        pytest.param("{", "cannot be", id="cut"),
        pytest.param("clusters: [", "cannot be", id="no-yaml"),
        pytest.param("{}", "cannot be", id="empty"),
        pytest.param('{"current-context": "x", "contexts": []}', "cannot be", id="no-context"),
    ],
)
async def test_an_unusable_kubeconfig_is_one_clear_error(
    tmp_path: Path, content: str | None, says: str
) -> None:
    path = tmp_path / "config"
    if content is not None:
        path.write_text(content)
    with pytest.raises(AccessError, match=says) as caught:
        await access_of({"KUBECONFIG": str(path)}).current()
    assert "\n" not in str(caught.value)


async def test_nothing_configured_says_what_was_looked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(AccessError, match=r"KUBERNETES_SERVICE_HOST.*KUBECONFIG.*\.kube/config"):
        await access_of({}).current()


async def test_half_a_service_account_is_one_clear_error() -> None:
    with pytest.raises(AccessError, match="service account"):
        await access_of({"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443"}).current()


def test_only_an_insecure_access_skips_the_check_of_certificates() -> None:
    def access(*, insecure: bool) -> Access:
        return Access(
            server="https://x",
            authorization="",
            ca_path=None,
            certificate_path=None,
            private_key_path=None,
            insecure=insecure,
            server_name=None,
            proxy_url=None,
            in_cluster=False,
        )

    assert ssl_context_of(access(insecure=False)).check_hostname
    assert not ssl_context_of(access(insecure=True)).check_hostname

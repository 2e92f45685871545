"""How etcd, the API server and the controller manager are started, and how one talks to them.

etcd asks for a certificate of this stack's own authority, the API server for one of its random tokens: who
knows only a port number gets nowhere.
"""

import base64
import ssl
from pathlib import Path

import httpx

from local_stack.ports import LOOPBACK
from local_stack.state import Secrets, write_private

_ANSWER_WITHIN_S = 2.0


def etcd_argv(program: Path, *, data: Path, certificates: Path, port: int, peer_port: int) -> tuple[str, ...]:
    client_url, peer_url = f"https://{LOOPBACK}:{port}", f"https://{LOOPBACK}:{peer_port}"
    return (
        str(program),
        f"--data-dir={data}",
        f"--listen-client-urls={client_url}",
        f"--advertise-client-urls={client_url}",
        f"--listen-peer-urls={peer_url}",
        f"--initial-advertise-peer-urls={peer_url}",
        f"--initial-cluster=default={peer_url}",
        *_etcd_certificates(certificates, prefix=""),
        *_etcd_certificates(certificates, prefix="peer-"),
        "--unsafe-no-fsync",  # nothing here has to survive a power cut
        "--log-level=warn",
    )


def _etcd_certificates(folder: Path, *, prefix: str) -> tuple[str, ...]:
    return (
        f"--{prefix}cert-file={folder / 'server.crt'}",
        f"--{prefix}key-file={folder / 'server.key'}",
        f"--{prefix}trusted-ca-file={folder / 'ca.crt'}",
        f"--{prefix}client-cert-auth",
    )


def apiserver_argv(
    program: Path, *, data: Path, certificates: Path, tokens: Path, port: int, etcd_port: int
) -> tuple[str, ...]:
    return (
        str(program),
        f"--etcd-servers=https://{LOOPBACK}:{etcd_port}",
        f"--etcd-cafile={certificates / 'ca.crt'}",
        f"--etcd-certfile={certificates / 'client.crt'}",
        f"--etcd-keyfile={certificates / 'client.key'}",
        f"--cert-dir={data}",
        f"--tls-cert-file={certificates / 'server.crt'}",
        f"--tls-private-key-file={certificates / 'server.key'}",
        f"--bind-address={LOOPBACK}",
        f"--advertise-address={LOOPBACK}",  # else it looks for a default route, which a sandbox may not have
        "--endpoint-reconciler-type=none",
        f"--secure-port={port}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={certificates / 'service-accounts.pub'}",
        f"--service-account-signing-key-file={certificates / 'service-accounts.key'}",
        f"--token-auth-file={tokens}",
        "--anonymous-auth=false",
        "--authorization-mode=RBAC",
        "--service-cluster-ip-range=10.0.0.0/24",
        "--disable-admission-plugins=ServiceAccount",
        "--profiling=false",
    )


def controller_manager_argv(program: Path, *, data: Path, kubeconfig: Path, port: int) -> tuple[str, ...]:
    """Only what makes deletion work as elsewhere: namespaces empty themselves, owners take theirs along."""
    return (
        str(program),
        f"--kubeconfig={kubeconfig}",
        "--controllers=garbage-collector-controller,namespace-controller,clusterrole-aggregation-controller",
        "--leader-elect=false",
        f"--cert-dir={data}",
        f"--bind-address={LOOPBACK}",
        f"--secure-port={port}",
        "--profiling=false",
    )


def write_tokens(path: Path, secrets: Secrets) -> None:
    """Who the API server lets in: token, user, uid, groups."""
    write_private(
        path,
        f'{secrets.admin_token},inventiv-local-admin,admin,"system:masters"\n'
        f'{secrets.controller_manager_token},system:kube-controller-manager,controllers,"system:masters"\n',
    )


def write_kubeconfig(path: Path, *, server: str, authority: bytes, user: str, token: str) -> None:
    """Without an authority, the one of a given cluster, the machine's own are trusted."""
    trusted = f"certificate-authority-data: {base64.b64encode(authority).decode()}" if authority else ""
    write_private(
        path,
        f"""\
apiVersion: v1
kind: Config
current-context: inventiv-local
contexts:
- name: inventiv-local
  context: {{cluster: inventiv-local, user: {user}}}
clusters:
- name: inventiv-local
  cluster:
    server: {server}
    {trusted}
users:
- name: {user}
  user: {{token: {token}}}
""",
    )


def is_ready(*, port: int, authority: Path, token: str) -> bool:
    """Whether the API server has everything that it starts with (its default roles come last)."""
    return _answers_ok(f"https://{LOOPBACK}:{port}/readyz", authority=authority, token=token)


def _answers_ok(url: str, *, authority: Path, token: str) -> bool:
    trusted = ssl.create_default_context(cafile=str(authority))
    headers = {"Authorization": f"Bearer {token}"}
    try:
        answer = httpx.get(url, headers=headers, verify=trusted, timeout=_ANSWER_WITHIN_S, trust_env=False)
    except httpx.HTTPError:
        return False
    return answer.status_code == httpx.codes.OK

"""Which API server, and as whom: in-cluster service account or kubeconfig.

The loading (merged kubeconfigs, data or files, exec plugins) is `kubernetes.aio.config`'s; what is taken from
it is a plain value that both our client and Kopf's login handler are made of. Tokens rotate, so the value is
loaded anew when it is older than `REFRESH_S`, and at once after a 401.

An explicit KUBECONFIG comes before the service account: both exist only when somebody works inside a pod
and means another cluster.
"""

import asyncio
import importlib
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inventiv_operator.kube.errors import Unavailable
from inventiv_operator.runtime.clock import Clock

REFRESH_S = 60.0
EXEC_REFRESH_S = 600.0  # a plugin is a process; an earlier end of its token shows as a 401
_LOAD_TIMEOUT_S = 30.0
_DEFAULT_KUBECONFIG = "~/.kube/config"


class AccessError(Exception):
    """There is no usable cluster configuration; the message says what was looked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How to reach an API server right now."""

    server: str
    authorization: str = field(repr=False)  # the whole header; empty with a client certificate
    ca_path: str | None
    certificate_path: str | None
    private_key_path: str | None
    insecure: bool
    server_name: str | None
    proxy_url: str | None
    in_cluster: bool


class ClusterAccess:
    """Loads and refreshes the `Access`; safe to share between our client and Kopf."""

    def __init__(self, *, clock: Clock, environ: Mapping[str, str] = os.environ) -> None:
        self._clock = clock
        self._environ = environ
        self._current: Access | None = None
        self._loaded_at_s = 0.0
        self._max_age_s = REFRESH_S
        self._lock = asyncio.Lock()

    async def current(self, *, refused: Access | None = None) -> Access:
        """The access to use; `refused` is one that was answered with 401 and is not to be had again.

        Raises:
            AccessError: nothing is configured, or it cannot be read.
            Unavailable: an exec plugin did not answer in time.
        """
        async with self._lock:
            age_s = self._clock.monotonic() - self._loaded_at_s
            is_fresh = self._current is not None and age_s < self._max_age_s
            if self._current is None or not is_fresh or self._current is refused:
                self._current = await self._load()
                self._loaded_at_s = self._clock.monotonic()
            return self._current

    async def _load(self) -> Access:
        try:
            async with asyncio.timeout(_LOAD_TIMEOUT_S):
                return await self._load_configured()
        except TimeoutError as error:
            raise Unavailable("loading the cluster configuration took too long (exec plugin?)") from error

    async def _load_configured(self) -> Access:
        kubeconfig = self._environ.get("KUBECONFIG", "")
        if not kubeconfig and self._environ.get("KUBERNETES_SERVICE_HOST"):
            return self._in_cluster()
        if not kubeconfig and not _names_a_file(_DEFAULT_KUBECONFIG):
            raise AccessError(
                "no cluster configured: expected a service account (KUBERNETES_SERVICE_HOST), "
                f"KUBECONFIG or {_DEFAULT_KUBECONFIG}; found none of them"
            )
        return await self._from_kubeconfig(kubeconfig or _DEFAULT_KUBECONFIG)

    def _in_cluster(self) -> Access:
        library, configuration = _library()
        try:
            library.load_incluster_config(client_configuration=configuration)
        except (library.ConfigException, OSError) as error:
            raise AccessError(f"the service account of the pod cannot be used: {error}") from error
        self._max_age_s = REFRESH_S
        return _access_of(configuration, in_cluster=True)

    async def _from_kubeconfig(self, paths: str) -> Access:
        if not _names_a_file(paths):
            raise AccessError(f"KUBECONFIG names no file that exists: {paths}")
        library, configuration = _library()
        try:
            loader = await library.load_kube_config(
                config_file=paths, client_configuration=configuration, persist_config=False
            )
        except library.ConfigException as error:
            raise AccessError(f"kubeconfig {paths} cannot be used: {error}") from error
        except Exception as error:  # foreign code over a file people edit: YAML, base64, missing keys
            raise AccessError(
                f"kubeconfig {paths} cannot be read ({type(error).__name__}); check it with kubectl"
            ) from error
        self._max_age_s = EXEC_REFRESH_S if _has_exec(loader) else REFRESH_S
        return _access_of(configuration, in_cluster=False)


def ssl_context_of(access: Access) -> ssl.SSLContext:
    """A context for `access`; the CA and certificate files are read now (blocking, a few kilobytes)."""
    context = ssl.create_default_context(cafile=access.ca_path)
    if access.certificate_path:
        context.load_cert_chain(access.certificate_path, access.private_key_path)
    if access.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _access_of(configuration: Any, *, in_cluster: bool) -> Access:
    header = configuration.api_key.get("BearerToken") or ""
    scheme, _, token = header.strip().partition(" ")  # a token file ends with a newline more often than not
    return Access(
        server=str(configuration.host).rstrip("/"),
        authorization=f"{scheme.capitalize()} {token.strip()}" if token else "",
        ca_path=configuration.ssl_ca_cert or None,
        certificate_path=configuration.cert_file or None,
        private_key_path=configuration.key_file or None,
        insecure=not configuration.verify_ssl,
        server_name=configuration.tls_server_name or None,
        proxy_url=configuration.proxy or None,
        in_cluster=in_cluster,
    )


def _library() -> tuple[Any, Any]:
    """The loading half of the library, untyped, and an empty configuration to load into.

    Imported late: a command that never talks to a cluster does not pay for it.
    """
    config: Any = importlib.import_module("kubernetes.aio.config")
    client: Any = importlib.import_module("kubernetes.aio.client")
    return config, type.__call__(client.Configuration)  # Configuration() would be a process-wide default


def _names_a_file(paths: str) -> bool:
    return any(Path(path).expanduser().is_file() for path in paths.split(os.pathsep) if path)


def _has_exec(loader: Any) -> bool:
    user = getattr(loader, "_user", None)  # no public way to ask
    return user is not None and "exec" in user

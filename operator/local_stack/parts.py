"""The parts of the stack: how each is started, when it is ready, and what must be there before it."""

import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from local_stack import audit_log, binaries, cluster, postgres
from local_stack.ports import LOOPBACK, is_listening
from local_stack.processes import MARKER, Command, marker, plain_environment
from local_stack.python_commands import python_command
from local_stack.site import Site


class Part(StrEnum):
    """In the order in which they are started."""

    ETCD = "etcd"
    APISERVER = "kube-apiserver"
    CONTROLLER_MANAGER = "kube-controller-manager"
    POSTGRES = "postgres"
    SIMULATOR = "scaleway-simulator"
    OPERATOR = "inventiv-operator"


CLUSTER = (Part.ETCD, Part.APISERVER, Part.CONTROLLER_MANAGER)
ETCD_PEER = "etcd-peer"  # has a port of its own
_AT_HOME = {  # where nothing is paid for, and machines answer on loopback addresses
    "INVENTIV_SETTLE_S": "2",
    "INVENTIV_PROVIDER_TIMEOUT_S": "5",
    "INVENTIV_PROBE_ALLOW_CIDRS": "127.0.0.0/8",
}
ANSWER_FOR_INSTANCES = "--answer-for-instances"
_HEALTH_WITHIN_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    command: Callable[[Site], Command]
    is_ready: Callable[[Site], bool]
    ready_within_s: float
    needs: tuple[Part, ...] = ()  # to be ready before it is started
    stop: signal.Signals = signal.SIGTERM
    stops_within_s: float = 10.0
    programs: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()


def operator_environment(
    site: Site, *, database_url: str, scaleway_url: str, kubeconfig: Path
) -> dict[str, str]:
    """Everything the operator is told, but for its port; nothing of the caller's shell reaches it (T3)."""
    return {
        "KUBECONFIG": str(kubeconfig),
        "INVENTIV_DATABASE_URL": database_url,
        "INVENTIV_KEYRING_FILE": str(site.keyring),
        "INVENTIV_SCALEWAY_API_URL": scaleway_url,
        **({} if _is_public(scaleway_url) else _AT_HOME),
        **site.operator_settings,
    }


def _is_public(scaleway_url: str) -> bool:
    host = urlsplit(scaleway_url).hostname or ""
    return host == "scaleway.com" or host.endswith(".scaleway.com")


def _etcd(site: Site) -> Command:
    argv = cluster.etcd_argv(
        site.program(binaries.ETCD),
        data=site.data(Part.ETCD),
        certificates=site.certificates,
        port=site.state.ports[Part.ETCD],
        peer_port=site.state.ports[ETCD_PEER],
    )
    return _command(site, Part.ETCD, argv)


def _apiserver(site: Site) -> Command:
    argv = cluster.apiserver_argv(
        site.program(binaries.APISERVER),
        data=site.data(Part.APISERVER),
        certificates=site.certificates,
        tokens=site.tokens,
        port=site.state.ports[Part.APISERVER],
        etcd_port=site.state.ports[Part.ETCD],
    )
    recording = audit_log.argv(site.audit_policy, log=site.log("audit"))
    return _command(site, Part.APISERVER, (*argv, *recording))


def _apiserver_is_ready(site: Site) -> bool:
    return cluster.is_ready(
        port=site.state.ports[Part.APISERVER],
        authority=site.certificates / "ca.crt",
        token=site.state.secrets.admin_token,
    )


def _controller_manager(site: Site) -> Command:
    argv = cluster.controller_manager_argv(
        site.program(binaries.CONTROLLER_MANAGER),
        data=site.data(Part.CONTROLLER_MANAGER),
        kubeconfig=site.controller_manager_kubeconfig,
        port=site.state.ports[Part.CONTROLLER_MANAGER],
    )
    return _command(site, Part.CONTROLLER_MANAGER, argv)


def _postgres(site: Site) -> Command:
    owner = postgres.account()
    return Command(
        argv=postgres.argv(site.postgres_home, port=site.state.ports[Part.POSTGRES]),
        directory=site.postgres_home,
        log=site.log(Part.POSTGRES),
        environment=_environment(site, Part.POSTGRES, HOME=str(site.postgres_home)),
        user=owner.uid,
        group=owner.gid,
    )


def _simulator(site: Site) -> Command:
    address = ("--host", LOOPBACK, "--port", str(site.state.ports[Part.SIMULATOR]))
    argv = (*python_command("scaleway-simulator"), *address, ANSWER_FOR_INSTANCES, *site.simulator_options)
    return _command(site, Part.SIMULATOR, argv)


def _operator(site: Site) -> Command:
    environment = operator_environment(
        site,
        database_url=site.database.operator_url(),
        scaleway_url=site.scaleway_url,
        kubeconfig=site.operator_kubeconfig,
    )
    environment["INVENTIV_HTTP_PORT"] = str(site.state.ports[Part.OPERATOR])
    argv = (*python_command("inventiv-operator"), "run")
    return _command(site, Part.OPERATOR, argv, **environment)


def _operator_is_ready(site: Site) -> bool:
    """It has found its database, its cluster and its rights; the lease may still be another one's."""
    try:
        answer = httpx.get(f"{site.operator_url}/readyz", timeout=_HEALTH_WITHIN_S, trust_env=False)
    except httpx.HTTPError:
        return False
    return answer.status_code == httpx.codes.OK


def _command(site: Site, part: Part, argv: tuple[str, ...], **variables: str) -> Command:
    return Command(
        argv=argv,
        directory=site.data(part),
        log=site.log(part),
        environment=_environment(site, part, **variables),
    )


def _environment(site: Site, part: Part, **variables: str) -> dict[str, str]:
    own = {MARKER: marker(site.state.stack_id, part)} | variables
    return plain_environment(site.environ, **own)


RECIPES: Mapping[Part, Recipe] = {
    Part.ETCD: Recipe(
        command=_etcd,
        is_ready=lambda site: is_listening(site.state.ports[Part.ETCD]),
        ready_within_s=60.0,
        programs=(binaries.ETCD,),
        ports=(Part.ETCD, ETCD_PEER),
    ),
    Part.APISERVER: Recipe(
        command=_apiserver,
        is_ready=_apiserver_is_ready,
        ready_within_s=120.0,
        needs=(Part.ETCD,),
        programs=(binaries.APISERVER,),
        ports=(Part.APISERVER,),
    ),
    Part.CONTROLLER_MANAGER: Recipe(
        command=_controller_manager,
        is_ready=lambda site: is_listening(site.state.ports[Part.CONTROLLER_MANAGER]),
        ready_within_s=60.0,
        needs=(Part.APISERVER,),
        programs=(binaries.CONTROLLER_MANAGER,),
        ports=(Part.CONTROLLER_MANAGER,),
    ),
    Part.POSTGRES: Recipe(
        command=_postgres,
        is_ready=lambda site: postgres.answers(site.database.admin_url),
        ready_within_s=60.0,
        stop=signal.SIGINT,  # ends sessions instead of waiting for them
        ports=(Part.POSTGRES,),
    ),
    Part.SIMULATOR: Recipe(
        command=_simulator,
        is_ready=lambda site: is_listening(site.state.ports[Part.SIMULATOR]),
        ready_within_s=30.0,
        ports=(Part.SIMULATOR,),
    ),
    Part.OPERATOR: Recipe(
        command=_operator,
        is_ready=_operator_is_ready,
        ready_within_s=60.0,
        stops_within_s=30.0,  # it finishes the step it is in and gives its lease back
        ports=(Part.OPERATOR,),
    ),
}

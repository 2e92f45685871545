"""A running stack: bring it up, stop and start its parts, talk to it, take it away.

`up` may be called at any time and by anyone: what runs is left alone, what is dead is started. All that it
needs to know later is in `state.json`; what was started and not written down there is found by its marker.
"""

import base64
import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from local_stack import audit_log, binaries, cluster, installation
from local_stack import state as states
from local_stack.binaries import Say
from local_stack.certificates import make_certificates
from local_stack.databases import Server
from local_stack.errors import LocalStackError
from local_stack.kubectl import Kubectl
from local_stack.parts import CLUSTER, RECIPES, Part
from local_stack.site import Site
from local_stack.state import Outside
from local_stack.supervisor import Supervisor


def _quiet(_line: str) -> None:
    pass


class Stack:
    """The stack in one folder. Made by `up` and `attach`, not directly."""

    def __init__(self, site: Site, *, say: Say = _quiet) -> None:
        self._supervisor = Supervisor(site, say=say)
        self._say = say

    @classmethod
    def up(
        cls,
        directory: Path,
        *,
        parts: Iterable[Part] = tuple(Part),
        outside: Outside | None = None,
        install: bool = True,
        environ: Mapping[str, str] = os.environ,
        say: Say = _quiet,
        simulator_options: tuple[str, ...] = (),
        operator_settings: Mapping[str, str] | None = None,
        audit: bool = False,
    ) -> "Stack":
        """Start those of the parts that are dead; with `install`, apply manifests and schema too.

        `outside` names what is used instead of an own part; None: as before, or nothing. What is given in
        `operator_settings` wins over the stack's own variables. `audit`: see `audit_log`.

        Raises:
            LocalStackError: something is missing or does not start; it names the log.
        """
        directory = directory.absolute()
        with _locked(directory):
            state = states.load(directory) or states.new_state(outside=outside or Outside())
            if outside is not None and outside != state.outside:
                raise LocalStackError(
                    f"the stack in {directory} runs with other given parts; end it with `inventiv-local down`"
                )
            wanted = [part for part in Part if part in set(parts) - _replaced(state.outside)]
            needed = [name for part in wanted for name in RECIPES[part].programs]
            site = Site(
                directory=directory,
                state=state,
                environ=environ,
                programs=binaries.find_programs([*needed, binaries.KUBECTL], environ=environ, say=say),
                simulator_options=simulator_options,
                operator_settings=operator_settings or {},
            )
            if audit:
                audit_log.switch_on(site.audit_policy)
            stack = cls(site, say=say)
            stack._bring_up(wanted, install=install)
            return stack

    @classmethod
    def attach(cls, directory: Path, *, environ: Mapping[str, str] = os.environ) -> "Stack | None":
        """The stack that was started there, running or not; None when there is none."""
        directory = directory.absolute()
        state = states.load(directory)
        if state is None:
            return None
        programs = binaries.present_programs(environ=environ)
        return cls(Site(directory=directory, state=state, environ=environ, programs=programs))

    @property
    def site(self) -> Site:
        """Paths, addresses and logs."""
        return self._supervisor.site

    @property
    def kubeconfig(self) -> Path:
        """The administrator's."""
        return self.site.kubeconfig

    @property
    def operator_kubeconfig(self) -> Path:
        """With a token of the operator's own service account; there once the manifests are installed."""
        return self.site.operator_kubeconfig

    @property
    def database(self) -> Server:
        """Logins and URLs."""
        return self.site.database

    @property
    def scaleway_url(self) -> str:
        return self.site.scaleway_url

    def kubectl(
        self, *arguments: str, check: bool = True, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """As the administrator. Raises KubectlError when it fails and `check` is set."""
        return self._kubectl_of(self.kubeconfig)(*arguments, check=check, stdin=stdin)

    def operator_kubectl(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """As the operator's service account."""
        return self._kubectl_of(self.operator_kubeconfig)(*arguments, check=check)

    def new_database(self, name: str) -> None:
        """A fresh database with the schema: a copy of one that is migrated once."""
        server = self.database
        server.make_logins()
        migrated = self.site.directory / "template-is-migrated"
        if not migrated.exists():
            server.make_database(server.template)
            installation.migrate(owner_url=server.owner_url(server.template), environ=self.site.environ)
            migrated.touch()
        server.make_database(name, template=server.template)

    def install(self) -> None:
        """Manifests and the operator's kubeconfig, with a new token."""
        kubectl = self._kubectl_of(self.kubeconfig)
        installation.install_manifests(kubectl)
        server, authority = self._address_of_cluster()
        cluster.write_kubeconfig(
            self.operator_kubeconfig,
            server=server,
            authority=authority,
            user="inventiv-operator",
            token=installation.operator_token(kubectl),
        )

    def is_running(self, part: Part) -> bool:
        return self._supervisor.is_running(part)

    def start(self, part: Part, *, wait: bool = True) -> None:
        """Start it when it is dead, and wait until it is ready unless told otherwise."""
        with _locked(self.site.directory):
            self._supervisor.launch(part)
            if wait:
                self._supervisor.wait_ready(part)

    def stop(self, part: Part) -> None:
        """Ask it to end, insist after a while; its data stays."""
        with _locked(self.site.directory):
            self._supervisor.end(part)

    def kill(self, part: Part) -> None:
        """SIGKILL, and wait until it and its children are gone."""
        with _locked(self.site.directory):
            self._supervisor.end(part, kill=True)

    def restart(self, part: Part, *, kill: bool = False) -> None:
        with _locked(self.site.directory):
            self._supervisor.end(part, kill=kill)
            self._supervisor.launch(part)
            self._supervisor.wait_ready(part)

    def down(self) -> None:
        """End every part and forget all of it. A given cluster keeps what was installed there."""
        directory = self.site.directory
        with _locked(directory):
            self._supervisor.end(Part.OPERATOR)
            if self.site.state.outside.database_url:
                with contextlib.suppress(LocalStackError):  # that server may be gone, and all of it with it
                    self.database.forget()
            self._supervisor.end_everything()
            if self.site.state.postgres_home:
                shutil.rmtree(self.site.postgres_home, ignore_errors=True)
            shutil.rmtree(directory)

    def _bring_up(self, wanted: list[Part], *, install: bool) -> None:
        """What starts slowly is launched first, and waited for when it is needed."""
        outside, supervisor = self.site.state.outside, self._supervisor
        (self.site.directory / "logs").mkdir(mode=0o700, exist_ok=True)
        supervisor.allot_ports(wanted)
        self._write_credentials()
        for part in (Part.ETCD, Part.POSTGRES, Part.SIMULATOR, Part.APISERVER):
            if part in wanted:
                supervisor.launch(part)
        if install and (Part.POSTGRES in wanted or outside.database_url):
            self._prepare_database(wait=Part.POSTGRES in wanted)
        if Part.CONTROLLER_MANAGER in wanted:
            supervisor.launch(Part.CONTROLLER_MANAGER)
        if install and (Part.APISERVER in wanted or outside.kubeconfig):
            self._say("applying manifests/base")
            self.install()
        if Part.OPERATOR in wanted:
            supervisor.launch(Part.OPERATOR)
        for part in wanted:
            supervisor.wait_ready(part)

    def _write_credentials(self) -> None:
        """Certificates, tokens and kubeconfigs of an own cluster, once."""
        site = self.site
        if Part.ETCD in site.state.ports and not site.certificates.exists():
            make_certificates(site.certificates)
        if Part.APISERVER not in site.state.ports or site.kubeconfig.exists():
            return
        cluster.write_tokens(site.tokens, site.state.secrets)
        for path, user, token in (
            (site.controller_manager_kubeconfig, "controllers", site.state.secrets.controller_manager_token),
            (site.kubeconfig, "admin", site.state.secrets.admin_token),
        ):
            cluster.write_kubeconfig(
                path,
                server=site.url(Part.APISERVER, scheme="https"),
                authority=(site.certificates / "ca.crt").read_bytes(),
                user=user,
                token=token,
            )

    def _prepare_database(self, *, wait: bool) -> None:
        if wait:
            self._supervisor.wait_ready(Part.POSTGRES)
        self._say("migrating the database")
        self.database.make_logins()
        self.database.make_database(self.database.database)
        installation.migrate(owner_url=self.database.owner_url(), environ=self.site.environ)
        installation.make_keyring(self.site.keyring, environ=self.site.environ)

    def _kubectl_of(self, kubeconfig: Path) -> Kubectl:
        return Kubectl(
            program=self.site.program(binaries.KUBECTL),
            kubeconfig=kubeconfig,
            environ=self.site.environ,
            cache=self.site.directory / "kubectl-cache",
        )

    def _address_of_cluster(self) -> tuple[str, bytes]:
        """Server and authority, also of a given cluster, whose file may name the authority by a path."""
        view = "jsonpath={.clusters[0].cluster.server} {.clusters[0].cluster.certificate-authority-data}"
        answer = self.kubectl("config", "view", "--minify", "--flatten", "--raw", "-o", view).stdout
        server, _, encoded = answer.partition(" ")
        return server, base64.b64decode(encoded)


def _replaced(outside: Outside) -> set[Part]:
    """The parts that are not ours."""
    return {
        *(CLUSTER if outside.kubeconfig else ()),
        *((Part.POSTGRES,) if outside.database_url else ()),
        *((Part.SIMULATOR,) if outside.scaleway_api_url else ()),
    }


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """One command at a time; the lock lies beside the folder, which `down` removes."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    with states.locked(directory.with_name(f"{directory.name}.lock")):
        directory.mkdir(mode=0o700, exist_ok=True)
        yield

"""A running stack: start it, stop and start its parts, talk to it, take it away.

`up` may be called at any time and by anyone: what runs is left alone, what is dead is started. All that it needs to
know later is in `state.json`; whatever was started but never recorded, because we were killed in between, is found
by the stack's marker.
"""

import base64
import contextlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from local_stack import binaries, cluster, installation, postgres, processes, state as states
from local_stack.certificates import make_certificates
from local_stack.databases import Server
from local_stack.errors import LocalStackError
from local_stack.kubectl import Kubectl
from local_stack.parts import CLUSTER, RECIPES, Part
from local_stack.ports import free_port, is_listening
from local_stack.site import Site
from local_stack.state import Outside

Say = Callable[[str], None]
_LOG_LINES = 10
_PORT_IS_FREE_WITHIN_S = 5.0
_TEMPLATE = "inventiv_template"


def _quiet(_line: str) -> None:
    pass


class Stack:
    """The stack in one folder. Made by `up` and `attach`, not directly."""

    def __init__(self, site: Site, *, say: Say = _quiet) -> None:
        self._site = site
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
    ) -> "Stack":
        """Bring these parts up, dead ones only; with `install`, also manifests, schema, keyring and token.

        `outside` names what is used instead of an own part; None: as before, or nothing.

        Raises:
            LocalStackError: something is missing or does not start; it names the log.
        """
        directory = directory.absolute()
        with _locked(directory):
            state = states.load(directory) or states.new_state(outside=outside or Outside())
            if outside is not None and outside != state.outside:
                raise LocalStackError(
                    f"the stack in {directory} runs with other outside parts; `inventiv-local down` ends it"
                )
            wanted = [part for part in Part if part in set(parts) - _replaced(state.outside)]
            needed = [name for part in wanted for name in RECIPES[part].programs]
            programs = binaries.find_programs([*needed, binaries.KUBECTL], environ=environ, say=say)
            (directory / "logs").mkdir(mode=0o700, parents=True, exist_ok=True)
            site = Site(
                directory=directory,
                state=state,
                environ=environ,
                programs=programs,
                simulator_options=simulator_options,
                operator_settings=operator_settings or {},
            )
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
        programs = binaries.find_programs(binaries.PROGRAMS, environ=environ, say=_quiet)
        return cls(Site(directory=directory, state=state, environ=environ, programs=programs))

    @property
    def site(self) -> Site:
        """Paths, addresses and logs."""
        return self._site

    @property
    def kubeconfig(self) -> Path:
        """The administrator's."""
        return self._site.kubeconfig

    @property
    def operator_kubeconfig(self) -> Path:
        """With a token of the operator's own service account; there once the manifests are installed."""
        return self._site.operator_kubeconfig

    @property
    def database(self) -> Server:
        """Logins and URLs."""
        return self._site.database

    @property
    def scaleway_url(self) -> str:
        return self._site.scaleway_url

    def kubectl(
        self, *arguments: str, check: bool = True, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """As the administrator. Raises KubectlError when it fails and `check` is set."""
        return self._kubectl_of(self.kubeconfig)(*arguments, check=check, stdin=stdin)

    def operator_kubectl(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """As the operator's service account."""
        return self._kubectl_of(self.operator_kubeconfig)(*arguments, check=check)

    def new_database(self, name: str) -> None:
        """A fresh database with the schema, a copy of one that is migrated once."""
        self.database.make_logins()
        template = f"{_TEMPLATE}_{self._site.state.stack_id}"
        done = self._site.directory / "template-is-migrated"
        if not done.exists():
            self.database.make_database(template)
            installation.migrate(owner_url=self.database.owner_url(template), environ=self._site.environ)
            done.touch()
        self.database.make_database(name, template=template)

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
        return any(processes.is_running(process) for process in self._processes_of(part))

    def start(self, part: Part, *, wait: bool = True) -> None:
        """Start it when it is dead, and wait until it is ready unless told otherwise."""
        with _locked(self._site.directory):
            self._launch(part)
            if wait:
                self._await(part)

    def stop(self, part: Part) -> None:
        """Ask it to end, insist after a while; its data stays."""
        with _locked(self._site.directory):
            self._end(part)

    def kill(self, part: Part) -> None:
        """SIGKILL, and wait until it and its children are gone."""
        with _locked(self._site.directory):
            self._end(part, kill=True)

    def restart(self, part: Part, *, kill: bool = False) -> None:
        with _locked(self._site.directory):
            self._end(part, kill=kill)
            self._launch(part)
            self._await(part)

    def down(self) -> None:
        """End every part and forget all of it. A given cluster keeps what was installed there."""
        directory = self._site.directory
        with _locked(directory):
            if self._site.state.outside.database_url:
                with contextlib.suppress(
                    LocalStackError
                ):  # it may be gone already, and then there is nothing left
                    self.database.forget()
            for part in reversed(Part):
                self._end(part)
            if self._site.state.postgres_home:
                shutil.rmtree(self._site.postgres_home, ignore_errors=True)
            shutil.rmtree(directory)

    def _bring_up(self, wanted: list[Part], *, install: bool) -> None:
        """Slow starters first, so that they start while others are waited for."""
        state = self._site.state
        self._allot_ports(wanted)
        self._prepare_folder()
        early = [part for part in (Part.ETCD, Part.POSTGRES, Part.SIMULATOR) if part in wanted]
        for part in early:
            self._launch(part)
        if Part.APISERVER in wanted:
            self._await(Part.ETCD)
            self._launch(Part.APISERVER)
        if Part.POSTGRES in wanted:
            self._await(Part.POSTGRES)
        if install and (Part.POSTGRES in wanted or state.outside.database_url):
            self._prepare_database()
        if Part.APISERVER in wanted:
            self._await(Part.APISERVER)
        if Part.CONTROLLER_MANAGER in wanted:
            self._launch(Part.CONTROLLER_MANAGER)
        if install and (Part.APISERVER in wanted or state.outside.kubeconfig):
            self._say("installing manifests/base")
            self.install()
        for part in (Part.CONTROLLER_MANAGER, Part.SIMULATOR):
            if part in wanted:
                self._await(part)
        if Part.OPERATOR in wanted:
            self._launch(Part.OPERATOR)
            self._await(Part.OPERATOR)

    def _allot_ports(self, wanted: Iterable[Part]) -> None:
        ports = dict(self._site.state.ports)
        for name in (name for part in wanted for name in RECIPES[part].ports):
            if name not in ports:
                ports[name] = free_port(taken=frozenset(ports.values()))
        self._remember(replace(self._site.state, ports=ports))

    def _prepare_folder(self) -> None:
        site, ports = self._site, self._site.state.ports
        if Part.APISERVER not in ports or site.kubeconfig.exists():
            return
        make_certificates(site.certificates)
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

    def _prepare_postgres(self) -> None:
        site = self._site
        if not site.state.postgres_home:
            self._remember(replace(site.state, postgres_home=str(postgres.make_home(site.directory))))
        if not postgres.is_initialized(self._site.postgres_home):
            postgres.initialize(self._site.postgres_home, password=site.state.secrets.superuser_password)

    def _prepare_database(self) -> None:
        self._say("migrating the database")
        self.database.make_logins()
        self.database.make_database(self.database.database)
        installation.migrate(owner_url=self.database.owner_url(), environ=self._site.environ)
        installation.make_keyring(self._site.keyring, environ=self._site.environ)

    def _launch(self, part: Part) -> None:
        if self.is_running(part):
            return
        if part is Part.POSTGRES:
            self._prepare_postgres()
        for name in RECIPES[part].ports:
            port = self._site.state.ports[name]
            # What was just killed may hold its port for a moment longer.
            if not processes.wait_until(lambda p=port: not is_listening(p), timeout_s=_PORT_IS_FREE_WITHIN_S):
                raise LocalStackError(
                    f"port {port} of {name} was taken by another program while it was stopped; "
                    "end that, or begin anew with `inventiv-local down` and `up`"
                )
        self._say(f"starting {part}")
        command = RECIPES[part].command(self._site)
        process = processes.spawn(command)
        self._remember(self._site.state.with_process(part, process))

    def _await(self, part: Part) -> None:
        recipe = RECIPES[part]
        ready = processes.wait_until(
            lambda: recipe.is_ready(self._site) or not self.is_running(part), timeout_s=recipe.ready_within_s
        )
        if self.is_running(part) and ready:
            return
        problem = "is not ready" if self.is_running(part) else "ended"
        raise LocalStackError(
            f"{part} {problem}; its log is {self._site.log(part)}:\n  {self._log_end(part)}"
        )

    def _end(self, part: Part, *, kill: bool = False) -> None:
        recipe = RECIPES[part]
        for process in self._processes_of(part):
            below = processes.children(process)
            if kill:
                processes.kill(process)
            else:
                processes.end(process, first=recipe.stop, grace_s=recipe.stops_within_s)
            for child in below:  # PostgreSQL's see that their parent is gone; a new one waits for them
                if not processes.wait_until(lambda c=child: not processes.is_running(c), timeout_s=10.0):
                    processes.kill(child)
        self._remember(self._site.state.with_process(part, None))

    def _processes_of(self, part: Part) -> Iterator[processes.Process]:
        """The recorded one, and any that carries the marker of this stack and part."""
        recorded = self._site.state.processes.get(part)
        if recorded is not None and processes.is_running(recorded):
            yield recorded
        pids = {recorded.pid} if recorded else set()
        if part is Part.POSTGRES:
            yield from self._unrecorded_postmaster(pids)
        for process in processes.marked(self._site.state.stack_id, part):
            if process.pid not in pids:
                yield process

    def _unrecorded_postmaster(self, known: set[int]) -> Iterator[processes.Process]:
        if not self._site.state.postgres_home:
            return
        pid = postgres.postmaster_pid(self._site.postgres_home)
        if pid is None or pid in known:
            return
        with contextlib.suppress(OSError):
            works_in = Path(f"/proc/{pid}/cwd").readlink()
            process = processes.identify(pid)
            if process is not None and works_in == self._site.postgres_home / "data":
                yield process

    def _kubectl_of(self, kubeconfig: Path) -> Kubectl:
        return Kubectl(
            program=self._site.programs[binaries.KUBECTL],
            kubeconfig=kubeconfig,
            environ=self._site.environ,
            cache=self._site.directory / "kubectl-cache",
        )

    def _address_of_cluster(self) -> tuple[str, bytes]:
        """Server and authority, also of a given cluster, whose file may name the authority by a path."""
        view = "jsonpath={.clusters[0].cluster.server} {.clusters[0].cluster.certificate-authority-data}"
        answer = self.kubectl("config", "view", "--minify", "--flatten", "--raw", "-o", view).stdout
        server, _, encoded = answer.partition(" ")
        return server, base64.b64decode(encoded)

    def _remember(self, state: states.State) -> None:
        self._site = replace(self._site, state=state)
        states.save(self._site.directory, state)

    def _log_end(self, part: Part) -> str:
        try:
            lines = self._site.log(part).read_text(errors="replace").splitlines()
        except FileNotFoundError:
            lines = []
        return "\n  ".join(lines[-_LOG_LINES:]) or "(empty)"


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

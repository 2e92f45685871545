"""A stack's processes: launch what is dead, wait until it is ready, end it, and write down what runs."""

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from local_stack import binaries, postgres, processes
from local_stack import state as states
from local_stack.errors import LocalStackError
from local_stack.parts import RECIPES, Part
from local_stack.ports import free_port, is_listening
from local_stack.site import Site

_LOG_LINES = 10
_PORT_IS_FREE_WITHIN_S = 5.0
_CHILDREN_END_WITHIN_S = 10.0


class Supervisor:
    """Of one stack; whoever calls holds its lock."""

    def __init__(self, site: Site, *, say: binaries.Say) -> None:
        self.site = site
        self._say = say

    def remember(self, state: states.State) -> None:
        self.site = replace(self.site, state=state)
        states.save(self.site.directory, state)

    def allot_ports(self, parts: Iterable[Part]) -> None:
        """A part keeps its port for as long as the stack exists."""
        ports = dict(self.site.state.ports)
        for name in (name for part in parts for name in RECIPES[part].ports):
            if name not in ports:
                ports[name] = free_port(taken=frozenset(ports.values()))
        self.remember(replace(self.site.state, ports=ports))

    def is_running(self, part: Part) -> bool:
        return any(True for _ in self._processes_of(part))

    def launch(self, part: Part) -> None:
        """Start it when it is dead, once what it needs is ready; does not wait for itself."""
        if self.is_running(part):
            return
        for need in RECIPES[part].needs:
            self.wait_ready(need)
        if part is Part.POSTGRES:
            self._prepare_postgres()
        for name in RECIPES[part].ports:
            self._claim_port(name)
        self._say(f"starting {part}")
        process = processes.spawn(RECIPES[part].command(self.site))
        self.remember(self.site.state.with_process(part, process))

    def wait_ready(self, part: Part) -> None:
        recipe = RECIPES[part]
        is_settled = processes.wait_until(
            lambda: not self.is_running(part) or recipe.is_ready(self.site), timeout_s=recipe.ready_within_s
        )
        if not self.is_running(part):
            raise LocalStackError(f"{part} ended; {self._log_end(part)}")
        if not is_settled:
            raise LocalStackError(
                f"{part} was not ready within {recipe.ready_within_s:g} s; {self._log_end(part)}"
            )

    def end(self, part: Part, *, kill: bool = False) -> None:
        """Returns when it and its children are gone."""
        recipe = RECIPES[part]
        for process in self._processes_of(part):
            below = processes.children(process)
            if kill:
                processes.kill(process)
            else:
                processes.end(process, first=recipe.stop, grace_s=recipe.stops_within_s)
            for child in below:  # PostgreSQL's see by themselves that their parent is gone
                if not processes.wait_until(partial(_is_gone, child), timeout_s=_CHILDREN_END_WITHIN_S):
                    processes.kill(child)
        self.remember(self.site.state.with_process(part, None))

    def end_everything(self) -> None:
        for part in reversed(Part):
            self.end(part)
        for process in processes.marked(self.site.state.stack_id):
            processes.kill(process)

    def _prepare_postgres(self) -> None:
        site = self.site
        if not site.state.postgres_home:
            self.remember(replace(site.state, postgres_home=str(postgres.make_home(site.directory))))
        if not postgres.is_initialized(self.site.postgres_home):
            postgres.initialize(self.site.postgres_home, password=site.state.secrets.superuser_password)

    def _claim_port(self, name: str) -> None:
        """What was just killed may hold its port for a moment longer."""
        port = self.site.state.ports[name]
        if not processes.wait_until(lambda: not is_listening(port), timeout_s=_PORT_IS_FREE_WITHIN_S):
            raise LocalStackError(
                f"port {port} of {name} was taken by another program while it was stopped; "
                "end that, or begin anew with `inventiv-local down` and `up`"
            )

    def _processes_of(self, part: Part) -> Iterator[processes.Process]:
        """The recorded one, and any other that was started for this part and never recorded."""
        recorded = self.site.state.processes.get(part)
        known: set[int] = set()
        if recorded is not None and processes.is_running(recorded):
            known.add(recorded.pid)
            yield recorded
        others = (
            self._unrecorded_postmaster()
            if part is Part.POSTGRES  # overwrites its environment, and with it the marker
            else processes.marked(self.site.state.stack_id, part)
        )
        yield from (process for process in others if process.pid not in known)

    def _unrecorded_postmaster(self) -> Iterator[processes.Process]:
        """By its pid file, which may be of a dead one: the folder that it works in tells."""
        if not self.site.state.postgres_home:
            return
        pid = postgres.postmaster_pid(self.site.postgres_home)
        if pid is None:
            return
        with contextlib.suppress(OSError):
            works_in = Path(f"/proc/{pid}/cwd").readlink()
            process = processes.identify(pid)
            if process is not None and works_in == self.site.postgres_home / "data":
                yield process

    def _log_end(self, part: Part) -> str:
        path = self.site.log(part)
        try:
            lines = path.read_text(errors="replace").splitlines()
        except FileNotFoundError:
            lines = []
        return f"its log is {path}:\n  " + ("\n  ".join(lines[-_LOG_LINES:]) or "(empty)")


def _is_gone(process: processes.Process) -> bool:
    return not processes.is_running(process)

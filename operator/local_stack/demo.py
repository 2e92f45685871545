"""`make demo`: instances come up, a crash in the middle of a create doubles nothing, and nothing stays."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from local_stack import examples
from local_stack.errors import LocalStackError
from local_stack.parts import Part
from local_stack.places import REPOSITORY
from local_stack.processes import wait_until
from local_stack.screen import Screen, Watched, parse_table
from local_stack.simulator_client import SimulatorClient
from local_stack.stack import Stack
from local_stack.state import Outside, locked

NAMESPACE = "acme"
NAME = "llama"
_SIMULATOR = ("--latency-ms", "50", "--boot-s", "2", "--guest-s", "0.5")
_LOOK_EVERY_S = 0.25
_READY_WITHIN_S = 90.0
_GONE_WITHIN_S = 90.0
_ANSWER_HELD_BACK_S = 3.0
_LOG_LINES = 15


class ExpectationFailed(LocalStackError):
    """The demo shows something else than it promises."""


def run(directory: Path, *, environ: Mapping[str, str], outside: Outside | None, keep: bool) -> int:
    """Tell the whole story on a stack of its own; the exit code. Takes the stack down unless `keep`.

    One demo at a time in one folder; what an earlier one was told to keep is ended first.

    Raises LocalStackError when there is no simulator to ask.
    """
    if outside is not None and outside.scaleway_api_url:
        raise LocalStackError("the demo asks the simulator what is billed; unset INVENTIV_SCALEWAY_API_URL")
    screen = Screen()
    directory.parent.mkdir(parents=True, exist_ok=True)
    lock = directory.with_name(f"{directory.name}.running")
    with locked(lock, on_wait=lambda: screen.say("waiting for another demo to end")):
        try:
            _end_stack(directory, environ, on_found=lambda: screen.say("ending what an earlier demo left"))
            stack = _tell_all(directory, environ=environ, outside=outside, screen=screen, keep=keep)
        except LocalStackError as error:
            screen.heading("The demo failed")
            screen.say(str(error))
            _show_log(directory, screen)
            return 1
        else:
            screen.heading("Done: the tenant's instances are gone" if keep else "Done: nothing is left")
            if keep:
                _say_what_next(stack, screen)
            return 0
        finally:
            if not keep:
                _end_stack(directory, environ)


def _tell_all(
    directory: Path, *, environ: Mapping[str, str], outside: Outside | None, screen: Screen, keep: bool
) -> Stack:
    screen.heading("A Kubernetes API server, PostgreSQL, a Scaleway simulator, the operator")
    stack = Stack.up(
        directory, outside=outside, environ=environ, say=screen.say, simulator_options=_SIMULATOR
    )
    with SimulatorClient(stack.scaleway_url) as simulator:
        story = Demo(stack=stack, simulator=simulator, screen=screen)
        story.tell()
        if not keep:
            story.tenant_leaves()
    return stack


def _end_stack(
    directory: Path, environ: Mapping[str, str], *, on_found: Callable[[], None] = lambda: None
) -> None:
    stack = Stack.attach(directory, environ=environ)
    if stack is not None:
        on_found()
        stack.down()


class Demo:
    def __init__(self, *, stack: Stack, simulator: SimulatorClient, screen: Screen) -> None:
        self._stack = stack
        self._simulator = simulator
        self._screen = screen

    def tell(self) -> None:
        self._simulator.add_key(examples.tenant_key())
        self._tenant_arrives()
        self._instances_start()
        self._operator_is_killed()
        self._instances_go()

    def tenant_leaves(self) -> None:
        for path in (examples.CREDENTIAL, examples.ORGANIZATION):
            self._kubectl("delete", f"--filename={_short(path)}", f"--timeout={_GONE_WITHIN_S:.0f}s")

    def _tenant_arrives(self) -> None:
        self._screen.heading("A tenant: its namespace, its Scaleway project, its key")
        self._apply(examples.ORGANIZATION)
        self._follow("organization", "acme", until=_says(READY="True"), within_s=_READY_WITHIN_S)
        self._apply(examples.CREDENTIAL)
        self._follow("icred", "scaleway", until=_says(READY="True"), within_s=_READY_WITHIN_S)

    def _instances_start(self) -> None:
        self._screen.heading("Two instances, from apply to Ready")
        self._apply(examples.DEPLOYMENT)
        self._follow("idep", NAME, until=_says(READY="2/2", PHASE="Ready"), within_s=_READY_WITHIN_S)
        self._expect_servers(2)

    def _operator_is_killed(self) -> None:
        self._screen.heading("A third one, and the operator dies in the middle of its create")
        held_back = {"method": "POST", "path_regex": "/servers$"}
        self._simulator.faults({"match": held_back, "kind": "delay", "seconds": _ANSWER_HELD_BACK_S})
        self._kubectl("scale", f"idep/{NAME}", f"--namespace={NAMESPACE}", "--replicas=3")
        if not wait_until(lambda: self._simulator.billed_count()["servers"] > 2, timeout_s=_READY_WITHIN_S):  # noqa: PLR2004
            raise ExpectationFailed("no third server was created")
        self._stack.kill(Part.OPERATOR)
        self._screen.say("Scaleway has made the server; the operator never saw the answer: kill -9")
        self._stack.start(Part.OPERATOR)
        self._screen.say("the operator is started again, and looks before it creates anything")
        self._follow("idep", NAME, until=_says(READY="3/3", PHASE="Ready"), within_s=_READY_WITHIN_S)
        self._expect_servers(3)

    def _instances_go(self) -> None:
        self._screen.heading("The tenant deletes it")
        self._kubectl("delete", "idep", NAME, f"--namespace={NAMESPACE}", f"--timeout={_GONE_WITHIN_S:.0f}s")
        counts = self._simulator.billed_count()
        self._expect(not any(counts.values()), f"the simulator bills nothing: {_in_words(counts)}")

    def _expect_servers(self, count: int) -> None:
        billed = self._simulator.billed()
        servers: list[dict[str, Any]] = billed["servers"]
        self._expect(
            len(servers) == count,
            f"exactly {count} servers are billed: {billed['hourly_cost']} EUR an hour, volumes and addresses"
            " included",
        )
        in_time = [server for server in servers if server["cloud_init_before_first_power_on"]]
        self._expect(len(in_time) == count, "each had its cloud-init before it was first powered on")

    def _expect(self, holds: bool, text: str) -> None:  # noqa: FBT001
        if not holds:
            raise ExpectationFailed(
                f"expected: {text}; the simulator bills {_in_words(self._simulator.billed_count())}"
            )
        self._screen.holds(text)

    def _apply(self, path: Path) -> None:
        self._kubectl("apply", f"--filename={_short(path)}")

    def _kubectl(self, *arguments: str) -> None:
        self._screen.command("kubectl", *arguments)
        done = self._stack.kubectl(*(_long(argument) for argument in arguments))
        self._screen.output(done.stdout)

    def _follow(
        self, kind: str, name: str, *, until: Callable[[Mapping[str, str]], bool], within_s: float
    ) -> None:
        """Show the object's row whenever it changes, until it says what is waited for."""
        where = () if kind == "organization" else (f"--namespace={NAMESPACE}",)
        self._screen.command("kubectl", "get", kind, name, *where, "--watch")
        watched = Watched(self._screen)

        def is_so() -> bool:
            rows = parse_table(self._stack.kubectl("get", kind, name, *where).stdout)
            watched.show(rows)
            return any(until(row) for row in rows)

        if not wait_until(is_so, timeout_s=within_s, poll_s=_LOOK_EVERY_S):
            raise ExpectationFailed(f"{kind} {name} did not get there within {within_s:.0f} s")


def _says(**cells: str) -> Callable[[Mapping[str, str]], bool]:
    return lambda row: all(row.get(column) == value for column, value in cells.items())


def _in_words(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in counts.items())


def _short(path: Path) -> str:
    """As one would type it in the checkout."""
    return str(path.relative_to(REPOSITORY))


def _long(argument: str) -> str:
    """Whatever folder we were started in."""
    name, equals, value = argument.partition("=")
    return f"{name}={REPOSITORY / value}" if equals and name == "--filename" else argument


def _show_log(directory: Path, screen: Screen) -> None:
    log = directory / "logs" / f"{Part.OPERATOR}.log"
    if log.exists():
        lines = log.read_text(errors="replace").splitlines()[-_LOG_LINES:]
        screen.say("the operator's last words:")
        screen.output("\n".join(lines))


def _say_what_next(stack: Stack, screen: Screen) -> None:
    site = stack.site
    screen.heading("Still running; to go on")
    with_folder = f"{site.program('kubectl').parent}"
    for line in (
        f"export KUBECONFIG={stack.kubeconfig}",
        f'export PATH={with_folder}:"$PATH"',
        "kubectl apply -f examples/tenant/3-deployment.yaml        # again, or files of your own",
        "kubectl get iorg,icred,idep --all-namespaces --watch",
        "kubectl explain deployments.inventiv.io.spec.placement",
        f"curl {stack.scaleway_url}/_simulator/billed",
        f"curl {site.operator_url}/metrics",
        f"tail -f {site.log(Part.OPERATOR)}",
        f".venv/bin/inventiv-local down --directory {site.directory}        # the end",
    ):
        screen.command(line)

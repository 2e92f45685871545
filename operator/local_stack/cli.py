"""`inventiv-local up|down|env|demo|build`."""

import argparse
import os
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from local_stack import binaries, demo, examples, places
from local_stack.errors import LocalStackError
from local_stack.given import KUBECONFIG, outside_parts
from local_stack.parts import Part, operator_environment
from local_stack.simulator_client import SimulatorClient
from local_stack.stack import Stack
from local_stack.state import Outside

_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    try:
        return _run(arguments, os.environ)
    except LocalStackError as error:
        print(f"inventiv-local: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted; `inventiv-local down` ends what was started", file=sys.stderr)
        return _INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="inventiv-local",
        description="A Kubernetes API server, PostgreSQL, the Scaleway simulator and the operator, here.",
        epilog="Used instead of own parts when set: KUBECONFIG (a cluster), KUBEBUILDER_ASSETS (a folder "
        "with binaries), DATABASE_URL (a PostgreSQL server whose login may make roles and databases), "
        "INVENTIV_SCALEWAY_API_URL. The demo takes a cluster only by --kubeconfig.",
    )
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--directory", type=Path, help=f"the stack's folder (or {places.STACK_VARIABLE})")
    commands = parser.add_subparsers(dest="command", required=True, metavar="up|down|env|demo|build")
    up = commands.add_parser("up", parents=[common], help="start what is not running yet")
    up.add_argument("--no-operator", action="store_true", help="everything but the operator")
    up.add_argument("--kubeconfig", default="", help="use this cluster instead of an own one")
    commands.add_parser("down", parents=[common], help="end everything and forget what it held")
    commands.add_parser(
        "env", parents=[common], help='print what a shell needs: eval "$(inventiv-local env)"'
    )
    show = commands.add_parser("demo", parents=[common], help="show a tenant's instances come and go")
    show.add_argument("--kubeconfig", default="", help="use this cluster instead of an own one")
    show.add_argument("--keep", action="store_true", help="leave the stack running (or KEEP=1)")
    commands.add_parser("build", help="compile the Kubernetes parts, which `up` does by itself")
    return parser


def _run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    if arguments.command == "build":
        return _build(environ)
    directory: Path = (arguments.directory or places.stack_directory(environ)).absolute()
    match arguments.command:
        case "up":
            return _up(
                directory, environ, operator=not arguments.no_operator, kubeconfig=arguments.kubeconfig
            )
        case "down":
            return _down(directory, environ)
        case "env":
            return _env(directory, environ)
        case _:
            if arguments.directory is None and not environ.get(places.STACK_VARIABLE):
                directory = directory.with_name("demo")  # the demo begins with nothing and removes everything
            keep = arguments.keep or environ.get("KEEP", "") not in {"", "0"}
            outside = outside_parts(_without_ambient_cluster(environ), kubeconfig=arguments.kubeconfig)
            return demo.run(directory, environ=environ, outside=outside, keep=keep)


def _up(directory: Path, environ: Mapping[str, str], *, operator: bool, kubeconfig: str) -> int:
    began_at = time.monotonic()
    outside = _outside(directory, environ, kubeconfig=kubeconfig)
    if outside is not None and outside.kubeconfig:
        print(f"using the cluster of {KUBECONFIG}={outside.kubeconfig}")
    parts = [part for part in Part if operator or part is not Part.OPERATOR]
    stack = Stack.up(directory, parts=parts, outside=outside, environ=environ, say=_say)
    _teach_examples(stack)
    print(f"the stack is up, {time.monotonic() - began_at:.1f} s")
    print(f"  KUBECONFIG  {stack.kubeconfig}")
    print(f"  Scaleway    {stack.scaleway_url}")
    if stack.is_running(Part.OPERATOR):
        print(f"  operator    {stack.site.operator_url}/readyz")
    print(f"  logs        {stack.site.directory / 'logs'}")
    print('next: eval "$(inventiv-local env)", then kubectl apply -f examples/tenant/')
    return 0


def _build(environ: Mapping[str, str]) -> int:
    """Ahead of a run of tests, whose workers have no terminal to tell of minutes of progress."""
    binaries.find_programs(binaries.PROGRAMS, environ=environ, say=_say)
    return 0


def _down(directory: Path, environ: Mapping[str, str]) -> int:
    stack = Stack.attach(directory, environ=environ)
    if stack is None:
        print(f"there is no stack in {directory}")
        return 0
    stack.down()
    print("the stack is down")
    return 0


def _env(directory: Path, environ: Mapping[str, str]) -> int:
    """Shell exports: the administrator's kubectl, and what `inventiv-operator` needs when run by hand."""
    stack = Stack.attach(directory, environ=environ)
    if stack is None:
        raise LocalStackError(f"there is no stack in {directory}; `inventiv-local up` makes one")
    site = stack.site
    variables = operator_environment(
        site,
        database_url=site.database.operator_url(),
        scaleway_url=site.scaleway_url,
        kubeconfig=site.kubeconfig,
    )
    variables |= {
        "INVENTIV_MIGRATION_DATABASE_URL": site.database.owner_url(),
        places.STACK_VARIABLE: str(directory),
    }
    for name, value in variables.items():
        print(f"export {name}={shlex.quote(value)}")
    folder = shlex.quote(str(site.program(binaries.KUBECTL).parent))
    print(f'export PATH={folder}:"$PATH"')
    print(f"# the operator by hand: KUBECONFIG={site.operator_kubeconfig} inventiv-operator run")
    return 0


def _without_ambient_cluster(environ: Mapping[str, str]) -> dict[str, str]:
    """`make demo` is typed by people who look around, with a kubeconfig of who knows what in their shell."""
    if environ.get(KUBECONFIG):
        print(
            f"{KUBECONFIG} is set; the demo makes a cluster of its own all the same (--kubeconfig to use one)"
        )
    return {name: value for name, value in environ.items() if name != KUBECONFIG}


def _outside(directory: Path, environ: Mapping[str, str], *, kubeconfig: str = "") -> Outside | None:
    """None when a stack is there already and nothing else is asked for: it goes on as it is."""
    stack = Stack.attach(directory, environ=environ)
    own_url = (
        stack.scaleway_url if stack is not None and "scaleway-simulator" in stack.site.state.ports else ""
    )
    given = outside_parts(environ, kubeconfig=kubeconfig, own_scaleway_url=own_url)
    return None if stack is not None and given == Outside() else given


def _teach_examples(stack: Stack) -> None:
    """The simulator lets in the key of examples/tenant, so that they can be applied as they are."""
    if not stack.site.state.outside.scaleway_api_url:
        with SimulatorClient(stack.scaleway_url) as simulator:
            simulator.add_key(examples.tenant_key())


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())

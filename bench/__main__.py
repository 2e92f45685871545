"""Runs every load once on one stack and prints a table, each figure beside its aim."""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench import calls, meter, rekeying, table
from bench.table import Row
from bench.tenant import BenchError, Load, Tenant
from local_stack.errors import LocalStackError
from local_stack.parts import Part
from local_stack.simulator_client import SimulatorClient
from local_stack.stack import Stack

LATENCY_MS = 50
BOOT_S = 5
SIMULATOR = (f"--latency-ms={LATENCY_MS}", f"--boot-s={BOOT_S}")
LOADS = (
    Load(deployments=1, replicas=1),
    Load(deployments=1, replicas=20),
    Load(deployments=2, replicas=100),
    Load(deployments=200, replicas=1),
)
WITHIN_S = 240.0


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    loads = [load for load in LOADS if load.instances <= options.most]
    directory = Path(tempfile.mkdtemp(prefix="inventiv-bench-")) / "stack"
    rows, rotation = list[Row](), list[rekeying.Row]()
    try:
        stack = _stack(directory, whole=bool(loads))
        try:
            if loads:
                rows = _run(stack, loads, rest_s=options.rest_s, details=options.details)
            if options.rekey:
                if stack.is_running(Part.OPERATOR):
                    stack.stop(Part.OPERATOR)  # which is no part of it
                rotation = rekeying.run(stack, organizations=options.rekey)
        finally:
            stack.down()
    except (BenchError, LocalStackError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(directory.parent, ignore_errors=True)
    if rows:
        print(table.render(rows, latency_ms=LATENCY_MS, boot_s=BOOT_S))
    if rotation:
        print(rekeying.render(rotation))
    return 0


def _stack(directory: Path, *, whole: bool) -> Stack:
    """The keyring needs a database and nothing else."""
    if whole:
        return Stack.up(directory, say=print, simulator_options=SIMULATOR)
    return Stack.up(directory, say=print, parts=(Part.POSTGRES,), install=False)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument(
        "--most",
        type=int,
        default=200,
        metavar="N",
        help="leave out loads of more instances; 0 leaves out all of them",
    )
    parser.add_argument(
        "--rest-s", type=float, default=60.0, metavar="S", help="how long the steady state is watched"
    )
    parser.add_argument("--details", action="store_true", help="print the calls of each load by endpoint")
    parser.add_argument(
        "--rekey",
        type=int,
        nargs="?",
        default=rekeying.ORGANIZATIONS,
        const=rekeying.ORGANIZATIONS,
        metavar="N",
        help=f"rotate the keyring of N organizations (default {rekeying.ORGANIZATIONS}); 0: do not",
    )
    return parser


def _run(stack: Stack, loads: Sequence[Load], *, rest_s: float, details: bool) -> list[Row]:
    with SimulatorClient(stack.scaleway_url) as simulator:
        tenant = Tenant(stack, simulator)
        try:
            tenant.settle_in()
            return [
                _measure(stack, tenant, simulator, load, rest_s=rest_s, details=details) for load in loads
            ]
        finally:
            tenant.close()


def _measure(
    stack: Stack, tenant: Tenant, simulator: SimulatorClient, load: Load, *, rest_s: float, details: bool
) -> Row:
    print(f"{load} ...", flush=True)
    pid = stack.site.state.processes[Part.OPERATOR].pid
    before = meter.read(pid)
    mark = _calls_so_far(simulator)
    began_s = time.monotonic()
    tenant.apply(load)
    tenant.until(
        lambda: tenant.ready_instances() == load.instances, within_s=WITHIN_S, what=f"{load} to be ready"
    )
    ready_s = time.monotonic() - began_s
    up = meter.read(pid)
    created = calls.by_endpoint(simulator.calls(since=mark))
    time.sleep(min(rest_s, 5.0))  # the last status of a start is no part of the steady state
    mark = _calls_so_far(simulator)
    time.sleep(rest_s)
    resting = len(simulator.calls(since=mark))
    at_rest = meter.read(pid)
    mark = _calls_so_far(simulator)
    began_s = time.monotonic()
    tenant.delete_all()
    tenant.until(tenant.is_gone, within_s=WITHIN_S, what=f"{load} to be gone")
    gone_s = time.monotonic() - began_s
    after = meter.read(pid)
    deleted = calls.by_endpoint(simulator.calls(since=mark))
    if details:
        for title, counts in (("created", created), ("deleted", deleted)):
            print(f"  {title}")
            for endpoint, count in counts.most_common():
                print(f"  {count:6d}  {endpoint}")
    return Row(
        load=load,
        ready_s=ready_s,
        gone_s=gone_s,
        calls_per_created=(created.total() - calls.listings(created)) / load.instances,
        calls_per_deleted=(deleted.total() - calls.listings(deleted)) / load.instances,
        listings=calls.listings(created) + calls.listings(deleted),
        calls_per_minute_at_rest=resting * 60.0 / rest_s,
        cpu_s=(up.cpu_s - before.cpu_s) + (after.cpu_s - at_rest.cpu_s),
        resident_mib=after.resident_mib,
        peak_mib=after.peak_mib,
    )


def _calls_so_far(simulator: SimulatorClient) -> int:
    last = simulator.calls()
    return int(last[-1]["n"]) if last else 0


if __name__ == "__main__":
    sys.exit(main())

"""`scaleway-simulator`: a Scaleway API on this machine, for development and demonstrations."""

import argparse
import asyncio
import contextlib
import json
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import uvicorn

from scaleway_simulator.app import create_app
from scaleway_simulator.guests import Guests, NoFreeBlock, allow_many_sockets, claim_block
from scaleway_simulator.settings import Settings
from scaleway_simulator.world import World

DEFAULT_PORTS = (22, 80, 443, 8000, 8080)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scaleway-simulator",
        description="A Scaleway API on this machine: instance v1, block v1, marketplace, IAM keys, projects.",
        epilog="Keys and projects come from --world or POST /_simulator/reset; without, all is a 401.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="where to listen (default %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="0, the default: a free one")
    parser.add_argument("--world", type=Path, help="a JSON file with what POST /_simulator/reset takes")
    parser.add_argument("--latency-ms", type=float, default=0.0, help="added to every call of the provider")
    parser.add_argument("--boot-s", type=float, help="from power-on to running (default 5)")
    parser.add_argument("--guest-s", type=float, help="from running until the guest answers (default 2)")
    parser.add_argument("--speed", type=float, default=1.0, help="world seconds per second (default 1)")
    parser.add_argument("--open", action="store_true", help="check no keys: any secret may do anything")
    parser.add_argument(
        "--minimal", action="store_true", help="few instance types; no IAM, account or availability endpoints"
    )
    parser.add_argument(
        "--answer-for-instances",
        action="store_true",
        help="give each server an address 127.x.y.z and answer HTTP there once it has booted",
    )
    parser.add_argument(
        "--instance-addresses",
        metavar="FIRST",
        help="the first of them (default: that of a free block, from 127.64.0.1 on)",
    )
    parser.add_argument(
        "--instance-ports",
        type=_ports,
        default=DEFAULT_PORTS,
        help="ports guests listen on if their group lets them in, besides those its rules name",
    )
    return parser


def _ports(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(",") if part)


def settings_from(arguments: argparse.Namespace, *, first_address: str | None) -> Settings:
    """Raises:
    ValueError: a number that cannot be.
    """
    if arguments.speed <= 0:
        raise ValueError("--speed: must be greater than 0")
    named = {
        "latency_ms": arguments.latency_ms,
        "boot_s": arguments.boot_s,
        "guest_s": arguments.guest_s,
        "speed": arguments.speed,
        "open": arguments.open,
        "minimal": arguments.minimal,
        "answer_addresses_from": first_address,
    }
    return Settings().changed({k: v for k, v in named.items() if v is not None})


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    with contextlib.ExitStack() as held:
        try:
            first = _first_address(arguments, held)
            world = World(settings=settings_from(arguments, first_address=first))
            if arguments.world is not None:
                world.reset(json.loads(arguments.world.read_text("utf-8")))
            sock = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((arguments.host, arguments.port))
        except (OSError, ValueError) as exc:
            print(f"scaleway-simulator: {exc}", file=sys.stderr)
            return 1
        guests = Guests(world, ports=arguments.instance_ports) if arguments.answer_for_instances else None
        asyncio.run(_serve(world, sock, guests))
    return 0


def _first_address(arguments: argparse.Namespace, held: contextlib.ExitStack) -> str | None:
    if not arguments.answer_for_instances:
        return None
    allow_many_sockets()
    if arguments.instance_addresses is not None:
        return str(arguments.instance_addresses)
    try:
        claim, first = claim_block()
    except NoFreeBlock as exc:
        raise ValueError(f"{exc}; name one with --instance-addresses") from exc
    held.enter_context(claim)
    return first


class _Announcing(uvicorn.Server):
    """Says where it listens, once it does; a signal is a request to stop, not a failure."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and sockets:
            host, port = sockets[0].getsockname()[:2]
            print(f"scaleway-simulator listening on http://{host}:{port}", flush=True)


async def _serve(world: World, sock: socket.socket, guests: Guests | None) -> None:
    config = uvicorn.Config(
        create_app(world),
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=1,
    )
    async with asyncio.TaskGroup() as group:  # guests that fail end the process: nothing would ever boot
        answering = None if guests is None else group.create_task(guests.run(), name="guests")
        await _Announcing(config).serve(sockets=[sock])
        if answering is not None:
            answering.cancel()


if __name__ == "__main__":
    sys.exit(main())

"""Kopf inside our loop.

`kopf.operator()` takes every task that was started after it for its own, waits five seconds for them when it
ends and then cancels them: our workers and the pool's, too. So its root tasks are spawned by its public half
(`kopf.spawn_tasks`) and ended here. It also takes SIGINT and SIGTERM for itself; they are given back at once.
"""

import asyncio
import contextlib
import logging
import signal
import threading
from collections.abc import Callable

import kopf

from inventiv_operator.handlers.kopf_settings import kopf_settings, register_login
from inventiv_operator.kube.access import ClusterAccess

logger = logging.getLogger(__name__)

_EXIT_S = 10.0


class KopfStopped(Exception):
    """Kopf ended by itself (a watch was answered with an ERROR event that is no 410): exit 1."""


async def run_kopf(
    registry: kopf.OperatorRegistry,
    *,
    access: ClusterAccess,
    stop: asyncio.Event,
    ready: asyncio.Event,
    on_signal: Callable[[], None],
) -> None:
    """Run until `stop` is set or this is cancelled.

    `ready` is set once Kopf has started (not: once it has listed everything). `on_signal` is called for
    SIGINT and SIGTERM from now on.

    Raises:
        KopfStopped: it ended although nobody asked.
    """
    register_login(registry, access)
    exiting = asyncio.Event()  # set before the tasks are cancelled, or Kopf arms a SIGKILL for the process
    tasks = await kopf.spawn_tasks(
        registry=registry,
        settings=kopf_settings(),
        clusterwide=True,
        standalone=True,
        stop_flag=exiting,
        ready_flag=ready,
    )
    _take_signals_back(on_signal)
    stopper = asyncio.create_task(stop.wait(), name="kopf: stop flag")
    try:
        done, _ = await asyncio.wait({stopper, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        if stopper not in done:
            ended = next(iter(done))
            cause = None if ended.cancelled() else ended.exception()
            raise KopfStopped(f"Kopf's task {ended.get_name()!r} ended: {cause}") from cause
    finally:
        stopper.cancel()
        exiting.set()
        for task in tasks:
            task.cancel()
        _, hanging = await asyncio.wait(tasks, timeout=_EXIT_S)
        if hanging:
            logger.warning("kopf tasks did not end in time", extra={"tasks": len(hanging)})


def _take_signals_back(on_signal: Callable[[], None]) -> None:
    """No await stands between Kopf's `add_signal_handler` and this."""
    if threading.current_thread() is not threading.main_thread():
        return
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, on_signal)

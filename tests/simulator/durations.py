"""How long things took in a recording, as settings of a world."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from simulator.recordings import Exchange

NEVER_S = 1e6
BEFORE_S = 1e-5
Read = tuple[float, Any]
"""When, and the server that was read; None for a 404."""


def durations_of(exchanges: Sequence[Exchange], times: Sequence[float], number: int) -> dict[str, float]:
    """What the settings must say just before an exchange, for its consequences to come when they came."""
    exchange = exchanges[number]
    if exchange.template.endswith("/servers/{id}/action") and isinstance(exchange.request, dict):
        server_id = exchange.path.split("/")[-2]
        reads = list(_reads(exchanges, times, number, server_id))
        return _of_action(exchange.request["action"], times[number], reads)
    if exchange.method in {"DELETE", "PATCH"} and exchange.template.endswith("/servers/{id}"):
        detached = _first_detached(exchanges, times, number)
        delay = {"delete_detach_s": detached, "detach_s": detached, "detach_while_booting_s": detached}
        return {name: value for name, value in delay.items() if value is not None}
    return {}


def _reads(
    exchanges: Sequence[Exchange], times: Sequence[float], number: int, server_id: str
) -> Iterator[Read]:
    """Reads of one server up to its next action."""
    for later in range(number + 1, len(exchanges)):
        exchange = exchanges[later]
        if server_id not in exchange.path:
            continue
        if exchange.template.endswith("/action") or exchange.method == "DELETE":
            return
        if exchange.method == "GET" and exchange.template.endswith("/servers/{id}"):
            yield times[later], (exchange.response["server"] if exchange.status == 200 else None)


def _of_action(action: str, at_s: float, reads: Sequence[Read]) -> dict[str, float]:
    def first(wanted: Callable[[Any], bool]) -> float:
        found = next((when for when, server in reads if wanted(server)), None)
        return NEVER_S if found is None else max(0.0, found - at_s - BEFORE_S)

    gone = first(lambda server: server is None)
    stopped = first(lambda server: server is not None and server["state"] == "stopped")
    standby = first(lambda server: server is not None and server["state"] == "stopped in place")
    running = first(lambda server: server is not None and server["state"] == "running")
    if action == "terminate":
        is_seen_stopped = stopped < gone
        return {
            "terminate_s": min(stopped, gone),
            "terminate_via_stopped_s": gone - stopped if is_seen_stopped else 0.0,
        }
    if action == "poweron":
        placed = first(lambda server: server is not None and server["location"] is not None)
        booted = first(lambda server: server is not None and _has_booted(server))
        return {"allocate_s": min(placed, running), "boot_s": running, "guest_s": max(0.0, booted - running)}
    simple = {
        "poweroff": ("stop_s", stopped),
        "stop_in_place": ("standby_s", standby),
        "reboot": ("reboot_s", running),
    }
    return dict([simple[action]]) if action in simple else {}


def _has_booted(server: dict[str, Any]) -> bool:
    """The guest agent has reported; in most recordings it never got so far."""
    return server["state"] == "running" and server["state_detail"] in {"booted", "ready"}


def _first_detached(exchanges: Sequence[Exchange], times: Sequence[float], number: int) -> float | None:
    """When a block volume is first read without a reference after something was detached."""
    for later in range(number + 1, len(exchanges)):
        exchange = exchanges[later]
        is_volume = exchange.template.startswith("/block/") and exchange.template.endswith("/volumes/{id}")
        if (
            is_volume
            and exchange.method == "GET"
            and exchange.status == 200
            and not exchange.response["references"]
        ):
            return max(0.0, times[later] - times[number] - BEFORE_S)
    return None

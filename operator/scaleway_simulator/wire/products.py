"""`/products`: dictionaries by type, and paginated all the same (api.md 1, 8)."""

from scaleway_simulator.catalog import types_of
from scaleway_simulator.limits import availability
from scaleway_simulator.wire import render_network
from scaleway_simulator.wire.call import Answer, Call
from scaleway_simulator.wire.paging import numbered

GB = 10**9


def servers(call: Call) -> Answer:
    types = list(types_of(call.zone, few=call.world.settings.minimal).values())
    page, headers = numbered(call, types, path="/products/servers")
    shown = {t.name: render_network.server_type(t) for t in page}
    return Answer(body={"servers": shown}, headers=headers, items="servers")


def availabilities(call: Call) -> Answer:
    types = list(types_of(call.zone).values())
    page, headers = numbered(call, types, path="/products/servers/availability")
    world = call.world
    shown = {
        t.name: {"availability": availability(world, zone=call.zone, commercial_type=t.name)} for t in page
    }
    return Answer(body={"servers": shown}, headers=headers, items="servers")


def volumes(_: Call) -> Answer:
    def product(name: str, *, largest: int, snapshots: bool) -> dict[str, object]:
        return {
            "display_name": name,
            "capabilities": {"snapshot": snapshots},
            "constraints": {"min": GB, "max": largest},
        }

    shown = {
        "l_ssd": product("Local SSD", largest=800 * GB, snapshots=True),
        "scratch": product("Scratch", largest=60_000 * GB, snapshots=False),
    }
    return Answer(body={"volumes": shown})

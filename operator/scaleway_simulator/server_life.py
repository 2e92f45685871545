"""The life of a server after it was made: actions, their phases, and what an end leaves behind (api.md 3)."""

from collections.abc import Callable

from scaleway_simulator import disks, ips
from scaleway_simulator.errors import PreconditionFailed, invalid
from scaleway_simulator.limits import check_stock, is_silently_out_of_stock
from scaleway_simulator.records import LOCAL_KINDS, Server
from scaleway_simulator.world import World

STANDBY = "stopped in place"  # with spaces on the wire
ALLOWED: dict[str, tuple[str, ...]] = {
    "stopped": ("poweron", "backup"),
    "starting": ("stop_in_place", "backup"),
    "running": ("poweroff", "terminate", "reboot", "stop_in_place", "backup"),
    "stopping": ("stop_in_place", "backup"),
    STANDBY: ("poweron", "poweroff", "terminate", "reboot", "backup"),
    "locked": (),
}
FINGERPRINTS = b"256 SHA256:HakD7iHtlAtjYEzZA+vptNCqahhhSNxDwdSD6hac9S8 root@server (ED25519)"
"""The guest agent leaves these in the user data once it runs."""
PROTECTED_FROM = frozenset({"poweroff", "stop_in_place", "reboot", "terminate"})
HELP = {
    "poweron": "server should be stopped",
    "poweroff": "server should be running",
    "terminate": "server should be running",
    "reboot": "server should be running",
    "stop_in_place": "server should be running",
    "backup": "server should not be locked",
}


def allowed_actions(world: World, server: Server) -> list[str]:
    """None while a local disk is being deleted or copied; a protected server allows only `backup`."""
    local = (world.local_volumes.find(slot.volume_id) for slot in server.volumes.values())
    if any(volume is not None and volume.state != "available" for volume in local):
        return []
    actions = ALLOWED.get(server.state, ())
    return [a for a in actions if not (server.protected and a in PROTECTED_FROM)]


def act(world: World, server: Server, action: str) -> None:
    """Accept an action; what follows happens as time passes.

    Raises:
        InvalidArguments: no such action.
        PreconditionFailed: protected, or not in a state that allows it.
        OutOfStock: a power-on in a zone whose stock shows then.
    """
    if action not in HELP:
        raise invalid("action", "not a valid value")
    if server.protected and action in PROTECTED_FROM:
        raise PreconditionFailed(precondition="protected_resource", help_message="server is protected")
    if action not in ALLOWED.get(server.state, ()):
        raise PreconditionFailed(precondition="resource_not_usable", help_message=HELP[action])
    match action:
        case "poweron":
            _power_on(world, server)
        case "poweroff":
            _stop(world, server)
        case "stop_in_place":
            _stand_by(world, server)
        case "reboot":
            _reboot(world, server)
        case "terminate":
            _terminate(world, server)
        case _:
            pass  # backup: its image and snapshots are made by `snapshots`


def _phase(world: World, server: Server, state: str, detail: str, *, after_s: float = 0.0) -> None:
    run = server.run

    def enter() -> None:
        if server.run == run:
            server.state, server.state_detail = state, detail
            server.modified_at = world.now

    world.later(after_s, enter)


def _then(world: World, server: Server, after_s: float, do: Callable[[], None]) -> None:
    """Later, unless another action or an end came in between."""
    run = server.run

    def still() -> None:
        if server.run == run:
            do()

    world.later(after_s, still)


def _power_on(world: World, server: Server) -> None:
    check_stock(world, zone=server.zone, commercial_type=server.commercial_type, at="poweron")
    if server.powered_on_count == 0:
        server.cloud_init_before_first_power_on = "cloud-init" in server.user_data
    server.powered_on_count += 1
    if is_silently_out_of_stock(world, server):
        return
    server.run += 1
    settings = world.settings
    if server.state == STANDBY:
        # modification_date does not move on a power-on from standby (api.md 3.1)
        server.state, server.state_detail = "starting", STANDBY
        _then(world, server, settings.boot_s, lambda: _running(world, server))
        return
    _phase(world, server, "starting", "allocating node")
    ips.give_dynamic(world, server)
    _then(world, server, min(settings.allocate_s, settings.boot_s), lambda: _place(world, server))
    _then(world, server, settings.boot_s, lambda: _running(world, server))


def _place(world: World, server: Server) -> None:
    server.node = {
        "zone_id": server.zone,
        "platform_id": "14",
        "cluster_id": str(world.random.randrange(1, 60)),
        "hypervisor_id": str(world.random.randrange(1, 400)),
        "node_id": str(world.random.randrange(1, 100)),
    }
    server.state_detail = "provisioning node"
    server.modified_at = world.now


def _running(world: World, server: Server) -> None:
    if server.node is None:
        _place(world, server)
    server.state, server.state_detail = "running", "booting kernel"
    server.modified_at = world.now
    _then(world, server, world.settings.guest_s, lambda: _booted(world, server))


def _booted(world: World, server: Server) -> None:
    if not server.guest_silent:
        server.guest_booted = True
        server.state_detail = "booted"
        server.user_data.setdefault("ssh-host-fingerprints", FINGERPRINTS)
        server.pending_ips.clear()
        world.touch(server)


def _halt(world: World, server: Server, detail: str) -> None:
    server.run += 1
    server.guest_booted = False
    server.state, server.state_detail = "stopping", detail
    server.modified_at = world.now
    world.touch(server)


def _stop(world: World, server: Server) -> None:
    _halt(world, server, "stopping")
    _then(world, server, world.settings.stop_s, lambda: stopped(world, server))


def stopped(world: World, server: Server) -> None:
    """Reached `stopped`: no node, no dynamic address."""
    server.state, server.state_detail = "stopped", ""
    server.node = None
    server.guest_booted = False
    server.modified_at = world.now
    world.touch(server)
    ips.take_dynamic(world, server)


def _stand_by(world: World, server: Server) -> None:
    _halt(world, server, "stopping in place")
    _phase(world, server, STANDBY, STANDBY, after_s=world.settings.standby_s)


def _reboot(world: World, server: Server) -> None:
    _halt(world, server, "rebooting")
    _phase(world, server, "starting", "rebooting", after_s=world.settings.reboot_s * 0.8)
    _then(world, server, world.settings.reboot_s, lambda: _running(world, server))


def _terminate(world: World, server: Server) -> None:
    """Addresses leave at once, in every recorded case; disks with the server."""
    _halt(world, server, "terminating")
    for ip in ips.of_server(world, server):
        ips.detach(world, ip)
    ips.take_dynamic(world, server)
    for slot in server.volumes.values():
        local = world.local_volumes.find(slot.volume_id)
        if local is not None:
            local.state = "deleting"
    settings = world.settings
    _then(world, server, settings.terminate_s, lambda: _terminated(world, server))


def _terminated(world: World, server: Server) -> None:
    """Gone, or first shown as `stopped` without volumes: do not power that on (api.md 3.3)."""
    _empty_slots(world, server, keep_local=False)
    if world.settings.terminate_via_stopped_s > 0:
        stopped(world, server)
        _then(world, server, world.settings.terminate_via_stopped_s, lambda: vanish(world, server))
    else:
        vanish(world, server)


def _empty_slots(world: World, server: Server, *, keep_local: bool) -> None:
    for slot in list(server.volumes.values()):
        block = world.block_volumes.find(slot.volume_id)
        if block is not None:
            disks.release_block(world, block, after_s=world.settings.delete_detach_s if keep_local else 0.0)
        local = world.local_volumes.find(slot.volume_id)
        if local is not None and slot.kind in LOCAL_KINDS:
            local.server_id = None
            if not keep_local:
                world.local_volumes.remove(local)
    server.volumes = {}


def vanish(world: World, server: Server) -> None:
    """The server is no more; its flexible addresses are detached and stay."""
    server.run += 1
    server.guest_booted = False
    world.touch(server)
    for ip in ips.of_server(world, server):
        ips.detach(world, ip)
    ips.take_dynamic(world, server)
    world.servers.remove(server)


def delete_server(world: World, server: Server) -> None:
    """DELETE: protection does not matter, the state does; every disk stays (api.md 3.3, 3.4).

    Raises:
        PreconditionFailed: it is not stopped.
    """
    if server.state != "stopped":
        raise PreconditionFailed(
            precondition="resource_still_in_use", help_message="instance should be powered off"
        )
    _empty_slots(world, server, keep_local=True)
    vanish(world, server)


def disappear(world: World, server: Server) -> None:
    """Somebody else removed it, whatever its state; its disks stay."""
    _empty_slots(world, server, keep_local=True)
    vanish(world, server)

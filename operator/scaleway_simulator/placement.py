"""Placement groups and private NICs: as much of them as servers show."""

from scaleway_simulator.errors import NotFound
from scaleway_simulator.records import Nic, PlacementGroup, Server
from scaleway_simulator.world import World


def new_placement_group(
    world: World,
    *,
    zone: str,
    project_id: str,
    name: str,
    policy_mode: str,
    policy_type: str,
    tags: list[str],
) -> PlacementGroup:
    return world.placement_groups.add(
        PlacementGroup(
            id=world.new_id(),
            zone=zone,
            project_id=project_id,
            name=name,
            policy_mode=policy_mode,
            policy_type=policy_type,
            created_at=world.now,
            tags=list(tags),
        )
    )


def add_nic(world: World, server: Server, private_network_id: str, *, tags: list[str]) -> Nic:
    """An interface with an IPv4 and an IPv6 address of IPAM."""
    nic = Nic(
        id=world.new_id(),
        private_network_id=private_network_id,
        server_id=server.id,
        mac_address=world.new_mac(prefix="02:00:00"),
        created_at=world.now,
        tags=list(tags),
        ipam_ip_ids=[world.new_id(), world.new_id()],
    )
    server.nics.append(nic)
    return nic


def remove_nic(server: Server, nic_id: str) -> None:
    """Raises:
    NotFound: the server has no such interface.
    """
    nic = next((n for n in server.nics if n.id == nic_id), None)
    if nic is None:
        raise NotFound("instance_private_nic", nic_id)
    server.nics.remove(nic)

"""What hangs below one server: user data and private NICs (api.md 6, 7)."""

from scaleway_simulator.errors import NotFound, missing
from scaleway_simulator.placement import add_nic, remove_nic
from scaleway_simulator.wire import render_server
from scaleway_simulator.wire.call import Answer, Call
from scaleway_simulator.wire.paging import numbered
from scaleway_simulator.wire.servers import found

TEXT = {"Content-Type": "text/plain"}


def user_data_keys(call: Call) -> Answer:
    return Answer(body={"user_data": sorted(found(call).user_data)})


def read_user_data(call: Call) -> Answer:
    """A missing key is a 404 with an empty body; a missing server one with JSON."""
    value = found(call).user_data.get(call.params["key"])
    if value is None:
        return Answer(status=404, text=b"", headers=TEXT)
    return Answer(text=value, headers=TEXT)


def write_user_data(call: Call) -> Answer:
    found(call).user_data[call.params["key"]] = call.raw
    return Answer(status=204, headers=TEXT)


def delete_user_data(call: Call) -> Answer:
    server = found(call)
    if server.user_data.pop(call.params["key"], None) is None:
        return Answer(status=404, text=b"", headers=TEXT)
    return Answer(status=204)


def nics(call: Call) -> Answer:
    server = found(call)
    page, headers = numbered(call, server.nics, path=f"/servers/{server.id}/private_nics")
    shown = [render_server.nic(call.world, each) for each in page]
    return Answer(body={"private_nics": shown}, headers=headers, items="private_nics")


def create_nic(call: Call) -> Answer:
    server = found(call)
    network = call.body().get("private_network_id")
    if not isinstance(network, str):
        raise missing("private_network_id")
    nic = add_nic(call.world, server, network, tags=list(call.body().get("tags") or ()))
    return Answer(status=201, body={"private_nic": render_server.nic(call.world, nic)})


def read_nic(call: Call) -> Answer:
    nic = next((n for n in found(call).nics if n.id == call.params["nic"]), None)
    if nic is None:
        raise NotFound("instance_private_nic", call.params["nic"])
    return Answer(body={"private_nic": render_server.nic(call.world, nic)})


def delete_nic(call: Call) -> Answer:
    remove_nic(found(call), call.params["nic"])
    return Answer(status=204)

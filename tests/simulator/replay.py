"""Plays a recorded cassette against a world of its own.

Ids and addresses of the recording are replaced by those the simulator gave for the same things, and the clock
is set to the recorded instants. How long a thing took was the provider's mood; the world is told beforehand
(`durations`), so that what is compared is what it then answers. Endpoints that the simulator does not have
(placement groups and interfaces of v2alpha1, file systems) are carried out on the world directly, uncounted.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from scaleway_simulator.app import create_app
from scaleway_simulator.identity import ApiKey
from scaleway_simulator.in_process import InProcessTransport
from scaleway_simulator.placement import add_nic, new_placement_group, remove_nic
from scaleway_simulator.records import Image
from scaleway_simulator.settings import Settings
from scaleway_simulator.world import World
from simulator.durations import durations_of
from simulator.recordings import Exchange
from simulator.shapes import differences

NAMES = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|\b(?:\d{1,3}\.){3}\d{1,3}\b", re.IGNORECASE
)
TOKEN = "00000000-1111-4222-8333-444444444444"
COMPARED_HEADERS = (
    "content-type",
    "location",
    "x-total-count",
    "link",
    "x-request-id",
    "x-envoy-ratelimited",
)
FIXED = frozenset({"00000000-0000-0000-0000-000000000000", "0.0.0.0", "62.210.0.1"})
EPSILON_S = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    exchange: Exchange
    differences: tuple[str, ...]

    @property
    def is_same(self) -> bool:
        return not self.differences


class RecordedClock:
    """Stands where the replay puts it."""

    def __init__(self, start_s: float) -> None:
        self.at_s = start_s

    def now(self) -> datetime:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=self.at_s)

    def monotonic(self) -> float:
        return self.at_s

    async def sleep(self, delay_s: float) -> None:
        self.at_s += delay_s


class Replay:
    def __init__(self, exchanges: Sequence[Exchange]) -> None:
        self._exchanges = exchanges
        self._times = [e.at_s + n * EPSILON_S for n, e in enumerate(exchanges)]
        self._clock = RecordedClock(self._times[0] - 3600)
        self._world = World(clock=self._clock, settings=Settings(open=True, volume_create_s=0.5))
        self._names: dict[str, str] = {}
        self._client = httpx.AsyncClient(
            transport=InProcessTransport(create_app(self._world)),
            base_url="http://simulator",
            headers={"X-Auth-Token": TOKEN},
        )
        self._stage_images()

    async def run(self) -> list[Verdict]:
        verdicts: list[Verdict] = []
        async with self._client:
            for number, exchange in enumerate(self._exchanges):
                self._clock.at_s = max(self._clock.at_s, self._times[number])
                self._world.change(durations_of(self._exchanges, self._times, number))
                self._world.change(_moods_of(exchange))
                found = await self._play(exchange)
                if exchange.counts:
                    verdicts.append(Verdict(exchange=exchange, differences=tuple(found)))
        return verdicts

    async def _play(self, exchange: Exchange) -> list[str]:
        if self._stage(exchange):
            return []
        if exchange.status == 429:
            self._world.faults.add(self._world.faults.parse({"kind": "status", "status": 429}), seconds=0)
        response = await self._send(exchange)
        body = _json(response)
        if response.status_code == exchange.status and "/products/" not in exchange.path:
            self._learn(exchange.response, body)
        return list(_compare(exchange, response, body))

    async def _send(self, exchange: Exchange) -> httpx.Response:
        path = self._simulated(exchange.path).replace("/block/v1alpha1/", "/block/v1/")
        if exchange.template.startswith("/iam/v1alpha1/api-keys/"):
            path = self._key_path(exchange)
        query = self._simulated(exchange.query)
        content = self._content(exchange)
        headers = {"Content-Type": exchange.content_type} if exchange.content_type else {}
        url = f"{path}?{query}" if query else path
        return await self._client.request(exchange.method, url, content=content, headers=headers)

    def _content(self, exchange: Exchange) -> bytes:
        request = exchange.request
        if request is None and exchange.method == "POST" and not exchange.is_request_known:
            request = _guessed(exchange)
        if request is None:
            return b""
        if isinstance(request, str):
            return request.encode()
        return self._simulated(json.dumps(request)).encode()

    # names

    def _simulated(self, text: str) -> str:
        return NAMES.sub(lambda match: self._names.get(match.group(0), match.group(0)), text)

    def _learn(self, recorded: Any, simulated: Any) -> None:
        """Pair names that stand at the same place of both answers."""
        if isinstance(recorded, dict) and isinstance(simulated, dict):
            for key in recorded.keys() & simulated.keys():
                self._learn(recorded[key], simulated[key])
        elif isinstance(recorded, list) and isinstance(simulated, list):
            for one, other in self._paired(recorded, simulated):
                self._learn(one, other)
        elif _is_name(recorded) and _is_name(simulated):
            self._names.setdefault(recorded, simulated)

    def _paired(self, recorded: list[Any], simulated: list[Any]) -> Iterator[tuple[Any, Any]]:
        left = list(simulated)
        for element in recorded:
            match = next((o for o in left if self._same(element, o)), None)
            if match is not None:
                left.remove(match)
                yield element, match

    def _same(self, recorded: Any, simulated: Any) -> bool:
        if not isinstance(recorded, dict) or not isinstance(simulated, dict):
            return True
        known = self._names.get(str(recorded.get("id")))
        if known is not None:
            return bool(known == simulated.get("id"))
        keys = [k for k in ("arch", "label", "type", "zone", "name", "family") if k in recorded]
        return all(recorded[k] == simulated.get(k) for k in keys)

    # the stage

    def _stage_images(self) -> None:
        """Public images and snapshots that a cassette only names exist beforehand."""
        for exchange in (e for e in self._exchanges if "/products/" not in e.path):
            for image in _images_in(exchange.response):
                if image["id"] not in {i.id for i in self._world.images} and image["public"]:
                    self._world.images.add(_public_image(image))

    def _stage(self, exchange: Exchange) -> bool:
        """Carry out what the simulator has no endpoint for; True when that was all."""
        template, method = exchange.template, exchange.method
        if template.endswith("/placement-groups") and method == "POST":
            self._place(exchange.response)
        elif template.endswith("/private-network-interfaces") and method == "POST":
            self._interface(exchange.response)
        elif template.endswith("/private_nics") and method == "POST":
            self._interface(exchange.response["private_nic"])
        elif template.endswith("/private-network-interfaces/{id}"):
            self._change_interface(exchange)
        elif template.endswith("-filesystem"):
            self._file_system(exchange)
        elif template.endswith("/create-server"):
            return False
        elif template.startswith("/instance/v2alpha1/"):
            pass
        else:
            return False
        return True

    def _place(self, recorded: Mapping[str, Any]) -> None:
        group = new_placement_group(
            self._world,
            zone=recorded["zone"],
            project_id=recorded["project_id"],
            name=recorded["name"],
            policy_mode="optional",
            policy_type=recorded["policy_type"],
            tags=[],
        )
        self._names[recorded["id"]] = group.id

    def _interface(self, recorded: Mapping[str, Any]) -> None:
        server = self._world.servers.find(self._simulated(recorded["server_id"]))
        if server is not None:
            nic = add_nic(self._world, server, recorded["private_network_id"], tags=recorded["tags"] or [])
            self._names[recorded["id"]] = nic.id

    def _change_interface(self, exchange: Exchange) -> None:
        nic_id = self._names.get(exchange.path.rsplit("/", 1)[1])
        for server in self._world.servers:
            for nic in [n for n in server.nics if n.id == nic_id]:
                if exchange.method == "DELETE":
                    remove_nic(server, nic.id)
                elif exchange.method == "PATCH" and exchange.request.get("tags") is not None:
                    nic.tags = list(exchange.request["tags"])

    def _file_system(self, exchange: Exchange) -> None:
        server = self._world.servers.find(self._simulated(exchange.path.split("/")[-2]))
        if server is not None:
            shown = [each["filesystem_id"] for each in exchange.response["server"]["filesystems"]]
            server.filesystems = shown
            if "/detach-" in exchange.path:
                gone = exchange.request["filesystem_id"]
                self._world.later(2.0, lambda: server.filesystems.remove(gone))

    def _key_path(self, exchange: Exchange) -> str:
        """The recorder masked access keys in paths; the answer names the key."""
        body = exchange.response or {}
        access_key = body.get("access_key") or body.get("resource_id") or "SCWXXXXXXXXXXXXXXXXX"
        if exchange.status == 200 and exchange.method == "GET":
            expires = body["expires_at"]
            self._world.identity.add_key(
                ApiKey(
                    access_key=access_key,
                    secret_key=f"secret of {access_key}",
                    project_id=body["default_project_id"],
                    created_at=self._world.now,
                    expires_at=None if expires is None else datetime.fromisoformat(expires),
                    bearer_id=body.get("user_id") or body["application_id"],
                    bearer_is_user="user_id" in body,
                )
            )
        return f"/iam/v1alpha1/api-keys/{access_key}"


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and NAMES.fullmatch(value) is not None and value not in FIXED


def _moods_of(exchange: Exchange) -> dict[str, Any]:
    """What the provider was free to do either way at that moment."""
    names: tuple[str, ...] = ()
    if exchange.status == 200 and isinstance(exchange.request, dict) and exchange.request.get("reverse"):
        names = (exchange.request["reverse"],)
    is_server = "/servers" in exchange.template and "/products/" not in exchange.template
    is_null = is_server and '"admin_password_encryption_ssh_key_id": null' in json.dumps(exchange.response)
    return {"null_password_key": "always" if is_null else "never", "resolving_names": names}


def _compare(exchange: Exchange, response: httpx.Response, body: Any) -> Iterator[str]:
    if response.status_code != exchange.status:
        yield f"status: {exchange.status} -> {response.status_code}"
        return
    yield from differences(exchange.response, body)
    for name in COMPARED_HEADERS:
        expected, found = exchange.headers.get(name), response.headers.get(name)
        is_value = name == "content-type"
        if (expected is None) != (found is None) or (is_value and expected != found):
            yield f"header {name}: {expected} -> {found}"


def _json(response: httpx.Response) -> Any:
    if not response.content:
        return None
    if response.headers.get("content-type") == "text/plain":
        return response.text
    return json.loads(response.content)


def _images_in(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if "root_volume" in value and "from_server" in value:
            yield value
        for each in value.values():
            yield from _images_in(each)
    elif isinstance(value, list):
        for each in value:
            yield from _images_in(each)


def _public_image(recorded: Mapping[str, Any]) -> Image:
    root = recorded["root_volume"]
    is_block = root["volume_type"] == "sbs_snapshot"
    return Image(
        id=recorded["id"],
        zone=recorded["zone"],
        arch=recorded["arch"],
        label="",
        storage="instance_sbs" if is_block else "instance_local",
        name=recorded["name"],
        root_volume_type=root["volume_type"],
        root_volume_id=root["id"],
        root_size_bytes=root["size"] or 10**10,
        created_at=datetime.fromisoformat(recorded["creation_date"]),
        organization_id=recorded["organization"],
        project_id=recorded["project"],
        public=True,
        extra_volumes=recorded["extra_volumes"],
    )


def _guessed(exchange: Exchange) -> dict[str, Any]:
    """A request that the recorder lost, from its answer: only to go on, it is not counted."""
    made = next(iter(exchange.response.values()))
    named = (
        "name",
        "commercial_type",
        "project",
        "tags",
        "dynamic_ip_required",
        "type",
        "size",
        "volume_type",
    )
    guess = {k: made[k] for k in named if k in made}
    if made.get("image"):
        guess["image"] = made["image"]["id"]
    return guess


async def play(exchanges: Sequence[Exchange]) -> list[Verdict]:
    """One verdict for each exchange that counts, in the order of the cassette."""
    return await Replay(exchanges).run()

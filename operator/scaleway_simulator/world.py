"""The state of a simulated Scaleway, apart from its wire.

Nothing runs by itself: what is due happens, in order and at its own instant, before the next request is
looked at (`settle`). So a world costs nothing at rest, needs no task or thread, and runs in virtual time.
"""

import heapq
import itertools
import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from scaleway_simulator.addresses import AddressPool
from scaleway_simulator.calls import CallLog
from scaleway_simulator.clock import Clock, SystemClock, WorldTime
from scaleway_simulator.faults import FaultPlan
from scaleway_simulator.identity import Identity, key_from
from scaleway_simulator.records import (
    BlockVolume,
    FlexibleIp,
    Image,
    LocalVolume,
    PlacementGroup,
    Project,
    SecurityGroup,
    Server,
    Snapshot,
)
from scaleway_simulator.settings import Settings
from scaleway_simulator.shelf import Shelf


@dataclass(frozen=True, slots=True, order=True)
class Due:
    at_s: float
    order: int
    do: Callable[[], None]


class World:
    """Everything that exists, and what is about to happen to it."""

    def __init__(
        self, *, clock: Clock | None = None, settings: Settings | None = None, seed: int = 1
    ) -> None:
        self.clock: Clock = clock or SystemClock()
        self._first_settings = settings or Settings()
        self._seed = seed
        self.generation = 0
        """Grows with every reset; listeners of an older world close."""
        self._begin(self._first_settings)

    def _begin(self, settings: Settings) -> None:
        self.generation += 1
        self.settings = settings
        self.time = WorldTime(self.clock, speed=settings.speed)
        self.identity = Identity(is_open=settings.open)
        self.faults = FaultPlan()
        self.calls = CallLog()
        self.random = random.Random(self._seed)  # noqa: S311  # ids and addresses, repeatable on purpose
        self.addresses = AddressPool(
            answering_from=settings.answer_addresses_from, public=settings.public_addresses, draw=self.random
        )
        self.servers: Shelf[Server] = Shelf("instance_server", is_visible=self._is_visible)
        self.local_volumes: Shelf[LocalVolume] = Shelf("instance_volume")
        self.block_volumes: Shelf[BlockVolume] = Shelf("volume")
        self.block_snapshots: Shelf[Snapshot] = Shelf("snapshot")
        self.local_snapshots: Shelf[Snapshot] = Shelf("instance_snapshot")
        self.images: Shelf[Image] = Shelf("instance_image")
        self.ips: Shelf[FlexibleIp] = Shelf("instance_ip")
        self.security_groups: Shelf[SecurityGroup] = Shelf("instance_security_group")
        self.placement_groups: Shelf[PlacementGroup] = Shelf("instance_placement_group")
        self._due: list[Due] = []
        self._order = itertools.count()
        self._settled_s = 0.0
        self._in_step = False
        self._touched: set[str] | None = None

    def reset(self, description: dict[str, Any]) -> None:
        """Begin anew with `{projects, keys, faults, <settings>...}`; what is not named is as at the start.

        Raises:
            ValueError: the description is malformed; the world stays as it was.
        """
        settings = self._first_settings.changed(description)
        now = self.clock.now()
        keys = [key_from(item, now=now, seconds=0.0) for item in description.get("keys", ())]
        projects = [_project_from(item, now=now) for item in description.get("projects", ())]
        faults = FaultPlan.parse(description.get("faults", ()))
        self._begin(settings)
        for project in projects:
            self.identity.add_project(project)
        for key in keys:
            self.identity.project(key.project_id, now=now)
            self.identity.add_key(key)
        self.faults.add(faults, seconds=0.0)

    def change(self, description: dict[str, Any]) -> None:
        """Other durations, stock or quotas from here on. Speed is of a whole world: it takes a reset.

        Raises:
            ValueError: malformed, or speed.
        """
        if description.get("speed", self.settings.speed) != self.settings.speed:
            raise ValueError("speed: only a reset changes the speed of a world")
        self.settings = self.settings.changed(description)

    # time

    @property
    def seconds(self) -> float:
        """World seconds; inside a scheduled step, those at which it was due."""
        return self._settled_s if self._in_step else self.time.seconds()

    @property
    def now(self) -> datetime:
        return self.time.at(self.seconds)

    def later(self, delay_s: float, do: Callable[[], None]) -> None:
        """Have something happen so many world seconds from now; at once when there is no delay."""
        if delay_s <= 0:
            do()
            return
        heapq.heappush(self._due, Due(self.seconds + delay_s, next(self._order), do))

    def settle(self) -> None:
        """Let everything happen that is due by now."""
        until = self.time.seconds()
        while self._due and self._due[0].at_s <= until:
            step = heapq.heappop(self._due)
            self._settled_s, self._in_step = step.at_s, True
            try:
                step.do()
            finally:
                self._in_step = False

    def next_due_s(self) -> float | None:
        """World seconds until the next thing happens by itself; None when nothing will."""
        return max(0.0, self._due[0].at_s - self.time.seconds()) if self._due else None

    # guests: only a world somebody watches remembers what changed

    def watch_guests(self) -> None:
        self._touched = {s.id for s in self.servers}

    def touch(self, server: Server) -> None:
        """What this server answers, and where, may have changed."""
        if self._touched is not None:
            self._touched.add(server.id)

    def take_touched(self) -> frozenset[str]:
        found = frozenset(self._touched or ())
        if self._touched is not None:
            self._touched.clear()
        return found

    # identity and chance

    def new_id(self) -> str:
        return str(uuid.UUID(int=self.random.getrandbits(128), version=4))

    def new_mac(self, *, prefix: str) -> str:
        return prefix + ":" + ":".join(f"{self.random.randrange(256):02x}" for _ in range(3))

    def organization_of(self, project_id: str) -> str:
        return self.identity.organization_of(project_id, now=self.now)

    def projects_seen(self, may_see: Callable[[str], bool]) -> list[str]:
        return [p for p in self.identity.projects if may_see(p)]

    def _is_visible(self, server: Server) -> bool:
        return server.visible_at_s <= self.seconds


def _project_from(description: Any, *, now: datetime) -> Project:
    if not isinstance(description, dict) or not isinstance(description.get("id"), str):
        raise ValueError("project: an object with a string id")  # noqa: TRY004  # one error type for bad input
    project_id = description["id"]
    return Project(
        id=project_id,
        organization_id=description.get("organization_id") or project_id,
        name=description.get("name", "default"),
        created_at=now,
    )

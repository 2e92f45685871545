"""The five-minute look that does not trust the watches.

Kopf loses deletions across a re-list, retries a lost permission for ever while looking healthy, and goes
blind without an error when an etcd restore puts revisions back. So everything is listed through our own
client, metadata only, and put on the queue; and:

- a list below the highest resourceVersion seen: etcd was put back; the process must start anew (`Fatal`);
- one of the three kinds no longer served: `Fatal`;
- 403: readiness fails and names the rule; the next look may be better;
- an object of the last list that is missing now: its key is queued too, so that its absence is confirmed.
"""

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from inventiv_operator.kube.client import ObjectList
from inventiv_operator.kube.errors import Forbidden, KubeError
from inventiv_operator.kube.kinds import CREDENTIAL_SECRET_SELECTOR, NAMESPACE, OURS, SECRET, Kind
from inventiv_operator.runtime.clock import Clock
from inventiv_operator.runtime.health import Health
from inventiv_operator.runtime.queue import Key, Lane

logger = logging.getLogger(__name__)

CRDS = "crds"
RBAC = "rbac"
RELIST_S = 300.0
RETRY_S = 15.0
"""After a look that could not be finished."""
CRD_WAIT_S = 3.0
SPREAD_S = 60.0
"""Over which the refreshes of one list are strewn: ten thousand at once would be a wave."""
_LISTED: tuple[tuple[Kind, str | None], ...] = (
    *((kind, None) for kind in OURS),
    (SECRET, CREDENTIAL_SECRET_SELECTOR),
    (NAMESPACE, None),
)


class Fatal(Exception):
    """Only a new process helps: exit 1 with this text."""


class Lister(Protocol):
    """The part of `KubeClient` that is needed here."""

    async def missing_crds(self) -> tuple[str, ...]: ...

    async def list(
        self,
        kind: Kind,
        *,
        namespace: str | None = None,
        label_selector: str | None = None,
        metadata_only: bool = False,
    ) -> ObjectList: ...


class Enqueue(Protocol):
    """`WorkQueue.add` fits."""

    def __call__(self, key: Key, *, lane: Lane = Lane.REFRESH, after_s: float = 0.0) -> object: ...


@dataclass(slots=True)
class _Known:
    """What the last list of one kind said."""

    keys: frozenset[Key] = frozenset()
    highest_version: int = 0


class Relister:
    def __init__(self, *, client: Lister, enqueue: Enqueue, health: Health, clock: Clock) -> None:
        """Keeps the readiness checks `crds` and `rbac` of `health`."""
        self._client = client
        self._enqueue = enqueue
        self._health = health
        self._clock = clock
        self._known = {kind.plural: _Known() for kind, _ in _LISTED}
        self._has_looked = False
        self._hurried = asyncio.Event()

    async def wait_for_crds(self) -> None:
        """Return when the API server serves the three kinds; before, Kopf would never see them."""
        said = ""
        while True:
            try:
                missing = await self._client.missing_crds()
            except KubeError as error:
                reason = str(error)
            else:
                if not missing:
                    self._health.ok(CRDS)
                    return
                reason = f"waiting for the custom resources {', '.join(missing)}: apply crds/"
            self._health.fail(CRDS, reason)
            if reason != said:
                logger.warning("not ready yet", extra={"reason": reason})
                said = reason
            await self._clock.sleep(CRD_WAIT_S)

    def hurry(self) -> None:
        """Have `run` look at once, and put everything on the queue without strewing it."""
        self._hurried.set()

    def living(self) -> frozenset[Key] | None:
        """Every object of the last lists; None before the first complete look."""
        if not self._has_looked:
            return None
        return frozenset().union(*(known.keys for known in self._known.values()))

    async def run(self) -> None:
        """Look now and then every five minutes.

        Raises:
            Fatal: see the module.
        """
        spread_s = SPREAD_S
        while True:
            if self._hurried.is_set():
                self._hurried.clear()
                spread_s = 0.0
            is_complete = await self.look(spread_s=spread_s)
            if is_complete:
                spread_s = SPREAD_S
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RELIST_S if is_complete else RETRY_S):
                    await self._hurried.wait()

    async def look(self, *, spread_s: float = SPREAD_S) -> bool:
        """One round; False when it could not be finished, which `rbac` explains when it is about rights."""
        lacking: list[str] = []
        try:
            if missing := await self._missing_for_good():
                raise Fatal(f"the custom resources {', '.join(missing)} are no longer served")
            self._health.ok(CRDS)
            for kind, selector in _LISTED:
                try:
                    await self._look_at(kind, selector, spread_s=spread_s)
                except Forbidden as error:  # the other kinds are looked at all the same
                    lacking.append(error.rule)
        except KubeError as error:
            logger.warning("the periodic look at the API server failed", extra={"error": str(error)})
            return False
        if lacking:
            reason = f"the operator's role lacks: {'; '.join(lacking)}"
            logger.error("permissions are missing", extra={"reason": reason})
            self._health.fail(RBAC, reason)
            return False
        self._health.ok(RBAC)
        self._has_looked = True
        return True

    async def _missing_for_good(self) -> tuple[str, ...]:
        """A server that has just started may not serve them yet: what is missing is looked for once more."""
        if not await self._client.missing_crds():
            return ()
        await self._clock.sleep(CRD_WAIT_S)
        return await self._client.missing_crds()

    async def _look_at(self, kind: Kind, selector: str | None, *, spread_s: float) -> None:
        listed = await self._client.list(kind, label_selector=selector, metadata_only=True)
        known = self._known[kind.plural]
        version = int(listed.resource_version) if listed.resource_version.isdigit() else 0
        if 0 < version < known.highest_version:
            raise Fatal(
                f"{kind.plural} were listed at resourceVersion {version}, below {known.highest_version} seen "
                "before: etcd was put back, and watches that started later see nothing"
            )
        keys = {_key_of(kind, item): item for item in listed.items}
        for key in known.keys - keys.keys():
            self._enqueue(key, lane=Lane.DELETE)
        for place, (key, item) in enumerate(keys.items()):
            if item["metadata"].get("deletionTimestamp"):
                self._enqueue(key, lane=Lane.DELETE)
            else:
                self._enqueue(key, lane=Lane.REFRESH, after_s=spread_s * place / len(keys))
        self._known[kind.plural] = _Known(
            keys=frozenset(keys), highest_version=max(version, known.highest_version)
        )


def _key_of(kind: Kind, body: Mapping[str, Any]) -> Key:
    metadata = body["metadata"]
    return Key(kind.kind, str(metadata.get("namespace") or ""), str(metadata["name"]))

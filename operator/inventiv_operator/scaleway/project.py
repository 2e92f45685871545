"""What the groups of calls have in common: one caller, its shared listings, and how answers become values."""

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Self, TypeVar

from inventiv_operator.domain.ids import ProviderRef, Zone
from inventiv_operator.scaleway.caller import Caller, Reply, segment
from inventiv_operator.scaleway.errors import RateLimited, Unavailable, Withdrawn
from inventiv_operator.scaleway.listings import Listings
from inventiv_operator.scaleway.shapes import BadShape
from inventiv_operator.scaleway.sharing import Owned, SharedListing, Tasks

SeenT = TypeVar("SeenT", bound=Owned)


class ProjectCalls:
    """Base of the groups of calls; `ScalewayClient` puts them together."""

    def __init__(self, caller: Caller, *, tasks: Tasks) -> None:
        self._caller = caller
        self._tasks = tasks
        self._listings = Listings(caller, tasks)

    def under(self, may_write: Callable[[], object]) -> Self:
        """The same client, with the same shared listings; what it would change is asked of `may_write` when
        its call leaves, which raises when that may not be.
        """
        bound = copy.copy(self)
        bound._caller = self._caller.under(may_write)  # noqa: SLF001 (of this class)
        return bound

    async def _in_zone(
        self,
        method: str,
        template: str,
        zone: Zone,
        *,
        what: str,
        ref: str = "",
        content: object = None,
        text: str | None = None,
        send_before: datetime | None = None,
    ) -> Reply:
        """One call about a thing in a zone, or about the zone itself."""
        path = template.replace("{zone}", segment(zone, what="zone"))
        if ref:
            path = path.replace("{id}", segment(ref, what="id"))
        return await self._caller.call(
            method,
            template,
            path,
            what=what,
            content=content,
            text=text,
            asked_ref=ref,
            send_before=send_before,
        )

    def _seen(
        self,
        parse: Callable[[Mapping[str, Any]], SeenT],
        reply: Reply,
        *,
        method: str,
        what: str,
        envelope: str = "",
        asked_ref: str = "",
    ) -> SeenT:
        """What an answer is about: of the own project, and with the id that was asked for."""

        def whole(content: Any) -> SeenT:
            raw = content.get(envelope) if envelope and isinstance(content, dict) else content
            if not isinstance(raw, dict):
                raise BadShape(f"{envelope or 'the answer'} is no object")
            seen = parse(raw)
            if asked_ref and seen.ref.lower() != asked_ref.lower():
                raise BadShape("it is about another id")
            return seen

        seen = self._caller.understood(whole, reply.content, method=method, what=what)
        self._caller.own(seen.project_id, what=what)
        return seen

    @contextmanager
    def _writing(
        self,
        listing: SharedListing[SeenT],
        ref: ProviderRef,
        *,
        change: Callable[[SeenT], SeenT] | None = None,
    ) -> Iterator[None]:
        """However the write ends, listings that began before it do not show what may be different now.

        `change` is what an accepted write makes of the thing.
        """
        try:
            yield
        except (RateLimited, Unavailable, Withdrawn):
            raise  # nothing was done
        except BaseException:
            listing.changed(ref, None, at_s=self._caller.clock.monotonic())
            raise
        listing.changed(ref, change, at_s=self._caller.clock.monotonic())

    def _wrote(self, listing: SharedListing[SeenT], seen: SeenT) -> SeenT:
        """The answer to a write of ours is what the next reader sees."""
        listing.saw(seen, as_of_s=self._caller.clock.monotonic())
        return seen

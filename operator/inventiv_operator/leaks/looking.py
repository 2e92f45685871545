"""Every list of one project, in every zone that it may have something in."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from inventiv_operator.domain.cloud import Listing, VolumeApi
from inventiv_operator.domain.ids import Zone
from inventiv_operator.domain.leaks import Listed, ListName
from inventiv_operator.domain.ledger import ResourceKind
from inventiv_operator.domain.sight import Unknown
from inventiv_operator.runtime.clock import Clock
from inventiv_operator.scaleway.client import ScalewayClient
from inventiv_operator.scaleway.errors import NotFound, NotOffered, ScalewayError

REFUSED: Final = frozenset({"CredentialRejected", "CredentialExpired"})
"""Of a key that no zone will take."""


@dataclass(frozen=True, slots=True)
class _NotOffered:
    """The provider says that there is no such list here."""

    message: str


@dataclass(slots=True)
class Looked:
    """`refused`: the key is not taken at all, and nothing else was asked. A list that a zone does not have is
    in neither of the two.
    """

    listed: dict[ListName, Listed] = field(default_factory=dict)
    unlisted: dict[ListName, Unknown] = field(default_factory=dict)
    refused: Unknown | None = None


async def look(client: ScalewayClient, zones: Sequence[Zone], *, clock: Clock) -> Looked:
    """One zone first: a key that is refused there is not tried in the others. Never raises a
    `ScalewayError`.
    """
    found = Looked()
    if not zones:
        return found
    await _look_in(client, zones[0], clock=clock, found=found)
    unlisted = list(found.unlisted.values())
    if not found.listed and unlisted and all(why.reason in REFUSED for why in unlisted):
        return Looked(refused=unlisted[0])
    await asyncio.gather(*(_look_in(client, zone, clock=clock, found=found) for zone in zones[1:]))
    return found


async def _look_in(client: ScalewayClient, zone: Zone, *, clock: Clock, found: Looked) -> None:
    names = [ListName(zone, kind, api) for kind, api in _asks(client)]
    answers = await asyncio.gather(
        *(_list(partial(ask, zone, max_age_s=0.0), clock=clock) for ask in _asks(client).values())
    )
    servers_answered = isinstance(answers[0], Listed)
    absent_is_known = servers_answered or (
        isinstance(answers[0], _NotOffered) and not await _is_zone(client, zone)
    )
    for name, answer in zip(names, answers, strict=True):
        match answer:
            case Listed():
                found.listed[name] = answer
            case Unknown():
                found.unlisted[name] = answer
            case _NotOffered() if not absent_is_known:
                # A project that the key does not see is a 404 as well.
                found.unlisted[name] = Unknown(reason="ProviderUnreachable", message=answer.message)


def _asks(
    client: ScalewayClient,
) -> dict[tuple[ResourceKind, VolumeApi | None], Callable[..., Awaitable[Listing[Any]]]]:
    """Servers first: where they are listed, key and project are fine."""
    return {
        (ResourceKind.SERVER, None): client.servers,
        (ResourceKind.VOLUME, VolumeApi.BLOCK): client.volumes,
        (ResourceKind.VOLUME, VolumeApi.INSTANCE): client.local_volumes,
        (ResourceKind.ADDRESS, None): client.addresses,
        (ResourceKind.SECURITY_GROUP, None): client.security_groups,
    }


async def _list(
    ask: Callable[[], Awaitable[Listing[Any]]], *, clock: Clock
) -> Listed | Unknown | _NotOffered:
    listed_at = clock.now()
    try:
        listing = await ask()
    except NotOffered as error:
        return _NotOffered(str(error))
    except ScalewayError as error:
        return Unknown(reason=error.reason, message=str(error))
    return Listed(listed_at=listed_at, items=listing.items)


async def _is_zone(client: ScalewayClient, zone: Zone) -> bool:
    """By the catalog, which is about no project. An error says nothing, so it counts as one."""
    try:
        await client.server_types(zone)
    except NotFound:
        return False
    except ScalewayError:
        return True
    return True

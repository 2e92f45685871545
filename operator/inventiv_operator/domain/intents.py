"""When an intent whose outcome is unknown may be sent again, and which find belongs to it.

A create has no idempotency key (api.md 3.2). It leaves at most once per recorded attempt: `send_before` is
checked immediately before the request, and nobody may call the intent absent before `send_before`, the
client's time-out and the settling time have passed *and* a complete listing that began later does not show
it.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from inventiv_operator.domain.ids import ProviderRef
from inventiv_operator.domain.ledger import Resource

INSTANCE_TAG = "inventiv-instance"
DEPLOYMENT_TAG = "inventiv-deployment"
ORGANIZATION_TAG = "inventiv-organization"
INSTALLATION_TAG = "inventiv-installation"
ATTEMPT_TAG = "inventiv-attempt"
RESOURCE_TAG = "inventiv-resource"

CLOCK_SKEW = timedelta(seconds=60)
"""How far the provider's clock may be behind ours when creation times are compared."""
GROSS_SKEW = timedelta(hours=1)
"""The same where the attempt tag is a proof already, and the age only tells an old server that somebody gave
our tags.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How long a create may be on its way. Seconds."""

    send_window_s: float
    provider_timeout_s: float
    settle_s: float


class Tagged(Protocol):
    """Anything that a create call makes."""

    @property
    def ref(self) -> ProviderRef: ...
    @property
    def tags(self) -> tuple[str, ...]: ...
    @property
    def created_at(self) -> datetime | None: ...


def settled_at(row: Resource, *, timing: Timing) -> datetime | None:
    """From when on a complete listing without it proves that the create did nothing; None: it was never
    sent.
    """
    if row.send_before is None:
        return None
    return row.send_before + timedelta(seconds=timing.provider_timeout_s + timing.settle_s)


def is_settled(row: Resource, *, listed_at: datetime | None, timing: Timing) -> bool:
    """Whether a listing that began at `listed_at` settles the question for this intent."""
    due = settled_at(row, timing=timing)
    return due is None or (listed_at is not None and listed_at >= due)


def carries_attempt(seen: Tagged, row: Resource) -> bool:
    """Whether one of the attempts that we sent for this row made it: a random value that only our POST
    knew.
    """
    return any(f"{ATTEMPT_TAG}={attempt}" in seen.tags for attempt in row.attempts)


def born_after_intent(seen: Tagged, row: Resource, *, skew: timedelta = CLOCK_SKEW) -> bool:
    """An object older than the intent cannot come from it; two clocks are compared here."""
    return seen.created_at is None or seen.created_at >= row.created_at - skew

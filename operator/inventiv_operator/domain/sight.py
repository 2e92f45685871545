"""What is known of one thing at the provider. "Not known" is a fact of its own, so that it is never read as
"gone".
"""

from dataclasses import dataclass
from typing import Generic, TypeVar

SeenT = TypeVar("SeenT")


@dataclass(frozen=True, slots=True)
class Listed(Generic[SeenT]):
    """It is there: in a complete listing, or in the answer for its own id."""

    seen: SeenT


@dataclass(frozen=True, slots=True)
class NotListed:
    """A complete listing does not show it. A hint and no proof: ask for the id itself."""


@dataclass(frozen=True, slots=True)
class Gone:
    """A 404 for this very id, and the positive control of its zone held (L1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """401, 403, 429, 5xx, a time-out, a partial listing, a control that failed: nothing may be concluded."""

    reason: str
    message: str = ""

"""What has been set on a thing at the provider, as kept in `prepared_hash` of its ledger row.

The ledger says what we set, not what a listing shows: a tenant may edit tags in its own project, and the
operator does not fight with it over them. Only a change of the spec sets them again.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

OURS = "inventiv-"
"""Prefix of the tags that only we set; a tenant's own may not begin with it."""
DEFAULT_IOPS = 5000
"""What a block volume is born with (`sbs_5k`)."""


def tags_digest(tags: Iterable[str]) -> str:
    """Of the tenant's tags; ours are left out, their order does not matter."""
    text = "\n".join(sorted(tag for tag in tags if not tag.startswith(OURS)))
    return sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeSettings:
    """What was set on a volume. `size_gb` None: nobody knows it yet (the image's minimum)."""

    tags: str  # digest
    iops: int
    size_gb: int | None

    def text(self) -> str:
        """For `prepared_hash`."""
        return f"{self.tags}/{self.iops}/{'' if self.size_gb is None else self.size_gb}"


def volume_settings(prepared_hash: str) -> VolumeSettings | None:
    """From `prepared_hash`; None: nothing was set, or an older release wrote something else there."""
    parts = prepared_hash.split("/")
    if len(parts) != 3 or not parts[1].isdigit() or not (parts[2].isdigit() or not parts[2]):  # noqa: PLR2004
        return None
    return VolumeSettings(tags=parts[0], iops=int(parts[1]), size_gb=int(parts[2]) if parts[2] else None)

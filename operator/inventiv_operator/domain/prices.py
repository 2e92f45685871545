"""Prices of storage and addresses, which no call of the API tells; those of servers are in the catalog.

A price that is not known is `None`, never zero: what costs nothing says so.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Final

from inventiv_operator.domain.cloud import (
    GB,
    STOPPED,
    SeenAddress,
    SeenSecurityGroup,
    SeenServer,
    SeenVolume,
    ServerType,
    VolumeApi,
)
from inventiv_operator.domain.ids import Zone

FREE: Final = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ZonePrices:
    """EUR per hour, storage per GB (10^9 bytes) and hour. `zones` are globs such as `fr-par-*`."""

    zones: tuple[str, ...]
    block_gb: Mapping[int, Decimal] = field(default_factory=dict)  # by iops
    local_gb: Decimal | None = None
    ipv4: Decimal | None = None
    ipv6: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceList:
    """For each thing the first entry counts that has its zone and its price."""

    dated: date
    source: str
    entries: tuple[ZonePrices, ...]

    def of_volume(self, zone: Zone, volume: SeenVolume) -> Decimal | None:
        def per_gb(entry: ZonePrices) -> Decimal | None:
            if volume.api is not VolumeApi.BLOCK:
                return entry.local_gb
            return None if volume.perf_iops is None else entry.block_gb.get(volume.perf_iops)

        price = self._first(zone, per_gb)
        return None if price is None else price * volume.size_bytes / GB

    def of_address(self, zone: Zone, address: SeenAddress) -> Decimal | None:
        is_v6 = ":" in address.address
        return self._first(zone, lambda entry: entry.ipv6 if is_v6 else entry.ipv4)

    def _first(self, zone: Zone, price_of: Callable[[ZonePrices], Decimal | None]) -> Decimal | None:
        for entry in self.entries:
            if any(fnmatchcase(zone, pattern) for pattern in entry.zones):
                price = price_of(entry)
                if price is not None:
                    return price
        return None


BUILT_IN: Final = PriceList(
    dated=date(2026, 9, 26),
    source="https://www.scaleway.com/en/pricing/storage/ and https://www.scaleway.com/en/pricing/network/",
    entries=(
        # As published for the region of Paris. Other regions, local storage and IPv6: not known.
        ZonePrices(zones=("fr-par-*",), block_gb={5000: Decimal("0.000130"), 15_000: Decimal("0.000177")}),
        ZonePrices(zones=("*",), ipv4=Decimal("0.005")),
    ),
)


def cost_of(
    seen: SeenServer | SeenVolume | SeenAddress | SeenSecurityGroup,
    zone: Zone,
    *,
    prices: PriceList,
    types: Mapping[str, ServerType] | None,
) -> Decimal | None:
    """EUR per hour; None: not known. `types` is the catalog of the zone, None: it could not be read.

    A server that is powered off costs nothing itself; in any other state, also one that nobody has heard of,
    it is billed. Its dynamic address is no object and is not counted.
    """
    match seen:
        case SeenServer():
            if seen.state == STOPPED:
                return FREE
            found = None if types is None else types.get(seen.commercial_type)
            return None if found is None else found.price_eur_per_hour
        case SeenVolume():
            return prices.of_volume(zone, seen)
        case SeenAddress():
            return prices.of_address(zone, seen)
        case SeenSecurityGroup():
            return FREE

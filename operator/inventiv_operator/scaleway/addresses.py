"""Flexible IPs (instance v1): reading only, until reserved addresses are supported."""

from typing import Final

from inventiv_operator.domain.cloud import Listing, SeenAddress
from inventiv_operator.domain.ids import ProviderRef, Zone
from inventiv_operator.scaleway import shapes
from inventiv_operator.scaleway.listings import ADDRESSES
from inventiv_operator.scaleway.project import ProjectCalls

ONE: Final = "/instance/v1/zones/{zone}/ips/{id}"


class AddressCalls(ProjectCalls):
    """What can be asked of flexible IPs. A server's dynamic address is none (api.md 5)."""

    async def addresses(self, zone: Zone, *, max_age_s: float) -> Listing[SeenAddress]:
        """As `ServerCalls.servers`."""
        return await self._listings.of(ADDRESSES, zone).get(max_age_s=max_age_s)

    async def get_address(self, zone: Zone, ref: ProviderRef) -> SeenAddress:
        """Raises NotFound: gone, if the positive control holds (L1)."""
        what = f"read address {ref} in {zone}"
        reply = await self._in_zone("GET", ONE, zone, what=what, ref=ref)
        return self._seen(shapes.address, reply, method="GET", what=what, envelope="ip", asked_ref=ref)

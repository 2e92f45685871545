"""Volumes: block v1 for `sbs_volume`, instance v1 for `l_ssd` and `scratch`. Each API answers 404 for the
other's.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from inventiv_operator.domain.cloud import Listing, SeenVolume, VolumeApi
from inventiv_operator.domain.ids import ProviderRef, Zone
from inventiv_operator.scaleway import shapes
from inventiv_operator.scaleway.listings import BLOCK_VOLUMES, LOCAL_VOLUMES
from inventiv_operator.scaleway.project import ProjectCalls
from inventiv_operator.scaleway.sharing import SharedListing

BLOCK_ONE: Final = "/block/v1/zones/{zone}/volumes/{id}"
LOCAL_ONE: Final = "/instance/v1/zones/{zone}/volumes/{id}"


class VolumeCalls(ProjectCalls):
    """What can be asked of volumes."""

    async def volumes(self, zone: Zone, *, max_age_s: float) -> Listing[SeenVolume]:
        """Block volumes; as `ServerCalls.servers`. A zone without block storage is `Unavailable`."""
        return await self._listings.of(BLOCK_VOLUMES, zone).get(max_age_s=max_age_s)

    async def local_volumes(self, zone: Zone, *, max_age_s: float) -> Listing[SeenVolume]:
        """Local and scratch volumes; as `ServerCalls.servers`."""
        return await self._listings.of(LOCAL_VOLUMES, zone).get(max_age_s=max_age_s)

    async def get_volume(self, zone: Zone, ref: ProviderRef, *, api: VolumeApi) -> SeenVolume:
        """Raises NotFound: gone, if the positive control holds (L1) and `api` is the volume's own."""
        what = f"read volume {ref} in {zone}"
        reply = await self._in_zone("GET", _template(api), zone, what=what, ref=ref)
        seen = self._seen_volume(reply, api, method="GET", what=what, ref=ref)
        self._listing(zone, api).saw(seen, as_of_s=reply.sent_s)
        return seen

    async def tag_volume(
        self, zone: Zone, ref: ProviderRef, *, api: VolumeApi, tags: Sequence[str]
    ) -> SeenVolume:
        """Replace all tags. Raises Precondition or InvalidArguments in transition: later again."""
        return await self._patch(zone, ref, api, {"tags": list(tags)}, what=f"tag volume {ref} in {zone}")

    async def set_volume_iops(self, zone: Zone, ref: ProviderRef, iops: int) -> SeenVolume:
        """Block volumes, 5000 or 15000. Refused while it is in transition (api.md 3.2)."""
        what = f"set volume {ref} in {zone} to {iops} iops"
        return await self._patch(zone, ref, VolumeApi.BLOCK, {"perf_iops": iops}, what=what)

    async def resize_volume(self, zone: Zone, ref: ProviderRef, *, size_bytes: int) -> SeenVolume:
        """Block volumes, only larger."""
        what = f"resize volume {ref} in {zone} to {size_bytes} bytes"
        return await self._patch(zone, ref, VolumeApi.BLOCK, {"size": size_bytes}, what=what)

    async def _patch(
        self, zone: Zone, ref: ProviderRef, api: VolumeApi, content: Mapping[str, object], *, what: str
    ) -> SeenVolume:
        listing = self._listing(zone, api)
        with self._writing(listing, ref):
            reply = await self._in_zone("PATCH", _template(api), zone, what=what, ref=ref, content=content)
        return self._wrote(listing, self._seen_volume(reply, api, method="PATCH", what=what, ref=ref))

    async def delete_volume(self, zone: Zone, ref: ProviderRef, *, api: VolumeApi) -> None:
        """Once it is available; gone when a read says 404.

        Raises:
            NotFound: gone, if the positive control holds (L1).
            Precondition, Conflict, InvalidArguments: still attached or in transition.
        """
        what = f"delete volume {ref} in {zone}"
        with self._writing(self._listing(zone, api), ref):
            await self._in_zone("DELETE", _template(api), zone, what=what, ref=ref)

    def _listing(self, zone: Zone, api: VolumeApi) -> SharedListing[SeenVolume]:
        return self._listings.of(BLOCK_VOLUMES if api == VolumeApi.BLOCK else LOCAL_VOLUMES, zone)

    def _seen_volume(
        self, reply: Any, api: VolumeApi, *, method: str, what: str, ref: ProviderRef
    ) -> SeenVolume:
        if api == VolumeApi.BLOCK:
            return self._seen(shapes.block_volume, reply, method=method, what=what, asked_ref=ref)
        return self._seen(
            shapes.local_volume, reply, method=method, what=what, envelope="volume", asked_ref=ref
        )


def _template(api: VolumeApi) -> str:
    return BLOCK_ONE if api == VolumeApi.BLOCK else LOCAL_ONE

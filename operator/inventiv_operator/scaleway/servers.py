"""Servers (instance v1): one method per call, none of which is ever repeated here."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from inventiv_operator.domain.cloud import (
    STARTING,
    STOPPING,
    Listing,
    NewServer,
    SeenServer,
    ServerState,
)
from inventiv_operator.domain.ids import ProviderRef, Zone
from inventiv_operator.scaleway import shapes
from inventiv_operator.scaleway.errors import ImageNotFound, NotFound
from inventiv_operator.scaleway.listings import SERVERS
from inventiv_operator.scaleway.project import ProjectCalls

ALL: Final = "/instance/v1/zones/{zone}/servers"
ONE: Final = f"{ALL}/{{id}}"
ACTION: Final = f"{ONE}/action"
CLOUD_INIT: Final = f"{ONE}/user_data/cloud-init"
DETACH_VOLUME: Final = f"{ONE}/detach-volume"


class ServerCalls(ProjectCalls):
    """What can be asked of servers."""

    async def servers(self, zone: Zone, *, max_age_s: float) -> Listing[SeenServer]:
        """The project's servers in a zone, shared by all who ask; its reading began at most `max_age_s` ago.

        A server of which we wrote something since is shown as the answer had it, or not at all: not listed is
        no proof.

        Raises:
            Unavailable: no complete listing could be had.
        """
        return await self._listings.of(SERVERS, zone).get(max_age_s=max_age_s)

    async def get_server(self, zone: Zone, ref: ProviderRef) -> SeenServer:
        """Raises NotFound: gone, if the positive control holds (L1); ForeignProject: another's."""
        what = f"read server {ref} in {zone}"
        reply = await self._in_zone("GET", ONE, zone, what=what, ref=ref)
        seen = self._seen(shapes.server, reply, method="GET", what=what, envelope="server", asked_ref=ref)
        self._listings.of(SERVERS, zone).saw(seen, as_of_s=reply.sent_s)
        return seen

    async def create_server(self, zone: Zone, new: NewServer, *, send_before: datetime) -> SeenServer:
        """Make a stopped server; the answer names its volumes, whose ids are to be written down at once.

        Server tags do not reach the volumes (api.md 3.2). Answers took up to 28 s.

        Raises:
            SendWindowClosed: its turn came after `send_before`; nothing was sent.
            Ambiguous: it may have been made, also after a 500 (seen): look for its tags, settle, look again.
            ImageNotFound, OutOfStock, QuotaExceeded, InvalidArguments, Denied: nothing was made.
            NotFound: the security group is gone; nothing was made.
        """
        what = f"create server {new.name} in {zone}"
        try:
            reply = await self._in_zone(
                "POST", ALL, zone, what=what, content=self._new_server(new), send_before=send_before
            )
        except NotFound as error:
            if error.resource == "instance_image":
                raise ImageNotFound(str(error), request_id=error.request_id) from error
            raise
        seen = self._seen(shapes.server, reply, method="POST", what=what, envelope="server")
        return self._wrote(self._listings.of(SERVERS, zone), seen)

    def _new_server(self, new: NewServer) -> dict[str, object]:
        root: dict[str, object] = {"volume_type": new.root_volume_type}
        if new.root_size_bytes is not None:
            root["size"] = new.root_size_bytes
        return {
            "name": new.name,
            "commercial_type": new.commercial_type,
            "project": self._caller.project_id,
            "image": new.image_ref,
            "boot_type": "local",
            "dynamic_ip_required": new.dynamic_ip,
            "security_group": new.security_group_ref,
            "tags": list(new.tags),
            # A root without a size is left to the image: the API's own default is that of the image's
            # storage.
            "volumes": {"0": root} if new.root_size_bytes is not None else {"0": {"boot": False}},
        }

    async def set_cloud_init(self, zone: Zone, ref: ProviderRef, text: str) -> None:
        """Before the first power-on; may be repeated. Readable inside the machine without credentials."""
        what = f"set the cloud-init of server {ref} in {zone}"
        await self._in_zone("PATCH", CLOUD_INIT, zone, what=what, ref=ref, text=text)

    async def set_server_tags(self, zone: Zone, ref: ProviderRef, tags: Sequence[str]) -> SeenServer:
        """Replaces all tags."""
        what = f"tag server {ref} in {zone}"
        listing = self._listings.of(SERVERS, zone)
        with self._writing(listing, ref):
            reply = await self._in_zone("PATCH", ONE, zone, what=what, ref=ref, content={"tags": list(tags)})
        seen = self._seen(shapes.server, reply, method="PATCH", what=what, envelope="server", asked_ref=ref)
        return self._wrote(listing, seen)

    async def power_on(self, zone: Zone, ref: ProviderRef) -> None:
        """Accepted is not started: poll the server, its task is a fake (api.md 2).

        Raises:
            Precondition: it is not stopped (any more): read it again.
            OutOfStock: at create it had stock, now it has none.
            Ambiguous: it may be starting.
        """
        what = f"power on server {ref} in {zone}"
        await self._action(zone, ref, "poweron", what=what, becomes=STARTING)

    async def terminate(self, zone: Zone, ref: ProviderRef) -> None:
        """Ask for the end of a running or standby server; it is gone when a read says 404, not before.

        On the way it may read as `stopped` for seconds: do not power it on. Block volumes and reserved
        addresses survive it, attached local disks do not: detach what is not ours before.

        Raises:
            NotFound: gone, if the positive control holds (L1).
            Precondition: protected, or stopped; read it again before the next step.
            Ambiguous: it may be under way.
        Source: api.md 3.3 and 3.4 (median 5 s, longest seen 123 s).
        """
        what = f"terminate server {ref} in {zone}"
        await self._action(zone, ref, "terminate", what=what, becomes=STOPPING)

    async def _action(
        self, zone: Zone, ref: ProviderRef, action: str, *, what: str, becomes: ServerState
    ) -> None:
        """A 202 is followed by this state (api.md 3.3); until a newer listing says so, this one does."""

        def change(seen: SeenServer) -> SeenServer:
            return replace(seen, state=becomes, state_detail="")

        with self._writing(self._listings.of(SERVERS, zone), ref, change=change):
            await self._in_zone("POST", ACTION, zone, what=what, ref=ref, content={"action": action})

    async def delete_server(self, zone: Zone, ref: ProviderRef) -> None:
        """Of a stopped server only. All its volumes survive, local ones too (api.md 3.4).

        Raises:
            Precondition: it is not stopped.
        """
        what = f"delete server {ref} in {zone}"
        with self._writing(self._listings.of(SERVERS, zone), ref):
            await self._in_zone("DELETE", ONE, zone, what=what, ref=ref)

    async def detach_volume(self, zone: Zone, server_ref: ProviderRef, volume_ref: ProviderRef) -> None:
        """Gone from the server at once; its own API may say `detaching` for a minute (api.md 4.2).

        Raises:
            InvalidArguments: it is not attached to this server.
        """
        what = f"detach volume {volume_ref} from server {server_ref} in {zone}"
        content = {"volume_id": volume_ref}
        with self._writing(self._listings.of(SERVERS, zone), server_ref):
            await self._in_zone("POST", DETACH_VOLUME, zone, what=what, ref=server_ref, content=content)

"""Security groups (instance v1). The project's default group is a positive control and never edited."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from inventiv_operator.domain.cloud import IngressRule, Listing, SeenSecurityGroup
from inventiv_operator.domain.ids import ProviderRef, Zone
from inventiv_operator.scaleway import shapes
from inventiv_operator.scaleway.listings import SECURITY_GROUPS
from inventiv_operator.scaleway.project import ProjectCalls

ALL: Final = "/instance/v1/zones/{zone}/security_groups"
ONE: Final = f"{ALL}/{{id}}"
RULES: Final = f"{ONE}/rules"


class SecurityGroupCalls(ProjectCalls):
    """What can be asked of security groups."""

    async def security_groups(self, zone: Zone, *, max_age_s: float) -> Listing[SeenSecurityGroup]:
        """As `ServerCalls.servers`."""
        return await self._listings.of(SECURITY_GROUPS, zone).get(max_age_s=max_age_s)

    async def default_security_group(self, zone: Zone) -> SeenSecurityGroup | None:
        """The group that Scaleway makes by itself per project and zone, some time; None: a complete listing
        has none.
        """
        listing = await self.security_groups(zone, max_age_s=0.0)
        return next((seen for seen in listing.items.values() if seen.project_default), None)

    async def get_security_group(self, zone: Zone, ref: ProviderRef) -> SeenSecurityGroup:
        """Raises NotFound: gone, if the positive control holds (L1)."""
        what = f"read security group {ref} in {zone}"
        reply = await self._in_zone("GET", ONE, zone, what=what, ref=ref)
        seen = self._seen(
            shapes.security_group, reply, method="GET", what=what, envelope="security_group", asked_ref=ref
        )
        self._listings.of(SECURITY_GROUPS, zone).saw(seen, as_of_s=reply.sent_s)
        return seen

    async def create_security_group(
        self, zone: Zone, *, name: str, tags: Sequence[str], send_before: datetime
    ) -> SeenSecurityGroup:
        """Stateful, everything inbound dropped, everything outbound accepted but mail (Scaleway's own six
        rules).

        Raises:
            SendWindowClosed, Ambiguous: as `ServerCalls.create_server`.
        """
        what = f"create security group {name} in {zone}"
        content = {
            "name": name,
            "project": self._caller.project_id,
            "tags": list(tags),
            "stateful": True,
            "inbound_default_policy": "drop",
            "outbound_default_policy": "accept",
            "enable_default_security": True,
        }
        reply = await self._in_zone("POST", ALL, zone, what=what, content=content, send_before=send_before)
        seen = self._seen(shapes.security_group, reply, method="POST", what=what, envelope="security_group")
        return self._wrote(self._listings.of(SECURITY_GROUPS, zone), seen)

    async def set_security_group_rules(
        self, zone: Zone, ref: ProviderRef, rules: Sequence[IngressRule]
    ) -> None:
        """Replaces every rule that can be edited; may be repeated."""
        what = f"set the rules of security group {ref} in {zone}"
        content = {"rules": [_rule(rule, position) for position, rule in enumerate(rules, start=1)]}
        await self._in_zone("PUT", RULES, zone, what=what, ref=ref, content=content)

    async def delete_security_group(self, zone: Zone, ref: ProviderRef) -> None:
        """Right after its rules were set, 500 was answered, and 204 two seconds later (api.md 7).

        Raises:
            NotFound: gone, if the positive control holds (L1).
            Precondition, Conflict: a server is still in it.
        """
        what = f"delete security group {ref} in {zone}"
        with self._writing(self._listings.of(SECURITY_GROUPS, zone), ref):
            await self._in_zone("DELETE", ONE, zone, what=what, ref=ref)


def _rule(rule: IngressRule, position: int) -> dict[str, object]:
    return {
        "id": None,
        "action": "accept",
        "protocol": rule.protocol,
        "direction": "inbound",
        "ip_range": rule.cidr,
        "dest_port_from": rule.port,
        "dest_port_to": None,
        "position": position,
        "editable": None,
    }

"""What a credential is used for: numbers, not rows, because a tenant may have ten thousand of them."""

from dataclasses import dataclass
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import dict_row

from inventiv_operator.domain.ids import CredentialId, Zone
from inventiv_operator.domain.ledger import OPEN_STATES, DeploymentState, ResourceKind

CONTROL_ROLE = "control"
"""The role of a positive control's own group, which is the operator's need and nobody's use."""

_RESOURCES = """
SELECT kind, zone, role = %(control)s AS is_control, count(*) AS number
  FROM cloud_resources
 WHERE provider_id = %(credential_id)s AND state = ANY(%(open_states)s)
 GROUP BY kind, zone, role = %(control)s
"""
_DEPLOYMENTS = """
SELECT count(*) AS number FROM deployments WHERE provider_id = %(credential_id)s AND state <> %(closed)s
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialUsage:
    """What is not proven gone. `control_groups` are among `security_groups`; zones are sorted."""

    servers: int
    volumes: int
    ips: int
    security_groups: int
    control_groups: int
    deployments: int
    zones: tuple[Zone, ...]

    def by_others(self) -> list[str]:
        """What a deletion has to wait for, in words; the controls' own groups hold nobody up."""
        numbers = {
            "deployment": self.deployments,
            "server": self.servers,
            "volume": self.volumes,
            "IP address": self.ips,
            "security group": self.security_groups - self.control_groups,
        }
        return [
            f"{number} {what}{'' if number == 1 else 'es' if what.endswith('ss') else 's'}"
            for what, number in numbers.items()
            if number > 0
        ]


async def usage_of(conn: AsyncConnection[Any], credential_id: CredentialId) -> CredentialUsage:
    """Two queries inside the caller's transaction."""
    parameters = {
        "credential_id": credential_id,
        "control": CONTROL_ROLE,
        "open_states": [str(state) for state in OPEN_STATES],
        "closed": str(DeploymentState.CLOSED),
    }
    async with conn.cursor(row_factory=dict_row) as cursor:
        rows = await (await cursor.execute(_RESOURCES, parameters)).fetchall()
        deployments = await (await cursor.execute(_DEPLOYMENTS, parameters)).fetchone()

    def count(kind: ResourceKind, *, controls_only: bool = False) -> int:
        return sum(r["number"] for r in rows if r["kind"] == kind and (r["is_control"] or not controls_only))

    return CredentialUsage(
        servers=count(ResourceKind.SERVER),
        volumes=count(ResourceKind.VOLUME),
        ips=count(ResourceKind.ADDRESS),
        security_groups=count(ResourceKind.SECURITY_GROUP),
        control_groups=count(ResourceKind.SECURITY_GROUP, controls_only=True),
        deployments=0 if deployments is None else int(deployments["number"]),
        zones=tuple(sorted({Zone(r["zone"]) for r in rows})),
    )

"""Which cluster this database describes (L9): one row, made once."""

from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID, uuid4

from psycopg import AsyncConnection

from inventiv_operator.domain.ids import InstallationId
from inventiv_operator.store.errors import OtherCluster

_READ: Final = "SELECT installation_id, cluster_uid FROM installation"
_CREATE: Final = """
INSERT INTO installation (installation_id, cluster_uid) VALUES (%s, %s) ON CONFLICT (only_row) DO NOTHING
"""
_MOVE: Final = "UPDATE installation SET cluster_uid = %s, bound_at = now() WHERE cluster_uid <> %s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """`id` is in the tags of everything we make; `cluster_uid` is the uid of the namespace kube-system."""

    id: InstallationId
    cluster_uid: str


async def read(conn: AsyncConnection[Any]) -> Installation | None:
    """None: an empty database."""
    row = await (await conn.execute(_READ)).fetchone()
    return (
        None if row is None else Installation(id=InstallationId(UUID(str(row[0]))), cluster_uid=str(row[1]))
    )


async def bind(conn: AsyncConnection[Any], cluster_uid: str, *, move: bool = False) -> Installation:
    """Tie an empty database to this cluster; one that is tied already must be tied to it.

    `move` ties it to this cluster all the same: somebody was asked and said yes.

    Raises:
        OtherCluster
    """
    found = await read(conn)
    if found is None:
        await conn.execute(_CREATE, (uuid4(), cluster_uid))
        found = await read(conn)
        if found is None:
            raise AssertionError("the row was made, or was there")
    if found.cluster_uid != cluster_uid and move:
        await conn.execute(_MOVE, (cluster_uid, cluster_uid))
        return Installation(id=found.id, cluster_uid=cluster_uid)
    if found.cluster_uid != cluster_uid:
        raise OtherCluster(
            f"the database belongs to the cluster with kube-system uid {found.cluster_uid}, this one has"
            f" {cluster_uid}: check INVENTIV_DATABASE_URL, or run `inventiv-operator bind` if the cluster"
            " was made anew"
        )
    return found

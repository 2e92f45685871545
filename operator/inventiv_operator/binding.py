"""The command `bind`: which cluster a database belongs to (L9)."""

import math
import os
import secrets
import socket
from collections.abc import Callable

from inventiv_operator.config import OperatorSettings
from inventiv_operator.kube.access import ClusterAccess
from inventiv_operator.kube.client import KubeClient
from inventiv_operator.kube.transport import Transport
from inventiv_operator.runtime.clock import SystemClock
from inventiv_operator.store import claims, installation, organizations
from inventiv_operator.store.database import Database
from inventiv_operator.store.errors import OtherCluster
from inventiv_operator.store.lease import Lease


async def bind_database(settings: OperatorSettings, *, confirm: Callable[[str], bool]) -> str:
    """Tie the database to this cluster; what was done, in a sentence. `confirm` answers a question to a
    person.

    Raises:
        OtherCluster: it belongs to another cluster and nobody said yes, or an operator runs on it.
        StoreError, KubeError, AccessError: one of the two cannot be asked.
    """
    clock = SystemClock()
    async with Database(settings.database_url, clock=clock) as database, _transport() as transport:
        await database.check()
        kube = KubeClient(transport)
        cluster_uid = await kube.cluster_uid()
        async with database.platform() as conn:
            found = await installation.read(conn)
            if found is None or found.cluster_uid == cluster_uid:
                bound = await installation.bind(conn, cluster_uid)
                verb = "is bound" if found is None else "was bound already"
                return f"the database {verb} to {_named(cluster_uid)}, installation {bound.id}"
        if not confirm(
            f"The database belongs to {_named(found.cluster_uid)}; this is {_named(cluster_uid)}. Bind it"
            " to this one?"
            " Its servers keep running and are looked after from here."
        ):
            raise OtherCluster(
                f"the database belongs to {_named(found.cluster_uid)}; nothing was changed (--yes binds it"
                " to this one)"
            )
        renewed = await _move(database, kube, cluster_uid)
        return f"the database is bound to {_named(cluster_uid)}; namespaces with a new uid: {renewed}"


async def _move(database: Database, kube: KubeClient, cluster_uid: str) -> int:
    """Claims first: a run that is cut off is repeated from the start. How many namespaces have a new uid."""
    lease = Lease(
        database,
        holder=f"bind-{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}",
        max_clock_difference_s=math.inf,  # nothing that is written here is compared with a clock
    )
    if not await lease.take_or_renew():
        raise OtherCluster(
            "an operator is running on this database: stop it, and bind again in half a minute"
        )
    try:
        renewed = 0
        async with database.platform() as conn:
            tenants = await organizations.all_open(conn)
        for tenant in tenants:
            async with database.reading(tenant.id) as conn:
                held = await claims.of_organization(conn, tenant.id)
            for claim in held:
                namespace = await kube.get_namespace(claim.namespace)
                uid = "" if namespace is None else str(namespace["metadata"]["uid"])
                if uid and uid != claim.namespace_uid:
                    await lease.take_or_renew()
                    async with database.writing(tenant.id, lease.fence()) as conn:
                        await claims.renew(
                            conn, organization_id=tenant.id, namespace=claim.namespace, uid=uid
                        )
                    renewed += 1
        async with database.platform() as conn:
            await installation.bind(conn, cluster_uid, move=True)
        return renewed
    finally:
        await lease.release()


def _named(cluster_uid: str) -> str:
    return f"the cluster with kube-system uid {cluster_uid}"


def _transport() -> Transport:
    return Transport(ClusterAccess(clock=SystemClock()))

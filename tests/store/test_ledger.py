from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from inventiv_operator.domain.cloud import VolumeApi
from inventiv_operator.domain.ids import ProviderRef, ResourceId
from inventiv_operator.domain.ledger import (
    TRANSITIONS,
    DeploymentState,
    Instance,
    InstanceState,
    NewResource,
    Origin,
    Resource,
    ResourceKind,
    ResourceState,
)
from inventiv_operator.store import ledger
from inventiv_operator.store.database import Database
from inventiv_operator.store.errors import Conflict
from store.conftest import FENCE, NOW, SetClock, Tenant, write_tenant


async def test_what_is_written_is_read_back_in_one_piece(place, tenant: Tenant) -> None:
    clock = SetClock()
    instance = tenant.instance()
    server, group = tenant.server(instance), tenant.group()
    root = replace(
        server, id=ResourceId(uuid4()), kind=ResourceKind.VOLUME, role="root", volume_api=VolumeApi.BLOCK, size_gb=120
    )
    async with Database(place.operator, clock=clock) as db:
        async with db.writing(tenant.organization_id, FENCE) as conn:
            await ledger.insert_instances(conn, [instance])
            await ledger.insert_resources(conn, [server, root, group])
        async with db.reading(tenant.organization_id) as conn:
            found = await ledger.read_ledger(conn, tenant.deployment_id)
    assert found.instances == (instance.as_row(now=NOW),)
    assert set(found.resources) == {row.as_row(now=NOW) for row in (server, root, group)}

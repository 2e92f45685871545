"""What the database holds of the settings of a bench's tenant, and a database that refuses one more value."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg

from inventiv_operator.domain.settings import Layer
from inventiv_operator.store import settings
from rig.fixtures import Premises
from tenant_rig.bench import Bench

REFUSED_PORT = 4242
REFUSED: Mapping[str, Any] = {"workerHealthPort": REFUSED_PORT, "workerVLLMPort": 9001}


async def of_organization(bench: Bench, name: str = "") -> Layer:
    organization_id = await bench.organization_id(name)
    async with bench.services.db.reading(organization_id) as conn:
        return await settings.read_settings(conn, None)


async def of_credential(bench: Bench) -> Layer:
    """Without the identity."""
    row = await bench.row()
    async with bench.services.db.reading(row.organization_id) as conn:
        return (await settings.read_levels(conn, row.id)).credential


async def told(bench: Bench) -> list[tuple[str, str, Mapping[str, Any]]]:
    """Kind, name and detail of each line of the audit log about changed settings, in order."""
    organization_id = await bench.organization_id()
    async with bench.services.db.reading(organization_id) as conn:
        cursor = await conn.execute(
            "SELECT object_kind, object_name, detail FROM action_logs"
            " WHERE organization_id = %s AND action = 'settings-changed' ORDER BY id",
            (organization_id,),
        )
        return [(row[0], row[1], row[2]) for row in await cursor.fetchall()]


@contextmanager
def stricter(premises: Premises) -> Iterator[None]:
    """The database has a narrower bound than this release knows: it refuses `REFUSED_PORT`."""
    with psycopg.connect(premises.place.superuser, autocommit=True) as conn:
        conn.execute(
            "ALTER TABLE provider_settings ADD CONSTRAINT stricter"
            f" CHECK (value_int IS DISTINCT FROM {REFUSED_PORT}) NOT VALID".encode()
        )
        try:
            yield
        finally:
            conn.execute("ALTER TABLE provider_settings DROP CONSTRAINT stricter")

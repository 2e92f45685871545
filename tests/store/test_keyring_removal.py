"""A key of the keyring goes when nothing is under it; after any rotations the last file is enough."""

# ruff: noqa: ASYNC240 (a small local file)

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as example_settings
from hypothesis import strategies as st
from psycopg import AsyncConnection

from inventiv_operator import rekeying
from inventiv_operator.store import data_keys
from inventiv_operator.store.database import Database
from inventiv_operator.store.errors import (
    KeyringError,
    KeyUnavailable,
)
from inventiv_operator.store.keyring import Keyring, new_keyring_file, read_keyring_file
from inventiv_operator.store.keyring_edit import add_key, promote_key
from store.conftest import lead_for_ever, new_tenant, write_tenant
from store.postgres_server import Place, PostgresServer, empty_database
from store.rekeying_rig import (
    Stored,
    column,
    keys_of,
    named_key,
    read,
    run,
    somebody_waits,
    tenants,
    until,
    write,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "keyring"
    new_keyring_file(made)
    return made


async def reencrypt(place: Place, path: Path, *, values: bool = False) -> str:
    return await rekeying.reencrypt(place.operator, path, values=values, say=lambda _: None)


async def test_a_key_goes_when_nothing_is_under_it_and_not_before(
    led: Place, own: Database, path: Path
) -> None:
    stored = await tenants(own, 3, keyring=read_keyring_file(path))
    add_key(path)
    promote_key(path, "k2")
    before = path.read_bytes()
    with pytest.raises(KeyringError, match="k1 is in use: 3 data keys are wrapped by it"):
        await rekeying.remove(led.operator, path, "k1")
    assert path.read_bytes() == before
    assert await reencrypt(led, path) == (
        "re-wrapped the data keys of 3 organizations; data keys under k2 now: 3"
    )
    await rekeying.remove(led.operator, path, "k1")
    alone = read_keyring_file(path)
    assert (alone.primary_id, list(alone.keys)) == ("k2", ["k2"])
    for one in stored:
        await read(own, one, keyring=alone)


async def test_a_data_key_in_a_quarantine_counts(led: Place, own: Database, path: Path) -> None:
    [stored] = await tenants(own, 1, keyring=read_keyring_file(path))
    await tenants(own, 1, keyring=read_keyring_file(path))
    run(
        led,
        "UPDATE organizations SET state = 'closed', closed_at = now() WHERE name = %s",
        stored.tenant.name,
    )
    add_key(path)
    promote_key(path, "k2")
    with pytest.raises(KeyringError, match="2 data keys are"):
        await rekeying.remove(led.operator, path, "k1")
    await reencrypt(led, path)
    await read(own, stored, keyring=read_keyring_file(path))


async def test_a_credential_that_still_names_a_key_counts(led: Place, own: Database, path: Path) -> None:
    """As when a validation that began before the re-wrapping notes what it read then."""
    [stored] = await tenants(own, 1, keyring=read_keyring_file(path))
    add_key(path)
    promote_key(path, "k2")
    await reencrypt(led, path)
    run(led, "UPDATE providers SET encryption_key_id = 'k1' WHERE id = %s", stored.tenant.credential_id)
    with pytest.raises(KeyringError, match="k1 is in use: 1 credentials name it"):
        await rekeying.remove(led.operator, path, "k1")
    await reencrypt(led, path)
    assert await named_key(own, stored) == "k2"
    await rekeying.remove(led.operator, path, "k1")


async def test_in_a_database_of_another_keyring_nothing_is_removed(
    led: Place, own: Database, path: Path
) -> None:
    """There every key looks unused."""
    add_key(path)
    before = path.read_bytes()
    with pytest.raises(KeyringError, match="may not be the database of this keyring"):
        await rekeying.remove(led.operator, path, "k2")
    await tenants(own, 1, keyring=Keyring(primary_id="k1", keys={"k1": b"o" * 32}))
    with pytest.raises(KeyringError, match="may not be the database of this keyring"):
        await rekeying.remove(led.operator, path, "k2")
    assert path.read_bytes() == before


async def test_no_data_key_comes_between_the_proof_and_the_removal(
    led: Place, own: Database, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replica that still has the key makes a data key under it, in the worst moment."""
    await tenants(own, 1, keyring=read_keyring_file(path))
    add_key(path)
    late = new_tenant()
    await write_tenant(own, late)
    replica = Keyring(primary_id="k2", keys=read_keyring_file(path).keys)
    real = data_keys.keyring_use
    writing: list[asyncio.Task[Stored]] = []
    kept: list[bool] = []

    async def looking(conn: AsyncConnection[Any]) -> Any:
        found = await real(conn)
        writing.append(asyncio.create_task(write(own, late, keyring=replica)))
        await until(lambda: somebody_waits(led))
        kept.append("k2" in read_keyring_file(path).keys)
        return found

    replace = Path.replace

    def replacing(one: Path, other: Path) -> Path:
        waiting = column(led, "SELECT count(*) FROM pg_locks WHERE NOT granted")
        kept.append(waiting == [1])
        return replace(one, other)

    monkeypatch.setattr(data_keys, "keyring_use", looking)
    monkeypatch.setattr(Path, "replace", replacing)
    await rekeying.remove(led.operator, path, "k2")
    assert kept == [True, True]  # the key is there when the writer begins to wait, and it waits for the file
    await writing[0]  # it came after, and a replica that still has the key is behind; see the page
    with pytest.raises(KeyUnavailable):
        await read(own, await writing[0], keyring=read_keyring_file(path))


# -- all of it ---------------------------------------------------------------------------------------------

rotations = st.lists(
    st.tuples(
        st.integers(0, 2),  # new tenants
        st.booleans(),  # a tenant's key is changed, by a replica with the file from before
        st.sampled_from(["nothing", "reencrypt", "values"]),
    ),
    min_size=1,
    max_size=4,
)


@pytest.fixture(scope="module")
def shared_by_examples(server: PostgresServer, migrated: Place) -> Place:
    place = empty_database(server, f"examples_{os.getpid()}", template=migrated.name)
    lead_for_ever(place)
    return place


@example_settings(max_examples=15, deadline=None)
@given(rotations=rotations, last=st.sampled_from(["reencrypt", "values"]))
def test_after_any_rotations_everything_decrypts_with_the_last_file_alone(
    shared_by_examples: Place,
    tmp_path_factory: pytest.TempPathFactory,
    rotations: list[tuple[int, bool, str]],
    last: str,
) -> None:
    run(
        shared_by_examples,
        "TRUNCATE organization_keys, provider_settings, providers, organizations, project_claims CASCADE",
    )
    path = tmp_path_factory.mktemp("keyring") / "keyring"
    asyncio.run(_rotate(shared_by_examples, path, rotations, values=last == "values"))


async def _rotate(place: Place, path: Path, rotations: list[tuple[int, bool, str]], *, values: bool) -> None:
    behind = new_keyring_file(path)
    async with Database(place.operator) as db:
        stored = await tenants(db, 1, keyring=behind)
        for number, is_changed, then in rotations:
            behind = Keyring(primary_id=read_keyring_file(path).primary_id, keys={})
            promote_key(path, add_key(path))
            behind = Keyring(primary_id=behind.primary_id, keys=read_keyring_file(path).keys)
            stored += await tenants(db, number, keyring=behind)
            if is_changed:
                stored[0] = await write(db, stored[0].tenant, keyring=behind)
            if then != "nothing":
                await reencrypt(place, path, values=then == "values")
            for one in stored:
                await read(db, one, keyring=behind)
        await reencrypt(place, path, values=values)
        last = read_keyring_file(path)
        for key_id in sorted(last.keys.keys() - {last.primary_id}):
            await rekeying.remove(place.operator, path, key_id)
        alone = read_keyring_file(path)
        assert list(alone.keys) == [last.primary_id]
        for one in stored:
            await read(db, one, keyring=alone)
            if values:
                assert all(not key.rewrapped_from for key in await keys_of(db, one))

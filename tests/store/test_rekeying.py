"""Re-wrapping and replacing data keys on a real PostgreSQL, while replicas read."""

import asyncio
import itertools
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import AsyncConnection

from inventiv_operator.rekeying import Rekeying, RekeyingIncomplete
from inventiv_operator.store import data_keys
from inventiv_operator.store.data_keys import KeyUse
from inventiv_operator.store.database import Database
from inventiv_operator.store.errors import (
    DatabaseUnavailable,
    DecryptionFailed,
    KeyUnavailable,
)
from inventiv_operator.store.keyring import Keyring, KeyringFile, new_keyring_file
from inventiv_operator.store.keyring_edit import add_key, promote_key
from store.postgres_server import Place
from store.rekeying_rig import (
    ALONE,
    NEW,
    OLD,
    TWO,
    column,
    flip_a_bit,
    keys_of,
    named_key,
    read,
    run,
    tenants,
    use,
    write,
)

_REKEYED = "SELECT count(*) FROM action_logs WHERE object_kind = 'data-key'"


@pytest.mark.parametrize("values", [False, True])
async def test_everything_is_under_the_primary_and_reads_go_on(
    led: Place, own: Database, *, values: bool
) -> None:
    stored = await tenants(own, 25)
    run(
        led,
        "UPDATE organizations SET state = 'closed', closed_at = now() WHERE name = %s",
        stored[0].tenant.name,
    )
    before = {one.tenant.name: await keys_of(own, one) for one in stored}
    sealed = column(led, "SELECT value_ciphertext FROM provider_settings WHERE key_version IS NOT NULL")
    finished = asyncio.Event()

    async def reader(keyring: Keyring) -> int:
        """A replica; both files know both keys."""
        for count in itertools.count():
            for one in stored:
                await read(own, one, keyring=keyring)
            if finished.is_set():
                return count
        raise AssertionError

    readers = [asyncio.create_task(reader(keyring)) for keyring in (OLD, NEW)]
    async with Database(led.operator) as apart:
        assert await Rekeying(apart, NEW, values=values).run() == 25
        assert await Rekeying(apart, NEW, values=values).run() == 0
    finished.set()
    await asyncio.gather(*readers)
    for one in stored:
        await read(own, one, keyring=ALONE)
        [key] = await keys_of(own, one)
        [was] = before[one.tenant.name]
        assert (key.version, key.key_id, key.rewrapped_from) == ((2, "k2", "") if values else (1, "k2", "k1"))
        assert (
            data_keys.unwrap(one.tenant.organization_id, key, NEW)
            == data_keys.unwrap(one.tenant.organization_id, was, NEW)
        ) is not values
        assert await named_key(own, one) == "k2"
    assert await use(own) == {"k2": KeyUse(key_id="k2", data_keys=25, credentials=25)}
    now = column(led, "SELECT value_ciphertext FROM provider_settings WHERE key_version IS NOT NULL")
    assert (set(now) == set(sealed)) is not values
    assert not values or not set(now) & set(sealed)


async def test_a_data_key_that_was_ever_under_another_key_is_replaced_and_a_fresh_one_is_left(
    own: Database,
) -> None:
    [rewrapped] = await tenants(own, 1)
    assert await Rekeying(own, NEW).run() == 1
    [born_under_it] = await tenants(own, 1, keyring=NEW)
    fresh = await keys_of(own, born_under_it)
    assert await Rekeying(own, NEW).run() == 0
    assert await Rekeying(own, NEW, values=True).run() == 1
    assert [key.version for key in await keys_of(own, rewrapped)] == [2]
    assert await keys_of(own, born_under_it) == fresh
    assert await Rekeying(own, NEW, values=True).run() == 0


async def test_what_was_done_is_in_the_audit_log_without_key_material(led: Place, own: Database) -> None:
    [stored] = await tenants(own, 1)
    await Rekeying(own, NEW).run()
    await Rekeying(own, NEW, values=True).run()
    with psycopg.connect(led.superuser) as conn:
        found = conn.execute(
            "SELECT organization_id, action, object_ref, detail FROM action_logs"
            " WHERE object_kind = 'data-key' ORDER BY id"
        )
        assert found.fetchall() == [
            (
                stored.tenant.organization_id,
                "rewrap-data-key",
                "1",
                {"fromKeyID": "k1", "toKeyID": "k2"},
            ),
            (
                stored.tenant.organization_id,
                "replace-data-key",
                "2",
                {"fromKeyID": "k2", "toKeyID": "k2", "values": 1},
            ),
        ]


async def test_progress_is_told(own: Database) -> None:
    await tenants(own, 3)
    said: list[str] = []
    await Rekeying(own, NEW, say=said.append, clock=_Hurrying()).run()
    assert said == ["3 organizations to do, to key k2", *(f"{done} of 3 organizations" for done in (1, 2, 3))]


class _Hurrying:
    """Every look at it is a minute later."""

    def __init__(self) -> None:
        self._minutes = itertools.count()

    def monotonic(self) -> float:
        return 60.0 * next(self._minutes)

    def now(self) -> Any:
        raise NotImplementedError

    async def sleep(self, delay_s: float) -> None:
        raise NotImplementedError


@pytest.mark.parametrize("values", [False, True])
async def test_a_run_that_is_cut_off_goes_on_where_it_stopped(
    led: Place, own: Database, monkeypatch: pytest.MonkeyPatch, *, values: bool
) -> None:
    stored = await tenants(own, 12)
    name = "replace" if values else "rewrap"
    real, calls = getattr(data_keys, name), itertools.count()

    async def cut_off(conn: AsyncConnection[Any], plan: Any) -> None:
        if next(calls) == 5:
            await conn.close()
        await real(conn, plan)

    monkeypatch.setattr(data_keys, name, cut_off)
    with pytest.raises(DatabaseUnavailable):
        await Rekeying(own, NEW, values=values).run()
    done = column(led, "SELECT count(*) FROM organization_keys WHERE key_id = 'k2'")[0]
    assert 0 < done < 12
    for one in stored:
        for keyring in (OLD, NEW):
            await read(own, one, keyring=keyring)
    assert await Rekeying(own, NEW, values=values).run() == 12 - done
    for one in stored:
        await read(own, one, keyring=ALONE)
    assert column(led, _REKEYED) == [12]  # each was changed once


async def test_two_runs_at_once_do_each_organization_once(led: Place, own: Database) -> None:
    stored = await tenants(own, 20)
    async with Database(led.operator) as other:
        runs = [Rekeying(own, NEW, values=True), Rekeying(other, NEW, values=True)]
        assert sum(await asyncio.gather(*(one.run() for one in runs))) >= 20
    for one in stored:
        await read(own, one, keyring=ALONE)
        assert [key.version for key in await keys_of(own, one)] == [2]


# -- during the roll ---------------------------------------------------------------------------------------


async def test_replicas_with_the_old_and_the_new_file_read_what_the_other_wrote(
    own: Database, tmp_path: Path
) -> None:
    path, behind = tmp_path / "keyring", tmp_path / "keyring-of-the-other"
    new_keyring_file(path)
    behind.write_bytes(path.read_bytes())
    ahead_file, behind_file = KeyringFile(path), KeyringFile(behind)
    [first] = await tenants(own, 1, keyring=behind_file.current())
    add_key(path)
    await read(own, first, keyring=ahead_file.current())
    await read(own, first, keyring=behind_file.current())
    behind.write_bytes(path.read_bytes())  # every replica has the secondary
    promote_key(path, "k2")  # and one has it promoted
    written = [
        *await tenants(own, 1, keyring=ahead_file.current()),
        *await tenants(own, 1, keyring=behind_file.current()),
    ]
    assert [key.key_id for one in written for key in await keys_of(own, one)] == ["k2", "k1"]
    for one in (first, *written):
        for file in (ahead_file, behind_file):
            await read(own, one, keyring=file.current())
    await Rekeying(own, ahead_file.current(), values=True).run()
    for one in (first, *written):
        for file in (ahead_file, behind_file):
            await read(own, one, keyring=file.current())
        again = await write(own, one.tenant, keyring=behind_file.current())
        await read(own, again, keyring=ahead_file.current())
    assert set(await use(own)) == {"k2"}


async def test_a_key_that_the_keyring_lacks_is_that_organizations_problem_alone(own: Database) -> None:
    theirs = Keyring(primary_id="k0", keys={"k0": b"z" * 32})
    [lost] = await tenants(own, 1, keyring=theirs)
    others = await tenants(own, 3)
    before = await keys_of(own, lost)
    for values in (False, True):
        with pytest.raises(RekeyingIncomplete) as caught:
            await Rekeying(own, NEW, values=values).run()
        assert str(caught.value) == (
            "3 organizations done; left as before: 1 organization under key k0, which the keyring lacks"
        )
    for one in others:
        await read(own, one, keyring=ALONE)
    assert await keys_of(own, lost) == before
    with pytest.raises(KeyUnavailable):
        await read(own, lost, keyring=NEW)
    await read(own, lost, keyring=theirs)


@pytest.mark.parametrize(
    ("table", "name", "values"),
    [
        pytest.param("organization_keys", "wrapped_key", False, id="data-key"),
        pytest.param("organization_keys", "wrapped_key", True, id="data-key-and-values"),
        pytest.param("provider_settings", "value_ciphertext", True, id="value"),
    ],
)
async def test_T7_what_has_a_flipped_bit_is_left_as_it_is_and_named(
    led: Place, own: Database, table: str, name: str, *, values: bool
) -> None:
    altered, sound = await tenants(own, 2)
    flip_a_bit(led, table, name, altered.tenant)
    query = f"SELECT {name} FROM {table} WHERE organization_id = %s AND {name} IS NOT NULL"
    before = column(led, query, altered.tenant.organization_id)
    with pytest.raises(RekeyingIncomplete, match=str(altered.tenant.organization_id)) as caught:
        await Rekeying(own, NEW, values=values).run()
    assert str(caught.value).startswith("1 organization done; left as before: 1 organization with a stored")
    assert column(led, query, altered.tenant.organization_id) == before
    await read(own, sound, keyring=ALONE)


@pytest.mark.parametrize("values", [False, True])
async def test_T7_with_another_key_of_the_same_id_nothing_is_changed(own: Database, *, values: bool) -> None:
    stored = await tenants(own, 2)
    before = [await keys_of(own, one) for one in stored]
    foreign = Keyring(primary_id="k2", keys={"k1": b"x" * 32, "k2": TWO})
    with pytest.raises(RekeyingIncomplete, match="altered or is of another keyring"):
        await Rekeying(own, foreign, values=values).run()
    assert [await keys_of(own, one) for one in stored] == before


async def test_T7_a_data_key_of_another_organization_is_not_taken_for_ones_own(
    led: Place, own: Database
) -> None:
    mine, theirs = await tenants(own, 2)
    run(
        led,
        "UPDATE organization_keys t SET wrapped_key = s.wrapped_key FROM organization_keys s"
        " WHERE t.organization_id = %s AND s.organization_id = %s",
        mine.tenant.organization_id,
        theirs.tenant.organization_id,
    )
    with pytest.raises(RekeyingIncomplete, match=str(mine.tenant.organization_id)):
        await Rekeying(own, NEW).run()
    with pytest.raises(DecryptionFailed):
        await read(own, mine, keyring=NEW)
    await read(own, theirs, keyring=ALONE)

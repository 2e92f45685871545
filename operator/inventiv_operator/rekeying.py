"""The commands `keyring reencrypt` and `keyring remove`: the keyring's file and the database together.

`reencrypt` walks the organizations that the database names, each by itself and bound by row-level security,
while operators run. It is stopped and started again at will: what is done is not named again.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from inventiv_operator.domain.ids import OrganizationId
from inventiv_operator.runtime.clock import Clock, SystemClock
from inventiv_operator.store import data_keys
from inventiv_operator.store.data_keys import KeyUse, StoredKeys
from inventiv_operator.store.database import Database
from inventiv_operator.store.errors import (
    Conflict,
    DatabaseBusy,
    DatabaseUnavailable,
    DecryptionFailed,
    KeyringError,
    KeyUnavailable,
    StoreError,
)
from inventiv_operator.store.keyring import Keyring, read_keyring_file
from inventiv_operator.store.keyring_edit import removing_key

WORKERS: Final = 4
BATCH: Final = 50
TELL_EVERY_S: Final = 2.0
_PASSES: Final = 5
_NAMED_EACH: Final = 3

Say = Callable[[str], None]


class RekeyingIncomplete(StoreError):
    """Some organizations are still as they were; the text says which, and why."""


@dataclass(slots=True)
class _Outcome:
    """`lacking` has the id of the key that the keyring lacks."""

    done: int = 0
    lacking: dict[OrganizationId, str] = field(default_factory=dict)
    unreadable: set[OrganizationId] = field(default_factory=set)

    @property
    def failed(self) -> set[OrganizationId]:
        return {*self.lacking, *self.unreadable}


class Rekeying:
    """One run under one keyring: the file is not looked at again, because a new primary is another run."""

    def __init__(
        self,
        database: Database,
        keyring: Keyring,
        *,
        values: bool = False,
        say: Say = lambda _: None,
        clock: Clock | None = None,
    ) -> None:
        """With `values` each data key that was ever under another key of the keyring is replaced by a fresh
        one, and every value under it is encrypted anew. Without, data keys stay and are wrapped anew.
        """
        self._database = database
        self._keyring = keyring
        self._values = values
        self._say = say
        self._clock = clock or SystemClock()
        self._outcome = _Outcome()
        self._told_s = self._clock.monotonic()

    async def run(self) -> int:
        """How many organizations were changed. A pass is repeated for what came or moved meanwhile.

        Raises:
            RekeyingIncomplete: some could not be, each for its own reason; the others are done.
            DatabaseUnavailable: what is done stays done.
        """
        for _ in range(_PASSES):
            async with self._database.platform() as conn:
                named = await data_keys.organizations_to_rekey(
                    conn, self._keyring.primary_id, values=self._values
                )
            wanted = [one for one in named if one not in self._outcome.failed]
            if not wanted:
                break
            await self._pass(wanted)
        else:
            raise RekeyingIncomplete("other processes kept changing data keys; run it again")
        if self._outcome.failed:
            raise RekeyingIncomplete(self._what_is_left())
        return self._outcome.done

    async def _pass(self, wanted: list[OrganizationId]) -> None:
        total = self._outcome.done + len(wanted)
        self._say(f"{len(wanted)} {_organizations(len(wanted))} to do, to key {self._keyring.primary_id}")
        batches = iter([wanted[start : start + BATCH] for start in range(0, len(wanted), BATCH)])
        try:
            async with asyncio.TaskGroup() as workers:
                for number in range(WORKERS):
                    workers.create_task(self._work(batches, total), name=f"rekeying-{number}")
        except ExceptionGroup as group:
            expected, others = group.split(StoreError)
            if expected is None or others is not None:
                raise
            raise _first(expected) from None

    async def _work(self, batches: Iterator[list[OrganizationId]], total: int) -> None:
        """One statement reads a batch; each organization is written by one that compares with what was read.
        No transaction is open in between.
        """
        for batch in batches:
            async with self._database.platform() as conn:
                found = await data_keys.read(conn, batch, values=self._values)
            for stored in found:
                await self._try(stored)
                self._tell(total)

    async def _try(self, stored: StoredKeys) -> None:
        try:
            await self._rekey(stored)
        except (Conflict, DatabaseBusy):
            return  # somebody else changed it just then: the next pass takes it on
        except KeyUnavailable as error:
            self._outcome.lacking[stored.organization_id] = error.key_id
        except DecryptionFailed:
            self._outcome.unreadable.add(stored.organization_id)
        else:
            self._outcome.done += 1

    async def _rekey(self, stored: StoredKeys) -> None:
        primary_id = self._keyring.primary_id
        if self._values and any(key.key_id != primary_id or key.rewrapped_from for key in stored.keys):
            replacement = data_keys.plan_replacement(stored, keyring=self._keyring)
            async with self._database.platform() as conn:
                await data_keys.replace(conn, replacement)
            return
        rewrapping = data_keys.plan_rewrapping(stored, keyring=self._keyring)
        async with self._database.platform() as conn:
            await data_keys.rewrap(conn, rewrapping)

    def _tell(self, total: int) -> None:
        now_s = self._clock.monotonic()
        if now_s - self._told_s >= TELL_EVERY_S:
            self._told_s = now_s
            self._say(f"{self._outcome.done} of {total} organizations")

    def _what_is_left(self) -> str:
        parts = [
            f"{count} {_organizations(count)} under key {key_id}, which the keyring lacks"
            for key_id, count in sorted(Counter(self._outcome.lacking.values()).items())
        ]
        if self._outcome.unreadable:
            count = len(self._outcome.unreadable)
            parts.append(
                f"{count} {_organizations(count)} with a stored secret that was altered or is of another"
                f" keyring ({_some(self._outcome.unreadable)})"
            )
        done = self._outcome.done
        return f"{done} {_organizations(done)} done; left as before: {'; '.join(parts)}"


async def reencrypt(database_url: SecretStr, keyring_file: Path, *, values: bool, say: Say) -> str:
    """What was done, in a sentence.

    Raises:
        RekeyingIncomplete, StoreError
    """
    keyring = read_keyring_file(keyring_file)
    async with Database(database_url, max_size=WORKERS + 1) as database:
        await database.check()
        try:
            done = await Rekeying(database, keyring, values=values, say=say).run()
        except DatabaseUnavailable as error:
            raise DatabaseUnavailable(f"{error}; run it again, it goes on where it stopped") from None
        async with database.platform() as conn:
            use = _of(await data_keys.keyring_use(conn), keyring.primary_id)
    what = "re-encrypted all values" if values else "re-wrapped the data keys"
    return (
        f"{what} of {done} {_organizations(done)}; data keys under {keyring.primary_id} now: {use.data_keys}"
    )


async def remove(database_url: SecretStr, keyring_file: Path, key_id: str) -> None:
    """Take a key out of the file, once the database is proven not to need it.

    From the proof until the file is replaced no data key can come.

    Raises:
        KeyringError: it is in use, or the primary, or the database is not one of this keyring.
        StoreError
    """
    async with Database(database_url, max_size=2) as database:
        await database.check()
        async with database.platform() as conn, conn.transaction():
            with removing_key(keyring_file, key_id) as keyring:  # replaced before the lock is let go
                await data_keys.let_no_data_key_come(conn)
                use = await data_keys.keyring_use(conn)
                _demand_unused(key_id, _of(use, key_id))
                await _demand_that_they_belong_together(database, keyring, use)


def _demand_unused(key_id: str, use: KeyUse) -> None:
    if use.data_keys:
        raise KeyringError(
            f"key {key_id} is in use: {use.data_keys} data {_keys(use.data_keys)} wrapped by it; run"
            " `inventiv-operator keyring reencrypt` first"
        )
    if use.credentials:
        raise KeyringError(
            f"key {key_id} is in use: {use.credentials} credentials name it as theirs; run"
            " `inventiv-operator keyring reencrypt` first"
        )


async def _demand_that_they_belong_together(
    database: Database, keyring: Keyring, use: Sequence[KeyUse]
) -> None:
    """In an empty or foreign database every key is unused: a data key that opens proves the right one."""
    for key_id in sorted({one.key_id for one in use if one.data_keys} & keyring.keys.keys()):
        async with database.platform() as conn:
            organization_id = await data_keys.organization_under(conn, key_id)
            if organization_id is None:
                continue
            (stored,) = await data_keys.read(conn, [organization_id], values=False)
        with contextlib.suppress(DecryptionFailed, KeyUnavailable):
            for key in stored.keys:
                data_keys.unwrap(organization_id, key, keyring)
            return
    raise KeyringError(
        "nothing in the database opens with this keyring, so it may not be the database of this keyring;"
        " nothing was removed"
    )


def _of(use: Sequence[KeyUse], key_id: str) -> KeyUse:
    none = KeyUse(key_id=key_id, data_keys=0, credentials=0)
    return next((one for one in use if one.key_id == key_id), none)


def _first(group: ExceptionGroup[StoreError]) -> StoreError:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, ExceptionGroup) else error


def _organizations(count: int) -> str:
    return "organization" if count == 1 else "organizations"


def _keys(count: int) -> str:
    return "key is" if count == 1 else "keys are"


def _some(ids: Collection[OrganizationId]) -> str:
    named = ", ".join(sorted(str(one) for one in ids)[:_NAMED_EACH])
    return named if len(ids) <= _NAMED_EACH else f"{named}, ..."

"""The only way to a connection (T2 of the design: row-level security behind every query).

    reading(organization)         one read-only transaction that sees that organization alone
    writing(organization, fence)  one transaction that commits only under the leader's epoch
    appending(organization)       one transaction of whoever leads or not: for the audit log alone
    platform()                    no organization: look-ups, lease and binding; each statement by itself

The functions of `store` take a connection and never commit. A transaction never spans a cloud call. Begin,
tenant and fence go to the server in one round trip; every psycopg error leaves as one of `store.errors`.
"""

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Final, Protocol, Self
from uuid import UUID

import psycopg
from psycopg import AsyncConnection
from psycopg.pq import TransactionStatus
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout, TooManyRequests
from pydantic import SecretStr

from inventiv_operator.domain.ids import OrganizationId
from inventiv_operator.domain.ledger import Fence
from inventiv_operator.runtime.clock import Clock, SystemClock
from inventiv_operator.store import connecting, schema
from inventiv_operator.store.errors import READ_ONLY_SQLSTATE, DatabaseUnavailable, StoreDefect, translate

CHECK_AFTER_IDLE_S: Final = 5.0
"""A connection that was used more recently is trusted: a check costs a round trip."""
CHECK_WITHIN_S: Final = 2.0
ROLLBACK_WITHIN_S: Final = 1.0
IN_FAILED_TRANSACTION: Final = "25P02"


class CommitObserver(Protocol):
    """A hook around every commit of a write: where tests stall, kill or count."""

    async def before_commit(self) -> None: ...

    async def after_commit(self) -> None: ...


class Session(AsyncConnection[tuple[Any, ...]]):
    """A pooled connection that knows when it was last used (monotonic seconds) and can be hung up on."""

    used_at_s: float = 0.0
    ran_out: bool = False

    @contextlib.contextmanager
    def limited_to(self, limit_s: float) -> Iterator[None]:
        """Whatever waits for the server longer than this gets an OperationalError, and `ran_out` is set.

        A cancellation would not do: psycopg then asks the server to cancel, and waits for it, for ten seconds
        when the network is silent.
        """
        limit = asyncio.get_running_loop().call_later(limit_s, self._hang_up)
        try:
            yield
        finally:
            limit.cancel()

    def _hang_up(self) -> None:
        self.ran_out = True
        with (
            contextlib.suppress(OSError, psycopg.Error),
            socket.socket(fileno=os.dup(self.pgconn.socket)) as line,
        ):
            line.shutdown(socket.SHUT_RDWR)


class Database:
    """A pool and its doors. An async context manager; the server need not be there when it opens."""

    def __init__(
        self,
        url: SecretStr,
        *,
        clock: Clock | None = None,
        max_size: int = 8,
        timeout_s: float = 5.0,
        transaction_timeout_s: float = 15.0,
        idle_in_transaction_s: float = 10.0,
        observer: CommitObserver | None = None,
    ) -> None:
        """Writes are stamped by `clock`: send_before and time-outs are compared by the same.

        `timeout_s` bounds the wait for a connection, `transaction_timeout_s` all between begin and commit.
        After `idle_in_transaction_s` without a statement the server ends the session: a frozen leader must
        not keep the next one from taking over (B7).

        Raises:
            DatabaseMisconfigured: the URL is malformed.
        """
        self._url = url
        self._observer = observer
        self._clock = clock or SystemClock()
        self._transaction_timeout_s = transaction_timeout_s
        self._session_settings = (
            f"SET idle_in_transaction_session_timeout = {round(idle_in_transaction_s * 1000)};"
            f"SET statement_timeout = {round(transaction_timeout_s * 1000)};"
            "SET lock_timeout = '10s'; SET timezone = 'UTC'"
        )
        self._pool: AsyncConnectionPool[Session] = AsyncConnectionPool(
            kwargs={**connecting.parameters_of(url), "autocommit": True, "prepare_threshold": 0},
            connection_class=Session,
            min_size=1,
            max_size=max_size,
            open=False,
            name="inventiv",
            timeout=timeout_s,
            reconnect_timeout=timeout_s,  # then the next one who asks tries anew
            configure=self._configure,
            check=_check,
        )

    async def __aenter__(self) -> Self:
        # It tells of every check-out at INFO and of every failed connection at WARNING; /readyz says it once.
        logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
        await self._pool.open(wait=False)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._pool.close()

    async def check(self) -> None:
        """The proof at start-up, on a connection of its own.

        Raises:
            DatabaseMisconfigured, SchemaMismatch, BypassesRowSecurity: end the process.
            DatabaseUnavailable: wait.
        """
        try:
            async with (
                asyncio.timeout(self._transaction_timeout_s),
                await connecting.connect(self._url) as conn,
            ):
                await schema.check_operator(conn)
        except TimeoutError:
            raise DatabaseUnavailable("PostgreSQL did not answer in time") from None
        except psycopg.Error as error:
            raise translate(error) from None

    @asynccontextmanager
    async def reading(self, organization_id: OrganizationId) -> AsyncIterator[AsyncConnection[Any]]:
        """Sees this organization's rows and changes nothing."""
        begin = f"BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY;{_bind_to(organization_id)}"
        async with self._transaction(begin) as conn:
            yield conn

    @asynccontextmanager
    async def writing(
        self, organization_id: OrganizationId, fence: Fence
    ) -> AsyncIterator[AsyncConnection[Any]]:
        """Commits when the body ends without an error.

        Until then no other process can take the lease of this shard over: what commits was decided by its
        leader.

        Raises:
            Fenced: the lease has another epoch, or has expired; the body does not run.
        """
        begin = (
            "BEGIN ISOLATION LEVEL READ COMMITTED;"
            f"SELECT begin_write('{_literal(organization_id)}', {int(fence.shard)}, {int(fence.epoch)},"
            f" '{self._clock.now().isoformat()}')"
        )
        async with self._transaction(begin, observer=self._observer) as conn:
            yield conn

    @asynccontextmanager
    async def appending(self, organization_id: OrganizationId) -> AsyncIterator[AsyncConnection[Any]]:
        """For lines of the audit log only: what a process has done stays true when another one leads."""
        begin = f"BEGIN ISOLATION LEVEL READ COMMITTED;{_bind_to(organization_id)}"
        async with self._transaction(begin) as conn:
            yield conn

    @asynccontextmanager
    async def platform(self) -> AsyncIterator[AsyncConnection[Any]]:
        """No tenant's rows. Each statement commits by itself: no round trips for begin and commit."""
        async with self._session() as conn:
            yield conn

    async def _configure(self, conn: Session) -> None:
        await conn.execute(self._session_settings.encode(), prepare=False)

    @asynccontextmanager
    async def _transaction(
        self, begin: str, *, observer: CommitObserver | None = None
    ) -> AsyncIterator[Session]:
        async with self._session() as conn:
            # Without parameters libpq sends the text as it is: two statements, one round trip.
            await conn.execute(begin.encode(), prepare=False)
            yield conn
            if observer is not None:
                await observer.before_commit()
            cursor = await conn.execute(b"COMMIT", prepare=False)
            # After an error that the body kept to itself COMMIT rolls back, without an error of its own.
            if cursor.statusmessage != "COMMIT":
                raise StoreDefect(IN_FAILED_TRANSACTION)
            if observer is not None:
                await observer.after_commit()

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[Session]:
        """A connection of the pool; what the body leaves open is rolled back, what is in doubt is closed."""
        try:
            conn = await self._pool.getconn()
        except (psycopg.Error, PoolTimeout, PoolClosed, TooManyRequests) as error:
            raise translate(error) from None
        try:
            with conn.limited_to(self._transaction_timeout_s):
                yield conn
        except psycopg.Error as error:
            if conn.ran_out:
                raise DatabaseUnavailable("PostgreSQL did not answer in time") from None
            if error.sqlstate == READ_ONLY_SQLSTATE:
                await conn.close()  # the next one may lead to the new primary
            raise translate(error) from None
        finally:
            # A cancellation that comes now must not lose the connection: a pool without any is no pool.
            giving_back = asyncio.create_task(self._give_back(conn), name="give back a connection")
            await asyncio.shield(giving_back)

    async def _give_back(self, conn: Session) -> None:
        status = conn.pgconn.transaction_status
        if status in {TransactionStatus.INTRANS, TransactionStatus.INERROR}:
            with contextlib.suppress(psycopg.Error), conn.limited_to(ROLLBACK_WITHIN_S):
                await conn.execute(b"ROLLBACK", prepare=False)
        if conn.ran_out or conn.pgconn.transaction_status != TransactionStatus.IDLE:
            await conn.close()
        conn.used_at_s = asyncio.get_running_loop().time()
        await self._pool.putconn(conn)


async def _check(conn: Session) -> None:
    if asyncio.get_running_loop().time() - conn.used_at_s > CHECK_AFTER_IDLE_S:
        with conn.limited_to(CHECK_WITHIN_S):
            await AsyncConnectionPool.check_connection(conn)


def _bind_to(organization_id: OrganizationId) -> str:
    """Row-level security shows this organization's rows until the transaction ends."""
    return f"SELECT set_config('inventiv.organization_id', '{_literal(organization_id)}', true)"


def _literal(value: UUID) -> str:
    """Hexadecimal digits and dashes, whatever was handed over."""
    return str(UUID(str(value)))

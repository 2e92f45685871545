"""What can go wrong between us and PostgreSQL.

    StoreError
      Conflict                    somebody else has it, or it moved on: look again. Names nobody
        IdTaken                   another row holds this id of the provider: looking again does not help
      Fenced                      this process does not lead (any more); nothing was written
      MissingProviderCredentials  no such credential of this organization, or no key stored for it
      KeyUnavailable              the keyring lacks the key; that organization's problem alone
      DecryptionFailed            the ciphertext is not what was stored for this row
      DatabaseUnavailable         refused, unreachable, timed out, shutting down: wait
        DatabaseBusy              a lock, a deadlock, a statement that took too long: the queue tries again
      StoreDefect                 a statement that PostgreSQL refuses: a mistake of ours
      CannotStart                 one line for people; the process ends with exit code 1
        DatabaseMisconfigured     malformed URL, unknown database, refused login
        SchemaMismatch            not migrated, or by another release
        BypassesRowSecurity       a role that row-level security does not bind
        OtherCluster              the database belongs to another cluster
        KeyringError              no keyring that can be read

The texts of PostgreSQL quote values, those of libpq may quote a connection string. Neither leaves here:
errors are told apart by SQLSTATE and by the name of the constraint.
"""

import psycopg
from psycopg import errors as pg
from psycopg_pool import PoolClosed, PoolTimeout, TooManyRequests

FENCED_SQLSTATE = "IV001"
"""Raised by the SQL function `begin_write`."""
MOVED_SQLSTATE = "IV002"
"""Raised by the SQL functions of re-keying: what they were to replace is not as it was read."""
ID_CONSTRAINT = "cloud_resources_ref"


class StoreError(Exception):
    """Root of the tree; see the module."""


class Conflict(StoreError):
    """A violated UNIQUE, or a guarded change that found the row elsewhere (then `constraint` is empty)."""

    def __init__(self, message: str = "somebody else has it", *, constraint: str = "") -> None:
        super().__init__(message)
        self.constraint = constraint


class IdTaken(Conflict):
    """One thing at the provider has one open row, and it is not this one."""


class Fenced(StoreError):
    """Not the leader, or not any more; whatever the transaction did is undone."""


class MissingProviderCredentials(StoreError):
    """Nothing is taken from anywhere else: no call leaves."""


class KeyUnavailable(StoreError):
    """`key_id` names the keyring's key that this organization's data key was wrapped with."""

    def __init__(self, key_id: str) -> None:
        super().__init__(
            f"the keyring lacks key {key_id}; add it back to read this organization's credentials"
        )
        self.key_id = key_id


class DecryptionFailed(StoreError):
    """Altered, or moved here from another row."""


class DatabaseUnavailable(StoreError):
    """Wait, and try again; nothing is known to be wrong but the way."""


class DatabaseBusy(DatabaseUnavailable):
    """Reachable, but this transaction could not go through; it is undone."""


class StoreDefect(StoreError):
    """PostgreSQL refused the statement itself. `sqlstate` and `constraint` say more than people need."""

    def __init__(self, sqlstate: str, *, constraint: str = "") -> None:
        where = f", constraint {constraint}" if constraint else ""
        super().__init__(f"PostgreSQL refused a statement (SQLSTATE {sqlstate or 'unknown'}{where})")
        self.sqlstate = sqlstate
        self.constraint = constraint


class CannotStart(StoreError):
    """Its text is one line for people, without a secret."""


class DatabaseMisconfigured(CannotStart):
    """Waiting does not help."""


class SchemaMismatch(CannotStart):
    """The schema is not the one that this release knows."""


class BypassesRowSecurity(CannotStart):
    """Tenants would be kept apart by our queries alone."""


class OtherCluster(CannotStart):
    """A cluster and a database that do not belong together do nothing to each other (L9)."""


class KeyringError(CannotStart):
    """The keyring file cannot be read, or is none."""


_BUSY = (
    pg.SerializationFailure,
    pg.DeadlockDetected,
    pg.LockNotAvailable,
    pg.QueryCanceled,
    pg.ActiveSqlTransaction,
)
_AWAY_CLASSES = ("08", "53", "57", "58", "XX")
"""SQLSTATE classes: connection, resources, operator intervention (shutdown, idle time-out), system, internal.
"""
_ENDED = frozenset({"25P03", "25P04"})  # sessions ended by idle_in_transaction and transaction time-outs
READ_ONLY_SQLSTATE = "25006"
"""A primary that was demoted, or a provider's answer to a full disk. Waiting helps, and is what it gets."""


def translate(error: Exception) -> StoreError:
    """The error of this tree that an error of psycopg or its pool stands for.

    Raise it `from None`: the original's text may quote values of a tenant.
    """
    if isinstance(error, (PoolTimeout, PoolClosed, TooManyRequests)):
        return DatabaseUnavailable("no connection to PostgreSQL could be had in time")
    if not isinstance(error, psycopg.Error):
        raise TypeError("not an error of psycopg") from error
    sqlstate = error.sqlstate or ""
    constraint = error.diag.constraint_name or ""
    if sqlstate == FENCED_SQLSTATE:
        return Fenced("another process leads now; nothing was written")
    if sqlstate == MOVED_SQLSTATE:
        return Conflict("key material is not as it was read any more; nothing was written")
    if isinstance(error, pg.UniqueViolation):
        return (IdTaken if constraint == ID_CONSTRAINT else Conflict)(constraint=constraint)
    return _outage(error, sqlstate) or StoreDefect(sqlstate, constraint=constraint)


def _outage(error: psycopg.Error, sqlstate: str) -> DatabaseUnavailable | None:
    if isinstance(error, _BUSY):
        return DatabaseBusy(f"PostgreSQL could not finish the transaction (SQLSTATE {sqlstate})")
    if sqlstate == READ_ONLY_SQLSTATE:
        return DatabaseUnavailable(f"PostgreSQL takes no writes now (SQLSTATE {sqlstate})")
    if sqlstate[:2] in _AWAY_CLASSES or sqlstate in _ENDED:
        return DatabaseUnavailable(f"PostgreSQL ended the session (SQLSTATE {sqlstate})")
    if not sqlstate and isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError)):
        return DatabaseUnavailable("the connection to PostgreSQL was lost or could not be made")
    return None

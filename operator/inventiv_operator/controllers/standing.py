"""Whether this process may work, and if not, whether anybody can."""

from dataclasses import dataclass

from inventiv_operator.controllers.surroundings import Surroundings
from inventiv_operator.store.lease import Lease


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    lease: Lease
    surroundings: Surroundings

    @property
    def is_leader(self) -> bool:
        return self.lease.is_held

    @property
    def database_away(self) -> str:
        """Why the database cannot be asked; empty: it can, so another process leads or this one soon will."""
        return self.surroundings.database_away

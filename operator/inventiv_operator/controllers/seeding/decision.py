"""Which key a seeded credential is offered. No I/O."""

from dataclasses import dataclass

from inventiv_operator.api.conditions import Reason
from inventiv_operator.controllers.seeding.directory import PROJECT_ID, Seed, SeedProblem
from inventiv_operator.domain.ledger import CredentialRow


@dataclass(frozen=True, slots=True, kw_only=True)
class FromFiles:
    """The key of the files: the stored one already, or a candidate."""

    seed: Seed


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCopy:
    """The files have their say no more, or none now; `problem` None: nobody has to do anything about it."""

    problem: SeedProblem | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StartOver:
    """Its project was never proven, and the files have been corrected: it goes, and is seeded anew."""

    message: str


Choice = FromFiles | StoredCopy | StartOver


def choose(row: CredentialRow, seed: Seed | SeedProblem | None, *, directory: str) -> Choice:
    """`seed` None: there is no directory, or it is not for the organization of the row."""
    if seed is None:
        return StoredCopy()
    if isinstance(seed, SeedProblem):
        return StoredCopy(problem=seed)
    if seed.project_id == row.project_id:
        return FromFiles(seed=seed)
    if row.validated_at is None:
        return StartOver(
            message=f"file {PROJECT_ID} of seed directory {directory} was changed, and the project before was"
            " never proven: the credential is made anew"
        )
    return StoredCopy(
        problem=SeedProblem(
            reason=Reason.PROJECT_MISMATCH,
            message=f"seed directory {directory}: file {PROJECT_ID} names another project than the one that"
            " the credential was seeded for, which cannot change; put the earlier project back, or apply a"
            " ProviderCredential for the other one",
        )
    )

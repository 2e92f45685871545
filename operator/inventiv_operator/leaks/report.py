"""What a run found, in values. `text` and `document` show it."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from inventiv_operator.domain.ids import InstallationId, OrganizationId, Zone
from inventiv_operator.domain.leaks import Finding, ListName, Thing
from inventiv_operator.domain.ledger import CredentialRow
from inventiv_operator.domain.prices import PriceList
from inventiv_operator.domain.sight import Unknown

SEEDED = "seeded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Priced:
    """`eur_per_hour` None: not known; of what was not seen, always."""

    thing: Thing
    eur_per_hour: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """`unpriced` things are not in `eur_per_hour`."""

    eur_per_hour: Decimal
    unpriced: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialReport:
    """`problem`: why it could not be used at all. `unlisted`: what could not be listed with it."""

    credential: CredentialRow
    things: tuple[Priced, ...]
    problem: Unknown | None = None
    unlisted: tuple[tuple[ListName, Unknown], ...] = ()
    zones: tuple[Zone, ...] = ()  # that were listed, in whole or in part
    foreign: int = 0
    note: str = ""

    @property
    def name(self) -> str:
        row = self.credential
        return SEEDED if not row.uid else f"{row.namespace}/{row.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class OrganizationReport:
    id: OrganizationId
    name: str
    credentials: tuple[CredentialReport, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    installation_id: InstallationId
    at: datetime
    prices: PriceList
    organizations: tuple[OrganizationReport, ...]

    def credentials(self) -> Iterator[CredentialReport]:
        for organization in self.organizations:
            yield from organization.credentials

    def things(self) -> list[Priced]:
        return [priced for credential in self.credentials() for priced in credential.things]

    def to_look_at(self) -> list[Priced]:
        """The same without those that are as they should be."""
        return [priced for priced in self.things() if priced.thing.finding is not Finding.KNOWN]

    def findings(self) -> Counter[Finding]:
        """How many of each; what could not be looked at counts as one each."""
        counts = Counter(priced.thing.finding for priced in self.things())
        for credential in self.credentials():
            counts[Finding.UNKNOWN] += len(credential.unlisted) + (credential.problem is not None)
        return counts

    @property
    def is_clean(self) -> bool:
        """Everything could be looked at, and is as the ledger has it."""
        return all(finding is Finding.KNOWN for finding, number in self.findings().items() if number)

    def sentence(self) -> str:
        """The result for people, in one line."""
        cost = money(cost_of(self.things()))
        whose = counted(len(self.organizations), "organization")
        if self.is_clean:
            return f"Nothing but known things: {counted(len(self.things()), 'thing')} of {whose}, {cost}."
        counts = self.findings()
        found = ", ".join(
            f"{counts[one]} {one}" for one in Finding if counts[one] and one is not Finding.KNOWN
        )
        theirs = money(cost_of(self.to_look_at()))
        return f"To look at, in {whose}: {found}; they cost {theirs}, everything together {cost}."


def cost_of(things: Iterable[Priced]) -> Cost:
    prices = [priced.eur_per_hour for priced in things]
    known = [price for price in prices if price is not None]
    return Cost(eur_per_hour=sum(known, Decimal(0)), unpriced=len(prices) - len(known))


def money(cost: Cost) -> str:
    said = f"{amount(cost.eur_per_hour)} EUR per hour"
    return said if not cost.unpriced else f"{said} and {cost.unpriced} of unknown price"


def amount(eur: Decimal) -> str:
    """At least four decimals, at most six."""
    return f"{eur:.6f}".removesuffix("00")


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"

"""Which servers of a listing are ours."""

from dataclasses import replace
from typing import Any

from domain.things import NOW, TIMING, ZONE, ago, instance, seen_server, server_row
from inventiv_operator.controllers.deployment.observe import ZoneView, facts_of, suspects
from inventiv_operator.domain.cloud import STOPPED, Listing, SeenServer
from inventiv_operator.domain.ids import ProviderRef
from inventiv_operator.domain.ledger import (
    DeploymentLedger,
    DeploymentRow,
    DeploymentState,
    Resource,
    ResourceState,
)

INTENT = {"state": ResourceState.INTENDED, "provider_ref": None, "origin": None, "started_at": None}


def seen(ref: str, **changes: Any) -> SeenServer:
    return seen_server(STOPPED, ref=ProviderRef(ref), **changes)


def listing(*servers: SeenServer) -> Listing[SeenServer]:
    return Listing(items={s.ref: s for s in servers}, started_s=0.0)


def deployment_of(row: Resource) -> DeploymentRow:
    return DeploymentRow(
        id=instance().deployment_id,
        organization_id=row.organization_id,
        credential_id=row.credential_id,
        namespace="acme",
        name="llama",
        uid="uid",
        state=DeploymentState.OPEN,
        template_hash="t1",
        start_failures=0,
        next_start_at=None,
        reset_token="",
        start_reason="",
        start_message="",
    )


def adopted(*servers: SeenServer) -> str | None:
    """Which of them an open intent for `acme-llama-0`, sent 100 s ago, takes for its own."""
    one = instance()
    row = server_row(**INTENT, instance_id=one.id, send_before=ago(90))
    ledger = DeploymentLedger(deployment=deployment_of(row), instances=(one,), resources=(row,))
    view = ZoneView(servers=listing(*servers), listed_at=NOW)
    (facts,) = facts_of(ledger, views={ZONE: view}, group_refs={ZONE: ProviderRef("group-1")}, timing=TIMING)
    return None if facts.candidate is None else facts.candidate.ref


def test_L3_our_own_server_is_known_by_its_attempt_alone() -> None:
    assert adopted(seen("ours", name="renamed")) == "ours"
    assert adopted(seen("ours", commercial_type="L4-2-24G")) == "ours"
    assert adopted(seen("ours", created_at=ago(100 + 600))) == "ours", "the provider's clock is behind"


def test_L3_of_several_with_our_attempt_the_one_that_fits_and_then_the_oldest_is_ours() -> None:
    ours = seen("ours")
    assert adopted(seen("copy", created_at=ago(50)), ours) == "ours"
    assert adopted(seen("other-name", name="mine", created_at=ago(99.5)), ours) == "ours"
    assert adopted(seen("old", created_at=ago(9000)), ours) == "ours"


def test_L7_without_our_attempt_name_type_and_birth_must_fit() -> None:
    bare = replace(seen("bare"), tags=())
    assert adopted(bare) == "bare"
    assert adopted(replace(bare, name="renamed")) is None
    assert adopted(replace(bare, commercial_type="L4-2-24G")) is None
    assert adopted(replace(bare, created_at=ago(700))) is None


def test_L3_a_duplicate_of_a_provider_whose_clock_is_behind_is_ours_and_an_old_server_is_not() -> None:
    row = server_row(attempts=("a0", "a1"))
    kept = seen_server()
    tags = ("inventiv-attempt=a0",)
    (late,) = suspects(listing(kept, seen("late", tags=tags, created_at=ago(100 + 600))), [row])
    assert late.is_ours
    (old,) = suspects(listing(kept, seen("old", tags=tags, created_at=ago(90_000))), [row])
    assert not old.is_ours


def test_a_listing_is_gone_through_once_however_many_deployments_share_it() -> None:
    gone_through = 0

    class Counting(dict[ProviderRef, SeenServer]):
        def values(self) -> Any:
            nonlocal gone_through
            gone_through += 1
            return super().values()

    shared = Listing(items=Counting({ProviderRef("server-1"): seen_server()}), started_s=0.0)
    for _ in range(50):
        suspects(shared, [server_row()])
    assert gone_through == 1

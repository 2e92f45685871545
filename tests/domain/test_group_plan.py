from dataclasses import replace
from typing import Any

import pytest

from domain.things import NOW, TIMING, ago, resource
from inventiv_operator.domain.cloud import IngressRule, SeenSecurityGroup
from inventiv_operator.domain.group_plan import (
    AdoptGroup,
    BeginGroupDeletion,
    CreateGroup,
    DeleteGroup,
    ForgetGroupAttempt,
    GroupDone,
    GroupFacts,
    IntendGroup,
    NoteGroupAbsent,
    SetRules,
    noted_rules,
    plan_group,
    plan_group_removal,
    rules_hash,
)
from inventiv_operator.domain.ids import ProviderRef
from inventiv_operator.domain.ledger import Resource, ResourceKind, ResourceState
from inventiv_operator.domain.sight import Gone, Listed, NotListed, Unknown
from inventiv_operator.domain.waits import Wait

SEEN = SeenSecurityGroup(
    ref=ProviderRef("g"), name="g", project_id="p", project_default=False, tags=(), created_at=None
)
UNKNOWN = Unknown(reason="ProviderUnreachable")
INTENT = resource(ResourceKind.SECURITY_GROUP, role="group")
SENT = replace(INTENT, attempts=("a",), send_before=ago(5))
PRESENT = replace(INTENT, state=ResourceState.PRESENT, provider_ref=SEEN.ref)
SET = replace(PRESENT, prepared_at=NOW, prepared_hash="wanted")
LEAVING = replace(SET, state=ResourceState.DELETING)


def facts(row: Any, sight: Any = NotListed(), **more: Any) -> GroupFacts:  # noqa: B008 (immutable)
    return GroupFacts(**({"row": row, "sight": sight, "candidate": None, "listed_at": NOW} | more))


TOWARDS = [
    pytest.param(facts(None), IntendGroup, id="none"),
    pytest.param(facts(INTENT), CreateGroup, id="intended"),
    pytest.param(facts(SENT), Wait, id="sent"),
    pytest.param(facts(SENT, candidate=SEEN), AdoptGroup, id="found"),
    pytest.param(facts(replace(SENT, send_before=ago(151))), ForgetGroupAttempt, id="settled"),
    pytest.param(facts(PRESENT), SetRules, id="without-rules"),
    pytest.param(facts(replace(SET, prepared_hash="other")), SetRules, id="with-other-rules"),
    pytest.param(facts(replace(SET, prepared_hash="?")), SetRules, id="with-unknown-rules"),
    pytest.param(facts(replace(SET, prepared_hash="~other")), SetRules, id="with-other-rules-for-now"),
    pytest.param(facts(replace(SET, prepared_hash="~wanted", prepared_at=ago(149))), GroupDone, id="for-now"),
    pytest.param(
        facts(replace(SET, prepared_hash="~wanted", prepared_at=ago(150))), SetRules, id="once-more"
    ),
    pytest.param(facts(SET, Gone()), NoteGroupAbsent, id="gone"),
    pytest.param(facts(SET), GroupDone, id="done"),
]
AWAY = [
    pytest.param(facts(None), GroupDone, id="none"),
    pytest.param(facts(INTENT), NoteGroupAbsent, id="never-sent"),
    pytest.param(facts(SENT), Wait, id="sent"),
    pytest.param(facts(SENT, candidate=SEEN), AdoptGroup, id="found"),
    pytest.param(facts(replace(SENT, send_before=ago(151))), NoteGroupAbsent, id="settled"),
    pytest.param(facts(SET), BeginGroupDeletion, id="present"),
    pytest.param(facts(LEAVING), DeleteGroup, id="leaving"),
    pytest.param(facts(LEAVING, Listed(SEEN)), DeleteGroup, id="still-there"),
    pytest.param(facts(LEAVING, UNKNOWN), Wait, id="L1-unknown"),
    pytest.param(facts(LEAVING, Gone()), NoteGroupAbsent, id="gone"),
]


@pytest.mark.parametrize(("given", "step"), TOWARDS)
def test_towards_a_group_with_its_rules(given: GroupFacts, step: type[object]) -> None:
    assert isinstance(plan_group(given, wanted_rules_hash="wanted", now=NOW, timing=TIMING), step)


@pytest.mark.parametrize(("given", "step"), AWAY)
def test_towards_no_group(given: GroupFacts, step: type[object]) -> None:
    assert isinstance(plan_group_removal(given, now=NOW, timing=TIMING), step)


def test_the_order_of_rules_does_not_matter() -> None:
    one = IngressRule(protocol="TCP", port=80, cidr="0.0.0.0/0")
    two = IngressRule(protocol="UDP", port=80, cidr="0.0.0.0/0")
    assert rules_hash([one, two]) == rules_hash([two, one]) != rules_hash([one])


NOTED = [
    pytest.param(PRESENT, "wanted", id="first"),
    pytest.param(SET, "wanted", id="again"),
    pytest.param(replace(SET, prepared_hash="?"), "~wanted", id="after-an-unknown-one"),
    pytest.param(replace(SET, prepared_hash="~other", prepared_at=ago(149)), "~wanted", id="soon-after"),
    pytest.param(replace(SET, prepared_hash="~wanted", prepared_at=ago(150)), "wanted", id="settled"),
]


@pytest.mark.parametrize(("row", "noted"), NOTED)
def test_rules_are_set_for_now_while_an_earlier_call_may_still_arrive(row: Resource, noted: str) -> None:
    assert noted_rules(row, "wanted", now=NOW, timing=TIMING) == noted

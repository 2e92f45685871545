"""Ledger against provider, case by case."""

from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest

from domain.things import NOW, ROOT, SERVER, ZONE, ago, attached, resource, root_row, server_row
from inventiv_operator.domain.cloud import (
    AVAILABLE,
    GB,
    RUNNING,
    SeenAddress,
    SeenSecurityGroup,
    SeenServer,
    SeenVolume,
    VolumeApi,
)
from inventiv_operator.domain.ids import (
    CredentialId,
    DeploymentId,
    InstallationId,
    InstanceId,
    OrganizationId,
    ProviderRef,
    Zone,
)
from inventiv_operator.domain.leaks import (
    Comparison,
    Finding,
    LedgerView,
    Listed,
    ListName,
    Lists,
    Seen,
    Thing,
    compare,
    things_unknown,
)
from inventiv_operator.domain.ledger import (
    DeploymentRow,
    DeploymentState,
    Resource,
    ResourceKind,
    ResourceState,
)
from inventiv_operator.domain.sight import Unknown

INSTALLATION = InstallationId(UUID(int=7))
DEPLOYMENT = DeploymentId(UUID(int=1))
OTHER_CREDENTIAL = CredentialId(UUID(int=99))
SERVERS = ListName(ZONE, ResourceKind.SERVER)
BLOCK = ListName(ZONE, ResourceKind.VOLUME, VolumeApi.BLOCK)
ADDRESSES = ListName(ZONE, ResourceKind.ADDRESS)
GROUPS = ListName(ZONE, ResourceKind.SECURITY_GROUP)
TAGS = (f"inventiv-installation={INSTALLATION}", f"inventiv-deployment={DEPLOYMENT}")
LONG_AGO = ago(3600.0)
DENIED = Unknown(reason="PermissionDenied", message="list servers: 403")


def server(ref: str = SERVER, *, tags: tuple[str, ...] = TAGS, **changes: Any) -> SeenServer:
    made = SeenServer(
        ref=ProviderRef(ref),
        name="acme-llama-0",
        zone=ZONE,
        state=RUNNING,
        state_detail="",
        commercial_type="L4-1-24G",
        project_id="p",
        tags=tags,
        created_at=LONG_AGO,
        volumes=(),
        addresses=(),
        security_group_ref=None,
        protected=False,
    )
    return replace(made, **changes)


def volume(ref: str = ROOT, *, tags: tuple[str, ...] = ()) -> SeenVolume:
    return SeenVolume(
        ref=ProviderRef(ref),
        api=VolumeApi.BLOCK,
        name="root",
        status=AVAILABLE,
        size_bytes=120 * GB,
        project_id="p",
        tags=tags,
        attached_to=(),
        created_at=LONG_AGO,
        perf_iops=5000,
    )


def group(ref: str, *, default: bool = False, tags: tuple[str, ...] = ()) -> SeenSecurityGroup:
    return SeenSecurityGroup(
        ref=ProviderRef(ref), name="g", project_id="p", project_default=default, tags=tags, created_at=None
    )


def listed(*seen: Seen) -> Listed:
    return Listed(listed_at=NOW, items={one.ref: one for one in seen})


def deployment(state: DeploymentState = DeploymentState.OPEN) -> DeploymentRow:
    return DeploymentRow(
        id=DEPLOYMENT,
        organization_id=OrganizationId(UUID(int=2)),
        credential_id=CredentialId(UUID(int=3)),
        namespace="acme",
        name="llama",
        uid="u",
        state=state,
        template_hash="",
        start_failures=0,
        start_reason="",
        start_message="",
        next_start_at=None,
        reset_token="",
    )


def view(*rows: Resource, named: tuple[Resource, ...] = (), **changes: Any) -> LedgerView:
    made = LedgerView(rows=rows, named=(*rows, *named), deployments={DEPLOYMENT: deployment()})
    return replace(made, **changes)


def compared(lists: Lists, ledger: LedgerView) -> Comparison:
    return compare(lists, ledger, installation_id=INSTALLATION, now=NOW)


def only(comparison: Comparison) -> Thing:
    assert len(comparison.things) == 1, comparison.things
    return comparison.things[0]


OLD = {"changed_at": LONG_AGO, "created_at": LONG_AGO}
LOST = {"state": ResourceState.LOST, **OLD}
INTENDED = {"state": ResourceState.INTENDED, "provider_ref": None, "origin": None}


@pytest.mark.parametrize(
    ("row", "lists", "finding", "note"),
    [
        pytest.param(
            server_row(**OLD), {SERVERS: listed(server())}, Finding.KNOWN, "", id="present-and-listed"
        ),
        pytest.param(
            server_row(**OLD), {SERVERS: listed(server(tags=()))}, Finding.KNOWN, "", id="its-tags-taken-off"
        ),
        pytest.param(
            server_row(**OLD), {SERVERS: listed()}, Finding.MISSING, "no proof", id="present-not-listed"
        ),
        pytest.param(
            server_row(changed_at=ago(59.0)),
            {SERVERS: listed()},
            Finding.KNOWN,
            "newer than the listing",
            id="written-down-as-the-listing-began",
        ),
        pytest.param(
            server_row(changed_at=ago(61.0)),
            {SERVERS: listed()},
            Finding.MISSING,
            "",
            id="written-down-before",
        ),
        pytest.param(server_row(**OLD), {SERVERS: DENIED}, Finding.UNKNOWN, "403", id="not-to-be-listed"),
        pytest.param(server_row(**OLD), {}, Finding.UNKNOWN, "no such list", id="a-list-that-is-not-there"),
        pytest.param(
            server_row(**LOST), {SERVERS: listed(server())}, Finding.LOST, "vanished", id="lost-listed"
        ),
        pytest.param(
            server_row(**LOST), {SERVERS: listed()}, Finding.LOST, "not in the listing", id="lost-not-listed"
        ),
        pytest.param(server_row(**LOST), {SERVERS: DENIED}, Finding.LOST, "403", id="lost-unseen"),
        pytest.param(
            server_row(state=ResourceState.DELETING, changed_at=ago(899.0)),
            {SERVERS: listed(server())},
            Finding.KNOWN,
            "being deleted",
            id="deleting-for-fifteen-minutes",
        ),
        pytest.param(
            server_row(state=ResourceState.DELETING, changed_at=ago(899.0)),
            {SERVERS: listed()},
            Finding.KNOWN,
            "not in the listing",
            id="deleting-and-gone-already",
        ),
        pytest.param(
            server_row(state=ResourceState.DELETING, changed_at=ago(901.0), last_error="it is protected"),
            {SERVERS: listed(server())},
            Finding.UNPROVEN,
            "it is protected",
            id="deleting-for-longer",
        ),
        pytest.param(
            server_row(state=ResourceState.DELETING, changed_at=ago(901.0)),
            {SERVERS: listed()},
            Finding.UNPROVEN,
            "not in the listing",
            id="deleting-for-longer-and-not-listed",
        ),
        pytest.param(
            server_row(**INTENDED, send_before=None, attempts=(), **OLD),
            {SERVERS: listed()},
            Finding.KNOWN,
            "never sent",
            id="an-intent-that-waits",
        ),
        pytest.param(
            server_row(**INTENDED, send_before=ago(100.0), changed_at=ago(100.0)),
            {SERVERS: listed()},
            Finding.KNOWN,
            "intended; not in the listing",
            id="a-create-under-way",
        ),
        pytest.param(
            server_row(**INTENDED, send_before=LONG_AGO, **OLD),
            {SERVERS: listed()},
            Finding.UNPROVEN,
            "intended",
            id="a-create-of-long-ago",
        ),
        pytest.param(
            server_row(**INTENDED, send_before=None, **OLD),
            {SERVERS: listed(server(tags=("inventiv-attempt=a1",)))},
            Finding.UNPROVEN,
            "intended",
            id="what-a-create-given-up-made-after-all",
        ),
    ],
)
def test_a_row_against_its_list(row: Resource, lists: Lists, finding: Finding, note: str) -> None:
    thing = only(compared(lists, view(row)))
    assert thing.finding is finding
    assert note in thing.note
    assert thing.row == row
    assert thing.deployment == "acme/llama"


@pytest.mark.parametrize("state", list(DeploymentState))
def test_a_row_follows_its_deployment(state: DeploymentState) -> None:
    """Rows of a lost deployment stay `present`: it is the deployment that is lost."""
    found = only(
        compared(
            {SERVERS: listed(server())},
            view(server_row(**OLD), deployments={DEPLOYMENT: deployment(state)}),
        )
    )
    expected = {DeploymentState.LOST: Finding.LOST, DeploymentState.CLOSED: Finding.UNUSED}
    assert found.finding is expected.get(state, Finding.KNOWN)


def test_a_create_under_way_is_found_by_its_attempt_and_is_no_orphan() -> None:
    row = server_row(**INTENDED, send_before=NOW, changed_at=NOW, attempts=("a1", "a2"))
    seen = server(tags=(*TAGS, "inventiv-attempt=a2"))
    thing = only(compared({SERVERS: listed(seen)}, view(row)))
    assert (thing.finding, thing.ref, thing.seen) == (Finding.KNOWN, SERVER, seen)


def test_a_second_server_with_the_same_attempt_is_not_hidden() -> None:
    row = server_row(**INTENDED, send_before=NOW, changed_at=NOW, attempts=("a1",))
    both = [server(ref, tags=(*TAGS, "inventiv-attempt=a1")) for ref in ("one", "two")]
    found = compared({SERVERS: listed(*both)}, view(row))
    assert [thing.finding for thing in found.things] == [Finding.ORPHAN, Finding.KNOWN]
    assert {thing.ref for thing in found.things} == {"one", "two"}


@pytest.mark.parametrize(
    ("tags", "finding", "note"),
    [
        pytest.param(TAGS, Finding.ORPHAN, "this installation", id="ours"),
        pytest.param((f"inventiv-installation={INSTALLATION}",), Finding.ORPHAN, "", id="ours-by-one-tag"),
        pytest.param(
            (f"inventiv-installation={uuid4()}",),
            Finding.UNKNOWN_INSTALLATION,
            "of installation",
            id="another",
        ),
        pytest.param(
            (f"inventiv-instance={uuid4()}",), Finding.UNKNOWN_INSTALLATION, "none that names", id="of-none"
        ),
    ],
)
@pytest.mark.parametrize("name", [SERVERS, BLOCK, ADDRESSES, GROUPS], ids=str)
def test_what_carries_our_tags_without_a_row(
    name: ListName, tags: tuple[str, ...], finding: Finding, note: str
) -> None:
    seen: dict[ListName, Seen] = {
        SERVERS: server("x", tags=tags),
        BLOCK: volume("x", tags=tags),
        ADDRESSES: SeenAddress(
            ref=ProviderRef("x"), address="192.0.2.1", project_id="p", tags=tags, attached_to=None
        ),
        GROUPS: group("x", tags=tags),
    }
    thing = only(compared({name: listed(seen[name])}, view()))
    assert (thing.finding, thing.kind, thing.ref, thing.row) == (finding, name.kind, "x", None)
    assert note in thing.note


def test_foreign_things_are_counted_and_not_shown() -> None:
    lists: Lists = {
        SERVERS: listed(server("x", tags=("team=search", "inventiv-installation", "inventiv-fan=1"))),
        BLOCK: listed(volume("y")),
        GROUPS: listed(group("default", default=True)),
    }
    assert compared(lists, view()) == Comparison(things=(), foreign=2)


def test_the_disks_of_an_orphan_are_named() -> None:
    """They carry no tags of their own, and go on to be billed when it is gone."""
    thing = only(compared({SERVERS: listed(server("x", volumes=(attached("d1"),)))}, view()))
    assert "attached volumes: d1" in thing.note


@pytest.mark.parametrize(
    ("state", "changed_at", "tags", "finding"),
    [
        pytest.param(ResourceState.ABSENT, LONG_AGO, TAGS, Finding.ORPHAN, id="proven-gone-and-there"),
        pytest.param(ResourceState.ABSENT, LONG_AGO, (), Finding.ORPHAN, id="proven-gone-and-there-untagged"),
        pytest.param(ResourceState.ABSENT, ago(30.0), TAGS, None, id="proven-gone-while-we-looked"),
        pytest.param(ResourceState.ABANDONED, LONG_AGO, TAGS, Finding.ABANDONED, id="given-up"),
        pytest.param(ResourceState.ABANDONED, LONG_AGO, (), Finding.ABANDONED, id="given-up-untagged"),
        pytest.param(ResourceState.RELEASED, LONG_AGO, TAGS, Finding.ORPHAN, id="released-with-our-tags"),
        pytest.param(ResourceState.RELEASED, LONG_AGO, (), "foreign", id="released"),
        pytest.param(ResourceState.PRESENT, LONG_AGO, TAGS, None, id="held-by-another-credential"),
        pytest.param(ResourceState.PRESENT, LONG_AGO, (), None, id="held-by-another-credential-untagged"),
    ],
)
def test_what_the_ledger_has_under_its_id(
    state: ResourceState, changed_at: Any, tags: tuple[str, ...], finding: object
) -> None:
    row = server_row(state=state, changed_at=changed_at, credential_id=OTHER_CREDENTIAL)
    found = compared({SERVERS: listed(server(tags=tags))}, view(named=(row,)))
    assert found.foreign == (finding == "foreign")
    assert [thing.finding for thing in found.things] == ([finding] if isinstance(finding, Finding) else [])


def test_a_create_under_way_of_another_credential_is_not_ours_to_report() -> None:
    row = server_row(**INTENDED, attempts=("b1",), send_before=NOW, credential_id=OTHER_CREDENTIAL)
    seen = server(tags=(*TAGS, "inventiv-attempt=b1"))
    assert compared({SERVERS: listed(seen)}, view(named=(row,))).things == ()


def test_ids_are_those_of_one_zone_and_kind() -> None:
    """The same id elsewhere is another thing."""
    elsewhere = ListName(Zone("nl-ams-1"), ResourceKind.SERVER)
    found = compared({SERVERS: listed(), elsewhere: listed(server())}, view(server_row(**OLD)))
    assert [(thing.finding, thing.zone) for thing in found.things] == [
        (Finding.ORPHAN, "nl-ams-1"),
        (Finding.MISSING, ZONE),
    ]


def test_volumes_are_looked_for_in_their_own_api() -> None:
    local = ListName(ZONE, ResourceKind.VOLUME, VolumeApi.INSTANCE)
    row = root_row(**OLD)
    assert only(compared({BLOCK: listed(volume()), local: listed()}, view(row))).finding is Finding.KNOWN
    assert only(compared({BLOCK: listed(), local: DENIED}, view(row))).finding is Finding.MISSING
    assert only(compared({BLOCK: DENIED, local: listed()}, view(row))).finding is Finding.UNKNOWN


def test_the_gravest_comes_first_and_names_are_those_of_the_ledger_when_nothing_was_seen() -> None:
    instance_id = InstanceId(uuid4())
    rows = (
        server_row(**OLD, provider_ref=ProviderRef("here")),
        server_row(**OLD, provider_ref=ProviderRef("not-here"), instance_id=instance_id),
        server_row(**LOST, provider_ref=ProviderRef("lost")),
        resource(
            ResourceKind.SECURITY_GROUP, state=ResourceState.PRESENT, provider_ref=ProviderRef("g"), **OLD
        ),
    )
    lists: Lists = {SERVERS: listed(server("here"), server("orphan")), GROUPS: listed(group("g"))}
    found = compared(lists, view(*rows, instance_names={instance_id: "acme-llama-7"})).things
    assert [str(thing.ref) for thing in found] == ["lost", "orphan", "not-here", "here", "g"]
    assert found[2].name == "acme-llama-7"


def test_of_a_credential_that_cannot_be_used_every_row_is_unknown() -> None:
    why = Unknown(reason="Frozen", message="it sees another project")
    things = things_unknown(view(server_row(), root_row()), why)
    assert [thing.finding for thing in things] == [Finding.UNKNOWN] * 2
    assert {thing.note for thing in things} == {"Frozen: it sees another project"}

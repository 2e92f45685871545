"""What is left of a credential, in words for a person at three in the morning. No I/O."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

from inventiv_operator.api.base import timestamp_text
from inventiv_operator.api.conditions import clip
from inventiv_operator.api.supported import ABANDON
from inventiv_operator.domain.abandonment import abandonable_from
from inventiv_operator.domain.expiry import has_ended
from inventiv_operator.domain.ledger import CredentialRow, DeploymentState
from inventiv_operator.store.abandon import Abandoned
from inventiv_operator.store.remains import DeploymentLeft, Remains
from inventiv_operator.store.usage import CredentialUsage

NAMED: Final = 6
"""Deployments and resources that are named; all are counted."""
_NAME_CHARS: Final = 63
_IDS_CHARS: Final = 700
"""Where ids stop: the annotations' answers come behind them, and the condition has 1024 characters."""
_NOUNS: Final = {"server": "server", "volume": "volume", "ip": "IP", "security_group": "security group"}
_OF_STATE: Final = {
    DeploymentState.OPEN: "not deleted: delete it",
    DeploymentState.CLOSING: "being deleted",
    DeploymentState.LOST: "lost: its object vanished without a deletion, its servers run on",
}


def name_of(kind: str, ref: str, zone: str, *, tag: str = "") -> str:
    """One thing at Scaleway. `tag`: what to look for when its id was never learnt."""
    noun = _NOUNS.get(kind, kind)
    if ref:
        return f"{noun} {ref} in {zone}"
    hint = f", tag inventiv-instance={tag}" if tag else ""
    return f"{noun} (id not known{hint}) in {zone}"


def chunks_of(names: Sequence[str], *, limit: int) -> Iterator[str]:
    """All of them, in lines of at most `limit` characters; a name is never cut."""
    line = ""
    for name in names:
        longer = f"{line}, {name}" if line else name
        if line and len(longer) > limit:
            yield line
            longer = name
        line = longer
    if line:
        yield line


def said_of_remains(row: CredentialRow, usage: CredentialUsage, remains: Remains, *, now: datetime) -> str:
    """What a deletion waits for: numbers, Deployments, what the key can do about it, and ids."""
    said = f"waiting until it is no longer used: {', '.join(usage.by_others())}"
    if remains.deployments:
        said += f" ({_deployments(remains.deployments, number=usage.deployments)})"
    said += said_of_broken_key(row, now=now)
    names = [name_of(thing.kind, thing.ref, thing.zone) for thing in remains.resources]
    total = usage.servers + usage.volumes + usage.ips + usage.security_groups
    if not names:
        return said
    is_billed = usage.servers or usage.volumes or usage.ips  # a group costs nothing
    said, shown = f"{said}; still there{', and billed' if is_billed else ''}: {names[0]}", 1
    for name in names[1:]:
        if len(said) + len(name) > _IDS_CHARS:
            break
        said, shown = f"{said}, {name}", shown + 1
    return said if shown == total else f"{said} and {total - shown} more"


def said_of_abandoned(things: Sequence[Abandoned]) -> str:
    """What was given up; empty: nothing was. The status lists it, this names the first few."""
    if not things:
        return ""
    names = ", ".join(name_of(t.kind, t.ref, t.zone, tag=t.instance_id) for t in things[:NAMED])
    more = f" and {len(things) - NAMED} more" if len(things) > NAMED else ""
    what = "1 thing" if len(things) == 1 else f"{len(things)} things"
    return (
        f"gave up {what}, which Scaleway keeps until somebody deletes them there (status.abandoned):"
        f" {names}{more}"
    )


def said_of_broken_key(row: CredentialRow, *, now: datetime) -> str:
    """Why nothing goes on by itself, and the two ways on; empty: as far as is known the key works."""
    if row.rejected_at is not None:
        state = f"Scaleway has refused its key since {timestamp_text(row.rejected_at)}"
    elif row.frozen_at is not None:
        state = f"it has been frozen since {timestamp_text(row.frozen_at)}"
    elif row.expires_at is not None and has_ended(row.expires_at, now=now):
        state = f"its key ended at {timestamp_text(row.expires_at)}"
    else:
        return ""
    said = f"; {state}, so nothing can be deleted: put a valid key of {_project_and_place(row)}"
    possible_at = abandonable_from(row)
    if possible_at is None:
        return said
    when = "" if possible_at <= now else f", from {timestamp_text(possible_at)} on,"
    return f"{said}, or{when} give up what is left: annotate {_its_object(row)} with {ABANDON}={row.id}"


def _project_and_place(row: CredentialRow) -> str:
    """The file of a seeded one may hold anything, so what it says is not repeated."""
    return (
        "its project into the seed directory"
        if row.is_seeded
        else f"project {row.project_id} into its Secret"
    )


def _its_object(row: CredentialRow) -> str:
    return "the Organization" if row.is_seeded else "it"


def _deployments(left: Sequence[DeploymentLeft], *, number: int) -> str:
    """By what each of them waits for."""
    parts = []
    for state, words in _OF_STATE.items():
        names = [clip(one.name, _NAME_CHARS) for one in left if one.state == state]
        if names:
            parts.append(f"{', '.join(names)}: {words}")
    more = f"; and {number - len(left)} more" if number > len(left) else ""
    return "; ".join(parts) + more

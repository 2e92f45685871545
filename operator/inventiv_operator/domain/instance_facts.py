"""Everything that a decision about one instance may rest on."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from inventiv_operator.domain.cloud import SeenServer, SeenVolume
from inventiv_operator.domain.ids import ProviderRef
from inventiv_operator.domain.intents import Timing
from inventiv_operator.domain.ledger import Instance, InstanceState, Resource
from inventiv_operator.domain.sight import Gone, Listed, NotListed, Unknown

ServerSight = Listed[SeenServer] | NotListed | Gone | Unknown
VolumeSight = Listed[SeenVolume] | NotListed | Gone | Unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class InstancePolicy:
    """What the deployment asks of each of its instances, and what may be done for it now.

    `may_create`: POST servers. `may_start`: prepare and power on for the first time, and change in place.
    `may_restart`: power on what somebody else stopped. `may_let_go`: give up an instance whose server is
    gone. A deletion that was begun always goes on.
    """

    timing: Timing
    startup_timeout_s: float
    failed_retention_s: float
    cloud_init: bool
    root_iops: int
    root_size_gb: int | None  # None: the image's minimum
    tags: tuple[str, ...]
    template_hash: str
    may_create: bool
    may_start: bool
    may_restart: bool
    may_let_go: bool
    why_not: str = ""  # reason for whatever may not be done


def going(timing: Timing) -> InstancePolicy:
    """The policy of a deployment that is being deleted: nothing but removal."""
    return InstancePolicy(
        timing=timing,
        startup_timeout_s=0.0,
        failed_retention_s=0.0,
        cloud_init=False,
        root_iops=0,
        root_size_gb=None,
        tags=(),
        template_hash="",
        may_create=False,
        may_start=False,
        may_restart=False,
        may_let_go=True,
        why_not="Deleting",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftovers:
    """A complete, fresh listing of a zone: volumes of both APIs that no row holds, and the servers there."""

    volumes: tuple[SeenVolume, ...]
    living: frozenset[ProviderRef]


def settling(timing: Timing) -> InstancePolicy:
    """The policy of a deployment that is lost: what was begun ends, and nothing else is done (L9)."""
    return replace(going(timing), may_let_go=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceFacts:
    """One instance: what the ledger holds of it, and what is seen of that."""

    instance: Instance
    server: Resource | None  # None: proven absent (or released, or abandoned)
    volumes: tuple[Resource, ...]
    sight: ServerSight
    volume_sights: Mapping[ProviderRef, VolumeSight] = field(default_factory=dict)
    leftovers: Leftovers | None = None  # None: nobody looked for volumes that were left behind
    candidate: SeenServer | None = None  # in the listing, and fits the open intent
    listed_at: datetime | None = None  # when the listing began that `sight` and `candidate` come from
    group_ref: ProviderRef | None = None  # the security group, with its rules set
    ready: bool = False  # by the probe, or because it runs
    asked: bool = True  # False: a probe is due, and none has ended yet in the life of this process
    upkeep_refused: bool = False  # the provider said "not now" to a change of tags, iops or size in this pass


def is_under_way(instance: Instance, server: Resource | None) -> bool:
    """Whether a create whose outcome is not known, or a deletion, waits to be brought to its end."""
    if instance.state is InstanceState.DELETING:
        return True
    return (
        instance.state is InstanceState.ACTIVE
        and server is not None
        and server.provider_ref is None
        and server.send_before is not None
    )


def has_begun(facts: InstanceFacts) -> bool:
    """Whether anything of it may exist at the provider."""
    server = facts.server
    return server is not None and (server.provider_ref is not None or server.send_before is not None)

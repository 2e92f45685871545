"""The steps that an instance can take. Each is repeatable."""

from dataclasses import dataclass

from inventiv_operator.domain.cloud import AttachedVolume, SeenServer
from inventiv_operator.domain.ledger import Resource
from inventiv_operator.domain.waits import Wait

# -- towards running -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CreateServer:
    """POST servers; the intent was never sent, or is settled."""


@dataclass(frozen=True, slots=True)
class ForgetAttempt:
    """The sent intent is settled and nothing came of it: it counts as never sent."""


@dataclass(frozen=True, slots=True)
class AdoptServer:
    """Write down the id of the server that fits the open intent, and those of its volumes."""

    seen: SeenServer


@dataclass(frozen=True, slots=True)
class RecordVolume:
    """A volume that came with the server shows only now: write down its id before anything else happens."""

    volume: AttachedVolume


@dataclass(frozen=True, slots=True)
class SetCloudInit:
    """Before the first power-on, always."""


@dataclass(frozen=True, slots=True)
class TagVolume:
    """Root volumes are born untagged (api.md 3.2)."""

    volume: Resource


@dataclass(frozen=True, slots=True)
class SetIops:
    """Cannot be chosen at create; refused while the volume is in transition."""

    volume: Resource
    iops: int


@dataclass(frozen=True, slots=True)
class LearnSize:
    """The image chose the size of the volume; the shared listing of volumes knows it."""

    volume: Resource


@dataclass(frozen=True, slots=True)
class GrowVolume:
    volume: Resource
    size_gb: int


@dataclass(frozen=True, slots=True)
class SetTags:
    """The tenant's tags changed."""


@dataclass(frozen=True, slots=True)
class PowerOn:
    pass


@dataclass(frozen=True, slots=True)
class NoteStarted:
    """It has left `stopped`: a power-on was accepted, though its answer was never written down."""


@dataclass(frozen=True, slots=True)
class NoteReady:
    """Ready for the first time; ends the count of failed starts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fail:
    """A failed start: kept for a look, then deleted; the next one backs off."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Retire:
    """Everything of this instance goes."""

    reason: str
    message: str = ""


# -- towards absence -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BeginServerDeletion:
    """present -> deleting, before the first call."""


@dataclass(frozen=True, slots=True)
class DetachVolume:
    """Attached by hand: it is not ours and survives (L7)."""

    volume: AttachedVolume


@dataclass(frozen=True, slots=True)
class Terminate:
    pass


@dataclass(frozen=True, slots=True)
class DeleteServer:
    pass


@dataclass(frozen=True, slots=True)
class LookAtServer:
    """GET by id; a 404 counts only under the positive control."""


@dataclass(frozen=True, slots=True)
class LookForLeftovers:
    """The id of its root volume was never learnt: list the volumes of its zone that no row holds."""


@dataclass(frozen=True, slots=True)
class NoteServerAbsent:
    pass


@dataclass(frozen=True, slots=True)
class DeleteVolume:
    volume: Resource


@dataclass(frozen=True, slots=True)
class LookAtVolume:
    """In the shared listing; a volume that is not there is asked for by its id."""

    volume: Resource


@dataclass(frozen=True, slots=True)
class NoteVolumeAbsent:
    volume: Resource


@dataclass(frozen=True, slots=True)
class NoteInstanceGone:
    pass


UpkeepStep = TagVolume | SetIops | LearnSize | GrowVolume | SetTags
"""Changes in place; one that is refused for now holds nothing up."""

Step = (
    Wait
    | CreateServer
    | ForgetAttempt
    | AdoptServer
    | RecordVolume
    | SetCloudInit
    | UpkeepStep
    | PowerOn
    | NoteStarted
    | NoteReady
    | Fail
    | Retire
    | BeginServerDeletion
    | DetachVolume
    | Terminate
    | DeleteServer
    | LookAtServer
    | LookForLeftovers
    | NoteServerAbsent
    | DeleteVolume
    | LookAtVolume
    | NoteVolumeAbsent
    | NoteInstanceGone
)

"""Whether the spec now asks for something that only a new server can give.

Replacing servers is not supported yet, so such a change touches nothing. What was never powered on is no
running server: it is given up and made anew.
"""

from collections.abc import Sequence

from inventiv_operator.domain.ledger import Instance, InstanceState, Resource, ResourceKind
from inventiv_operator.domain.upkeep_plan import ROOT_ROLE, settings_of

MESSAGE = (
    "{what} would replace running servers; that is not supported yet: nothing was touched."
    " Change it back, or scale to 0 first"
)


def would_replace(
    instances: Sequence[Instance],
    resources: Sequence[Resource],
    *,
    template_hash: str,
    root_size_gb: int | None,
) -> str:
    """Why not, in a sentence; empty: nothing that runs would have to be replaced."""
    started = {
        row.instance_id for row in resources if row.kind is ResourceKind.SERVER and row.started_at is not None
    }
    running = {i.id: i for i in instances if i.state is InstanceState.ACTIVE and i.id in started}
    if any(i.template_hash != template_hash for i in running.values()):
        return MESSAGE.format(what="another placement, image, cloudInit or publicIP")
    if root_size_gb is None:
        return ""
    for row in resources:
        instance = None if row.instance_id is None else running.get(row.instance_id)
        if instance is None or row.kind is not ResourceKind.VOLUME or row.role != ROOT_ROLE:
            continue
        known_gb = settings_of(row).size_gb
        if known_gb is None or known_gb == root_size_gb:
            continue
        if root_size_gb < known_gb:
            return MESSAGE.format(what="a smaller rootVolume.sizeGB")
        if instance.root_volume_type != "sbs_volume":
            return MESSAGE.format(what="another rootVolume.sizeGB of a local volume")
    return ""

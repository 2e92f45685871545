"""From what a deployment names to what a create call needs: the type checked, the label resolved to a zonal
image.
"""

from dataclasses import dataclass
from uuid import UUID

from inventiv_operator.domain.ids import Zone
from inventiv_operator.domain.wanted import WantedDeployment
from inventiv_operator.scaleway.client import ScalewayClient
from inventiv_operator.scaleway.errors import ImageNotFound, NotFound, ScalewayError

NEAREST = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What a new instance is made of."""

    name_prefix: str
    zone: Zone
    instance_type: str
    image_ref: str
    root_volume_type: str
    root_size_gb: int | None  # None: the image's minimum
    template_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StartProblem:
    """Why nothing can be made; `reason` is one of the contract's."""

    reason: str
    message: str


async def resolve_start(
    client: ScalewayClient, wanted: WantedDeployment, *, name_prefix: str
) -> Start | StartProblem:
    """Both look-ups are cached for an hour by the client, that an image is missing for a minute."""
    try:
        types = await client.server_types(wanted.zone)
    except NotFound as error:
        return StartProblem(reason="InvalidZone", message=f"Scaleway knows no zone {wanted.zone}: {error}")
    except ScalewayError as error:
        return StartProblem(reason=error.reason, message=str(error))
    found = types.get(wanted.instance_type)
    if found is None:
        family = wanted.instance_type.split("-", 1)[0]
        near = sorted(name for name in types if name.startswith(family))[:NEAREST]
        hint = f"; there is {', '.join(near)}" if near else ""
        return StartProblem(
            reason="InvalidInstanceType",
            message=f"zone {wanted.zone} has no instance type {wanted.instance_type}{hint}",
        )
    storage = "instance_sbs" if found.block_storage else "instance_local"
    try:
        image_ref = await _image(client, wanted, storage=storage)
    except ImageNotFound as error:
        return StartProblem(reason="ImageNotFound", message=str(error))
    except ScalewayError as error:
        return StartProblem(reason=error.reason, message=str(error))
    return Start(
        name_prefix=name_prefix,
        zone=wanted.zone,
        instance_type=wanted.instance_type,
        image_ref=image_ref,
        root_volume_type="sbs_volume" if found.block_storage else "l_ssd",
        root_size_gb=wanted.root_size_gb,
        template_hash=wanted.template_hash,
    )


async def _image(client: ScalewayClient, wanted: WantedDeployment, *, storage: str) -> str:
    try:
        return str(UUID(wanted.image))
    except ValueError:
        return await client.local_image(
            wanted.zone, label=wanted.image, commercial_type=wanted.instance_type, storage=storage
        )

"""What the instances of a deployment cost, by the catalog of their zones."""

import logging
from collections.abc import Sequence

from inventiv_operator.controllers.deployment.scene import Cloud
from inventiv_operator.controllers.deployment.status import Prices
from inventiv_operator.domain.verdict import Standing
from inventiv_operator.scaleway.errors import ScalewayError

logger = logging.getLogger(__name__)


async def prices_of(cloud: Cloud, standings: Sequence[Standing]) -> Prices | None:
    """Of the types in use; the client keeps the catalog for an hour. None: not to be had now."""
    zones = sorted({s.facts.instance.zone for s in standings})
    try:
        catalogs = {zone: await cloud.client.server_types(zone) for zone in zones}
    except ScalewayError as error:
        logger.debug("prices not known now", extra={"error": str(error)})
        return None
    used = {(s.facts.instance.zone, s.facts.instance.instance_type) for s in standings}
    return {
        (zone, name): catalogs[zone][name].price_eur_per_hour for zone, name in used if name in catalogs[zone]
    }

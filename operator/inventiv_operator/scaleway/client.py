"""One tenant's project at Scaleway, with everything that can be asked of it.

    client -> Caller -> Gate (of the API key) -> Wire
       └── Listings: one shared, complete listing per kind and zone

Nothing is ever repeated here: retries live in the queue. A write that may have happened is `Ambiguous`.
"""

from inventiv_operator.scaleway.addresses import AddressCalls
from inventiv_operator.scaleway.catalog import CatalogCalls
from inventiv_operator.scaleway.groups import SecurityGroupCalls
from inventiv_operator.scaleway.identity import IdentityCalls, KeyFacts
from inventiv_operator.scaleway.servers import ServerCalls
from inventiv_operator.scaleway.volumes import VolumeCalls

__all__ = ["KeyFacts", "ScalewayClient"]


class ScalewayClient(ServerCalls, VolumeCalls, SecurityGroupCalls, AddressCalls, CatalogCalls, IdentityCalls):
    """Made by `ClientFactory.client` only."""

    @property
    def project_id(self) -> str:
        return self._caller.project_id

"""What a key says about itself. Best effort: a key with rights on instances and block storage must do."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from inventiv_operator.domain.ids import ProjectId
from inventiv_operator.scaleway import shapes
from inventiv_operator.scaleway.caller import segment
from inventiv_operator.scaleway.errors import ScalewayError
from inventiv_operator.scaleway.project import ProjectCalls

API_KEY: Final = "/iam/v1alpha1/api-keys/{access_key}"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFacts:
    """`known` False: nothing was learnt, and nothing may be concluded from the two others."""

    expires_at: datetime | None
    default_project_id: ProjectId | None
    known: bool


UNKNOWN_KEY: Final = KeyFacts(expires_at=None, default_project_id=None, known=False)


class IdentityCalls(ProjectCalls):
    """What can be asked of IAM."""

    async def key_facts(self) -> KeyFacts:
        """Never raises a `ScalewayError`: any answer but a clear one leaves the facts unknown."""
        key = self._caller.access_key
        try:
            path = API_KEY.replace("{access_key}", segment(key, what="access key"))
            reply = await self._caller.call("GET", API_KEY, path, what="read the API key", asked_ref=key)
            found = self._caller.understood(
                shapes.api_key, reply.content, method="GET", what="read the API key"
            )
        except ScalewayError:
            return UNKNOWN_KEY
        if found.access_key != key:
            return UNKNOWN_KEY
        project_id = found.default_project_id
        return KeyFacts(
            expires_at=found.expires_at,
            default_project_id=None if project_id is None else ProjectId(project_id.lower()),
            known=True,
        )

"""Objects as reconcilers read them: metadata, spec and status of one of the three kinds.

Metadata is always there, because a deletion needs nothing else. A spec that cannot be read (it was stored
under other rules than ours, by an older or a newer release) raises when it is asked for, and not before:
otherwise such an object could never be deleted. A status that cannot be read counts as empty: it is a copy
of what the ledger holds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from inventiv_operator.api.base import Body, Model
from inventiv_operator.api.credential import CredentialSpec, CredentialStatus
from inventiv_operator.api.deployment import DeploymentSpec
from inventiv_operator.api.deployment_status import DeploymentStatus
from inventiv_operator.api.organization import OrganizationSpec, OrganizationStatus

SpecT = TypeVar("SpecT", bound=Model)
StatusT = TypeVar("StatusT", bound=Model)

_SHOWN_PROBLEMS = 5


class InvalidSpec(Exception):
    """The spec is not what its kind's schema says; the text names the fields, and no value of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """What Kubernetes keeps about every object. `namespace` is empty for a cluster-scoped one."""

    name: str
    namespace: str
    uid: str
    generation: int
    resource_version: str
    finalizers: tuple[str, ...]
    annotations: Mapping[str, str]
    labels: Mapping[str, str]
    creation_timestamp: datetime | None
    deletion_timestamp: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class KubernetesObject(Generic[SpecT, StatusT]):
    """One object of our kinds."""

    metadata: Metadata
    status: StatusT
    parsed_spec: SpecT | InvalidSpec = field(repr=False)  # may hold user data of 64 KiB

    @property
    def spec(self) -> SpecT:
        """The spec, with the defaults of its schema.

        Raises:
            InvalidSpec: it cannot be read; `metadata` and `status` can.
        """
        if isinstance(self.parsed_spec, InvalidSpec):
            raise self.parsed_spec
        return self.parsed_spec


OrganizationObject = KubernetesObject[OrganizationSpec, OrganizationStatus]
CredentialObject = KubernetesObject[CredentialSpec, CredentialStatus]
DeploymentObject = KubernetesObject[DeploymentSpec, DeploymentStatus]


def parse_organization(body: Body) -> OrganizationObject:
    """From the JSON of the API server; see the module for what is wrong in it."""
    return _parse(body, OrganizationSpec, OrganizationStatus)


def parse_credential(body: Body) -> CredentialObject:
    """From the JSON of the API server; see the module for what is wrong in it."""
    return _parse(body, CredentialSpec, CredentialStatus)


def parse_deployment(body: Body) -> DeploymentObject:
    """From the JSON of the API server; see the module for what is wrong in it."""
    return _parse(body, DeploymentSpec, DeploymentStatus)


def _parse(
    body: Body, spec_model: type[SpecT], status_model: type[StatusT]
) -> KubernetesObject[SpecT, StatusT]:
    return KubernetesObject(
        metadata=_metadata(body["metadata"]),
        status=_status(body.get("status"), status_model),
        parsed_spec=_spec(body.get("spec"), spec_model),
    )


def _metadata(raw: Mapping[str, Any]) -> Metadata:
    return Metadata(
        name=str(raw["name"]),
        namespace=str(raw.get("namespace") or ""),
        uid=str(raw["uid"]),
        generation=int(raw.get("generation") or 0),
        resource_version=str(raw["resourceVersion"]),
        finalizers=tuple(raw.get("finalizers") or ()),
        annotations=MappingProxyType(dict(raw.get("annotations") or {})),
        labels=MappingProxyType(dict(raw.get("labels") or {})),
        creation_timestamp=_moment(raw.get("creationTimestamp")),
        deletion_timestamp=_moment(raw.get("deletionTimestamp")),
    )


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _spec(raw: object, model: type[SpecT]) -> SpecT | InvalidSpec:
    try:
        return model.model_validate(raw if raw is not None else {})
    except ValidationError as error:
        return InvalidSpec(_complaint(error))


def _status(raw: object, model: type[StatusT]) -> StatusT:
    try:
        return model.model_validate(raw if raw is not None else {})
    except ValidationError:
        return model()


def _complaint(error: ValidationError) -> str:
    """Fields and what is wrong with them; never the input, which may be user data."""
    details = error.errors(include_input=False, include_context=False, include_url=False)
    problems = [f"{_field('spec', detail['loc'])}: {detail['msg']}" for detail in details[:_SHOWN_PROBLEMS]]
    rest = len(details) - len(problems)
    return "; ".join([*problems, *([f"and {rest} more"] if rest else [])])


def _field(root: str, location: tuple[int | str, ...]) -> str:
    return root + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)

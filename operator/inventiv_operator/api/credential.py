"""ProviderCredential: a tenant's Scaleway project, and the Secret with the key to it."""

from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field

from inventiv_operator.api.base import (
    ATOMIC,
    SET,
    DataKey,
    Model,
    ObjectName,
    Timestamp,
    Uuid,
    ZoneName,
    by_keys,
    rule,
    rules,
)
from inventiv_operator.api.conditions import Condition
from inventiv_operator.api.settings import Settings


class Provider(StrEnum):
    SCALEWAY = "scaleway"


class SecretReference(Model):
    """A Secret of the same namespace that holds an API key."""

    model_config = ConfigDict(json_schema_extra=rules(map_type="atomic"))

    name: ObjectName
    """Name of the Secret. Give it the label inventiv.io/credential=true: without it a changed key is noticed
    only at the next periodic validation.
    """
    access_key_key: DataKey = "SCW_ACCESS_KEY"
    """Key in the Secret's data under which the access key is kept. Default: SCW_ACCESS_KEY."""
    secret_key_key: DataKey = "SCW_SECRET_KEY"  # noqa: S105 - the name of a key
    """Key in the Secret's data under which the secret key is kept. Default: SCW_SECRET_KEY."""


class CredentialSpec(Model):
    """Which project, which key, and where it may be used."""

    provider: Annotated[
        Provider,
        Field(json_schema_extra=rules(rule("self == oldSelf", "provider is immutable: make another object"))),
    ] = Provider.SCALEWAY
    """Cloud provider; immutable. Default and only choice: scaleway."""
    project_id: Annotated[
        Uuid,
        Field(
            json_schema_extra=rules(
                rule("self == oldSelf", "projectID is immutable: make another ProviderCredential for it")
            )
        ),
    ]
    """UUID of the Scaleway project that instances are made in; immutable. A project belongs to one
    organization: the first that proves access to it.
    """
    organization_id: Uuid | None = None
    """UUID of the Scaleway organization that the project belongs to. Not to be confused with the
    Organization object. Optional.
    """
    secret_ref: SecretReference
    """The Secret, in this namespace, that holds the API key. To rotate the key change the Secret or point to
    another one: the new key is validated before it replaces the old one.
    """
    zones: (
        Annotated[tuple[ZoneName, ...], Field(min_length=1, max_length=50, json_schema_extra=SET)] | None
    ) = None
    """Scaleway zones that it may be used in, such as fr-par-1. Absent: every zone. Elsewhere nothing new is
    made with it, and the deployment says ZoneNotAllowed; what exists there is watched, and can be deleted.
    """
    default: bool = True
    """Whether it serves the deployments of this namespace that name no credential. Two of them in one
    namespace are ambiguous, and neither is used for such a deployment. Default: true.
    """
    settings: Settings | None = None
    """Values for the deployments of this credential that set none themselves. An absent key falls through to
    the organization's setting, then to the operator's built-in value.
    """


class ResourceCounts(Model):
    """How many objects at Scaleway the ledger holds for a credential."""

    servers: int = 0
    """Servers that are not proven gone."""
    volumes: int = 0
    """Volumes that are not proven gone, root volumes included."""
    ips: int = 0
    """Reserved IP addresses that are not proven gone."""
    security_groups: int = 0
    """Security groups that are not proven gone."""


ABANDONED_LIMIT = 500
"""More are counted and not listed here; the audit log has every one."""


class AbandonedResource(Model):
    """A thing at Scaleway that was given up, and that Scaleway bills until somebody deletes it there."""

    kind: Annotated[str, Field(max_length=64)]
    """What it is: server, volume, ip or security_group."""
    id: Annotated[str, Field(max_length=64)] | None = None
    """Its id at Scaleway. Absent: whether a call made it was never learnt; look for its tag or its zone."""
    zone: Annotated[str, Field(max_length=64)]
    """Scaleway zone it is in."""
    deployment: Annotated[str, Field(max_length=253)] | None = None
    """Name of the Deployment that it was made for. Absent: it was the operator's own."""
    instance_id: Annotated[str, Field(max_length=64)] | None = None
    """Value of the tag inventiv-instance of what was made for this instance. Absent: of none."""


class CredentialStatus(Model):
    """What the operator knows about the credential. Written by the operator only; never holds a secret."""

    observed_generation: Annotated[int, Field(ge=0)] | None = None
    """Generation of the spec that this status is about."""
    credential_id: Uuid | None = None
    """Durable id of the credential; an object that is made anew for the same project keeps it. It is the
    value of the annotation inventiv.io/abandon, which gives up what is left of a credential: honoured only
    while the object is being deleted and its key has been refused, or the credential frozen, for 24 hours.
    Otherwise the condition Ready says why it is not. What is given up goes on being billed by Scaleway. The
    annotation inventiv.io/release-freeze has no effect in this release, and Ready says so.
    """
    access_key: Annotated[str, Field(max_length=64)] | None = None
    """Access key in use, which is no secret. Shown only when it looks like one."""
    key_fingerprint: Annotated[str, Field(max_length=64)] | None = None
    """First 8 hexadecimal digits of the SHA-256 of the secret key in use, to compare two keys by."""
    expires_at: Timestamp | None = None
    """When the key stops working, as far as Scaleway says. Absent: never, or not known."""
    last_validated_at: Timestamp | None = None
    """When the key was last proven to give access to the project."""
    encryption_key_id: Annotated[str, Field(max_length=64)] | None = None
    """Which key of the operator's keyring protects the stored copy."""
    resources: ResourceCounts | None = None
    """What exists at Scaleway for this credential. While any of it does, the stored key is kept."""
    abandoned_count: Annotated[int, Field(ge=0)] | None = None
    """How many things were given up because of the annotation inventiv.io/abandon. Absent: none."""
    abandoned: Annotated[
        tuple[AbandonedResource, ...], Field(max_length=ABANDONED_LIMIT, json_schema_extra=ATOMIC)
    ] = ()
    """What was given up, servers first; of more than 500 the first 500. Delete it at Scaleway by hand: nobody
    else does.
    """
    conditions: Annotated[tuple[Condition, ...], Field(max_length=16, json_schema_extra=by_keys("type"))] = ()
    """Ready: whether the key works, and if not, what to do. Expiring: whether it ends soon."""


class ProviderCredential(Model):
    """A tenant's Scaleway project and the Secret that holds its API key. Written by the tenant."""

    spec: CredentialSpec
    """Which project, which key, and where it may be used."""
    status: CredentialStatus | None = None
    """What the operator knows about the credential. Written by the operator only."""

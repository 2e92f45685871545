"""Organization: a tenant, and what the platform team lets it use."""

from typing import Annotated

from pydantic import ConfigDict, Field

from inventiv_operator.api.base import (
    ATOMIC,
    SET,
    Euros,
    InstanceTypeGlob,
    Model,
    NamespaceName,
    Timestamp,
    Uuid,
    ZoneName,
    by_keys,
    rule,
    rules,
)
from inventiv_operator.api.conditions import Condition
from inventiv_operator.api.credential import ABANDONED_LIMIT, AbandonedResource, ResourceCounts
from inventiv_operator.api.settings import Settings

_Count = Annotated[int, Field(ge=0, le=1_000_000)]
_Gigabytes = Annotated[int, Field(ge=0, le=1_000_000_000)]


class Quota(Model):
    """Upper bounds over everything that the organization runs."""

    instances: _Count | None = None
    """How many instances may exist at once. Absent: no bound."""
    gpus: _Count | None = None
    """How many GPUs its instances may have together. Absent: no bound."""
    volumes_gb: _Gigabytes | None = None
    """Size of all its volumes together, in GB of 10^9 bytes. Absent: no bound."""
    hourly_cost: Euros | None = None
    """What everything may cost together, in EUR per hour, as a decimal string such as "40.00". Absent: no
    bound.
    """


class OrganizationSpec(Model):
    """What the platform team decides about the tenant."""

    display_name: Annotated[str, Field(max_length=128)] = ""
    """Name for people, such as Acme SAS. Has no influence on anything."""
    default: bool = False
    """Whether the catalog of instance types and prices is read with this organization's credential, and
    whether the operator's seed directory, where it has one, fills a credential for it when it has none. At
    most one organization may be the default. Default: false.
    """
    namespaces: Annotated[tuple[NamespaceName, ...], Field(max_length=100, json_schema_extra=SET)] = ()
    """Namespaces that belong to this organization, at most 100. A namespace belongs to one organization at
    most; its credentials and deployments are this organization's. One that is in use cannot be removed or
    moved: delete its deployments and credentials first.
    """
    suspended: bool = False
    """true: no new instances are made; existing ones are watched and can be deleted. Default: false."""
    allowed_zones: (
        Annotated[tuple[ZoneName, ...], Field(min_length=1, max_length=50, json_schema_extra=SET)] | None
    ) = None
    """Scaleway zones that deployments may use, such as fr-par-2. Absent: every zone."""
    allowed_instance_types: (
        Annotated[tuple[InstanceTypeGlob, ...], Field(min_length=1, max_length=100, json_schema_extra=SET)]
        | None
    ) = None
    """Instance types that deployments may use, as names or globs such as L4-*. Absent: every type."""
    quota: Quota | None = None
    """Upper bounds over everything that the organization runs. Absent: none."""
    settings: Settings | None = None
    """Values for the credentials and deployments of this organization that set none themselves. They come
    after the deployment's own field and the credential's setting, and before the operator's built-in values.
    """


class ClaimedNamespace(Model):
    """How it stands with one namespace."""

    name: NamespaceName
    """Name of the namespace."""
    uid: Annotated[str, Field(max_length=64)] | None = None
    """UID of the namespace that was looked at. Absent: it does not exist yet."""
    claimed: bool
    """Whether it belongs to this organization; if not, the condition Ready says why."""


class Usage(Model):
    """What the organization uses now."""

    instances: int = 0
    """Instances that are not proven gone yet."""
    gpus: int = 0
    """GPUs of those instances."""
    volumes_gb: int = 0
    """Size of its volumes together, in GB of 10^9 bytes."""
    hourly_cost: Euros | None = None
    """What all of it costs, in EUR per hour."""


class SeededCredential(Model):
    """The credential without an object that was filled from the operator's seed directory, or why none was.
    It serves the deployments of this organization in namespaces without a ProviderCredential of their own
    that is the default. Never holds a secret.
    """

    credential_id: Uuid | None = None
    """Durable id of the credential. Absent: it could not be filled yet."""
    project_id: Uuid | None = None
    """The Scaleway project, once the key was proven to give access to it. It cannot change."""
    access_key: Annotated[str, Field(max_length=64)] | None = None
    """Access key in use, which is no secret."""
    key_fingerprint: Annotated[str, Field(max_length=64)] | None = None
    """First 8 hexadecimal digits of the SHA-256 of the secret key in use, to compare two keys by."""
    expires_at: Timestamp | None = None
    """When the key stops working, as far as Scaleway says. Absent: never, or not known."""
    last_validated_at: Timestamp | None = None
    """When the key was last proven to give access to the project."""
    encryption_key_id: Annotated[str, Field(max_length=64)] | None = None
    """Which key of the operator's keyring protects the stored copy."""
    ready: bool
    """Whether new instances may be made with it."""
    reason: Annotated[str, Field(max_length=64)]
    """Cause in one CamelCase word: those of a ProviderCredential's condition Ready."""
    message: Annotated[str, Field(max_length=32768)]
    """Cause in a sentence, and what to do about it."""
    expiring: Annotated[str, Field(max_length=64)] | None = None
    """How near the end of the key is, in one word: those of a ProviderCredential's condition Expiring.
    Absent: no end is known.
    """
    resources: ResourceCounts | None = None
    """What exists at Scaleway for this credential. While any of it does, the stored key is kept."""
    abandoned_count: Annotated[int, Field(ge=0)] | None = None
    """How many things were given up because of the annotation inventiv.io/abandon on this Organization, which
    is honoured as on a ProviderCredential. Its value is the credentialID. Absent: none.
    """
    abandoned: Annotated[
        tuple[AbandonedResource, ...], Field(max_length=ABANDONED_LIMIT, json_schema_extra=ATOMIC)
    ] = ()
    """What was given up, servers first; of more than 500 the first 500. Delete it at Scaleway by hand: nobody
    else does.
    """


class OrganizationStatus(Model):
    """What the operator knows about the tenant. Written by the operator only."""

    observed_generation: Annotated[int, Field(ge=0)] | None = None
    """Generation of the spec that this status is about."""
    organization_id: Uuid | None = None
    """Durable id of the organization. Everything of it carries this id, in the database and as a tag at
    Scaleway; a new Organization of the same name gets another one.
    """
    installation_id: Uuid | None = None
    """Id of this installation of the operator, which is a tag on everything it makes at Scaleway."""
    namespaces: Annotated[tuple[ClaimedNamespace, ...], Field(max_length=200, json_schema_extra=ATOMIC)] = ()
    """Each namespace of the spec, and those removed from it that are still in use."""
    used: Usage | None = None
    """What the organization uses now; written every 5 seconds at most."""
    seeded_credential: SeededCredential | None = None
    """The credential that was filled from the operator's seed directory. Absent: there is none."""
    conditions: Annotated[tuple[Condition, ...], Field(max_length=16, json_schema_extra=by_keys("type"))] = ()
    """Ready: whether all namespaces are claimed, and if not, what to do."""


class Organization(Model):
    """A tenant: which namespaces are its own, and what it may use. Written by the platform team."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "size(self.metadata.name) <= 63",
                "metadata.name must have at most 63 characters: it becomes the value of a label",
            )
        )
    )

    spec: OrganizationSpec
    """What the platform team decides about the tenant."""
    status: OrganizationStatus | None = None
    """What the operator knows about the tenant. Written by the operator only."""

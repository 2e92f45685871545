"""The three CustomResourceDefinitions: names, columns and subresources around the schemas."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from inventiv_operator.api.base import GROUP, VERSION, Model
from inventiv_operator.api.credential import ProviderCredential
from inventiv_operator.api.deployment import Deployment
from inventiv_operator.api.organization import Organization
from inventiv_operator.api.structural import structural_schema, without_defaults

_WIDE = 1
"""Priority of a column that only `kubectl get -o wide` shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of `kubectl get`."""

    name: str
    path: str
    description: str
    type: str = "string"
    priority: int = 0

    def as_json(self) -> dict[str, Any]:
        rendered: dict[str, Any] = {
            "name": self.name,
            "type": self.type,
            "description": self.description,
            "jsonPath": self.path,
        }
        return {**rendered, "priority": self.priority} if self.priority else rendered


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    model: type[Model]
    plural: str
    short_name: str
    scope: str
    columns: Sequence[Column]
    scalable: bool = False

    @property
    def name(self) -> str:
        return f"{self.plural}.{GROUP}"


def _ready(field: str) -> str:
    return f'.status.conditions[?(@.type=="Ready")].{field}'


_AGE = Column(
    name="Age", path=".metadata.creationTimestamp", type="date", description="Time since it was created."
)
_READY = Column(
    name="Ready", path=_ready("status"), description="True, False, or Unknown while nobody can tell yet."
)

DEFINITIONS = (
    Definition(
        model=Organization,
        plural="organizations",
        short_name="iorg",
        scope="Cluster",
        columns=(
            Column(name="Display name", path=".spec.displayName", description="Name for people."),
            Column(
                name="Default",
                path=".spec.default",
                type="boolean",
                description="Whether its credential serves the catalog.",
            ),
            Column(
                name="Instances",
                path=".status.used.instances",
                type="integer",
                description="Instances that are not proven gone.",
            ),
            Column(name="GPUs", path=".status.used.gpus", type="integer", description="Their GPUs."),
            Column(
                name="Cost/h",
                path=".status.used.hourlyCost",
                description="Cost of all of it in EUR per hour.",
            ),
            _READY,
            _AGE,
            Column(
                name="Message",
                path=_ready("message"),
                priority=_WIDE,
                description="What it waits for, and why.",
            ),
        ),
    ),
    Definition(
        model=ProviderCredential,
        plural="providercredentials",
        short_name="icred",
        scope="Namespaced",
        columns=(
            Column(name="Provider", path=".spec.provider", description="Cloud provider."),
            Column(name="Project", path=".spec.projectID", description="Scaleway project."),
            Column(
                name="Servers",
                path=".status.resources.servers",
                type="integer",
                description="Servers that are not proven gone.",
            ),
            # not of type date, which prints the time since: nothing of use for a day to come
            Column(name="Expires", path=".status.expiresAt", description="When the key stops working."),
            _READY,
            Column(name="Reason", path=_ready("reason"), description="Why it is ready or not, in one word."),
            _AGE,
            Column(
                name="Message",
                path=_ready("message"),
                priority=_WIDE,
                description="What is wrong, and what to do.",
            ),
        ),
    ),
    Definition(
        model=Deployment,
        plural="deployments",
        short_name="idep",
        scope="Namespaced",
        scalable=True,
        columns=(
            Column(name="Ready", path=".status.ready", description="Ready and wanted instances."),
            Column(name="Phase", path=".status.phase", description="The state in one word."),
            Column(
                name="Type",
                path=".spec.placement[0].instanceType",
                description="Instance type that is tried first.",
            ),
            Column(name="Zone", path=".status.zones", description="Zones that instances are in."),
            Column(name="IP", path=".status.ips", description="Public IP addresses."),
            Column(name="Cost/h", path=".status.hourlyCost", description="Cost in EUR per hour."),
            Column(name="Message", path=_ready("message"), description="What it waits for, and what to do."),
            _AGE,
            Column(name="Image", path=".spec.image", priority=_WIDE, description="What the instances boot."),
            Column(
                name="Credential",
                path=".status.credentialName",
                priority=_WIDE,
                description="ProviderCredential that serves it.",
            ),
            Column(
                name="Provider ID",
                path=".status.instances[0].providerID",
                priority=_WIDE,
                description="Id of the first instance's server.",
            ),
        ),
    ),
)


def custom_resource_definition(definition: Definition) -> dict[str, Any]:
    """One CRD as the API server takes it."""
    kind = definition.model.__name__
    subresources: dict[str, Any] = {"status": {}}
    if definition.scalable:
        subresources["scale"] = {
            "specReplicasPath": ".spec.replicas",
            "statusReplicasPath": ".status.replicas",
            "labelSelectorPath": ".status.selector",
        }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": definition.name},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": definition.plural,
                "singular": kind.lower(),
                "shortNames": [definition.short_name],
                "categories": ["inventiv"],
            },
            "scope": definition.scope,
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": subresources,
                    "additionalPrinterColumns": [column.as_json() for column in definition.columns],
                    "schema": {"openAPIV3Schema": _object_schema(definition.model)},
                }
            ],
        },
    }


def _object_schema(model: type[Model]) -> dict[str, Any]:
    schema = structural_schema(model)
    schema["properties"] = {
        "apiVersion": {"type": "string", "description": f"Always {GROUP}/{VERSION}."},
        "kind": {"type": "string", "description": f"Always {model.__name__}."},
        "metadata": {"type": "object"},
        "spec": schema["properties"]["spec"],
        "status": without_defaults(schema["properties"]["status"]),
    }
    return schema

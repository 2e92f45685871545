"""The kinds the operator talks about, and where the API server keeps them."""

from dataclasses import dataclass

GROUP = "inventiv.io"
VERSION = "v1alpha1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    group: str  # empty: core
    version: str
    kind: str
    plural: str
    namespaced: bool

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, *, namespace: str | None = None, name: str | None = None, subresource: str = "") -> str:
        """URL path; without a namespace the collection of the whole cluster."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        if self.namespaced and namespace:
            root = f"{root}/namespaces/{namespace}"
        path = f"{root}/{self.plural}"
        path = f"{path}/{name}" if name else path
        return f"{path}/{subresource}" if subresource else path

    def rule(self, verb: str, *, subresource: str = "") -> str:
        """The RBAC rule a call needs, as a person would write it: `patch deployments/status.inventiv.io`."""
        resource = f"{self.plural}/{subresource}" if subresource else self.plural
        return f"{verb} {resource}.{self.group}" if self.group else f"{verb} {resource}"

    def label(self, *, namespace: str | None, name: str | None) -> str:
        """How messages name an object."""
        where = "/".join(part for part in (namespace, name) if part)
        return f"{self.kind} {where}" if where else self.kind


ORGANIZATION = Kind(
    group=GROUP, version=VERSION, kind="Organization", plural="organizations", namespaced=False
)
CREDENTIAL = Kind(
    group=GROUP, version=VERSION, kind="ProviderCredential", plural="providercredentials", namespaced=True
)
DEPLOYMENT = Kind(group=GROUP, version=VERSION, kind="Deployment", plural="deployments", namespaced=True)
SECRET = Kind(group="", version="v1", kind="Secret", plural="secrets", namespaced=True)
NAMESPACE = Kind(group="", version="v1", kind="Namespace", plural="namespaces", namespaced=False)
EVENT = Kind(group="events.k8s.io", version="v1", kind="Event", plural="events", namespaced=True)

OURS = (ORGANIZATION, CREDENTIAL, DEPLOYMENT)

CLEANUP_FINALIZER = "inventiv.io/cleanup"
FIELD_MANAGER = "inventiv-operator"
ORGANIZATION_LABEL = "inventiv.io/organization"
CREDENTIAL_SECRET_SELECTOR = "inventiv.io/credential=true"  # noqa: S105 - a label selector

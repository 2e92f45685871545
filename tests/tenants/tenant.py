"""One tenant of a sequence: its objects at the API server, its project and its keys at the provider."""

import base64
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import uuid4

from inventiv_operator.controllers.claiming import CLAIM_ANNOTATION
from inventiv_operator.kube.kinds import CREDENTIAL, DEPLOYMENT, NAMESPACE, ORGANIZATION, SECRET
from rig.tenant import TYPE, ZONE
from scaleway_simulator.identity import ApiKey, key_from
from scaleway_simulator.world import World
from tenants.api_server import ApiServer
from tenants.key_watch import KeyWatch
from tenants.operations import CONTENTS, KEYS, SECRETS

CRED = "scaleway"
LABELLED = {"inventiv.io/credential": "true"}
IMAGE = "ubuntu_jammy_gpu_os_12"


@dataclass(frozen=True, slots=True)
class Pair:
    access_key: str = field(default_factory=lambda: f"SCW{uuid4().hex[:17].upper()}")
    secret_key: str = field(default_factory=lambda: str(uuid4()))


@dataclass(slots=True, kw_only=True)
class Tenant:
    """`name` is that of the Organization and of its one namespace."""

    number: int
    api: ApiServer
    world: World
    watch: KeyWatch
    name: str = field(default_factory=lambda: f"tenant-{uuid4().hex[:10]}")
    project_id: str = field(default_factory=lambda: str(uuid4()))
    pairs: list[Pair] = field(default_factory=lambda: [Pair() for _ in range(KEYS)])
    may_be_lost: set[str] = field(default_factory=set)
    """Names of deployments whose objects were taken away by force (L9)."""
    must_be_lost: set[str] = field(default_factory=set)
    """Those of them that were Ready, that nobody had asked to delete, and that were not put back since."""
    revision: int = 0

    def __post_init__(self) -> None:
        tenancy = self.watch.tenancy
        tenancy.projects[self.project_id] = self.number
        tenancy.namespaces[self.name] = self.number
        for pair in self.pairs:
            tenancy.owners[pair.secret_key] = (self.number, pair.access_key)
            described = {
                "access_key": pair.access_key,
                "secret_key": pair.secret_key,
                "project_id": self.project_id,
            }
            self.world.identity.add_key(key_from(described, now=self.world.now, seconds=self.world.seconds))

    # -- objects -------------------------------------------------------------------------------------------

    def deploy(self, name: str, replicas: int) -> None:
        if not self.api.takes_in(self.name) or self.api.is_going(DEPLOYMENT, self.name, name):
            return
        spec = {
            "replicas": replicas,
            "placement": [{"zone": ZONE, "instanceType": TYPE}],
            "image": IMAGE,
            "failedRetentionSeconds": 0,
        }
        self.api.put(DEPLOYMENT, self.name, name, spec=spec)
        self.must_be_lost.discard(name)

    def undeploy(self, name: str) -> None:
        self._delete(DEPLOYMENT, self.name, name)

    def put_credential(self) -> None:
        if self.api.takes_in(self.name) and self.api.read(CREDENTIAL, self.name, CRED) is None:
            self._write_credential(SECRETS[0])

    def point(self, secret: str) -> None:
        if self.api.read(CREDENTIAL, self.name, CRED) is not None:
            self._write_credential(secret)

    def _write_credential(self, secret: str) -> None:
        self.api.put(
            CREDENTIAL, self.name, CRED, spec={"projectID": self.project_id, "secretRef": {"name": secret}}
        )

    def delete_credential(self) -> None:
        self._delete(CREDENTIAL, self.name, CRED)

    def put_organization(self) -> None:
        if self.api.read(ORGANIZATION, "", self.name) is None:
            self.api.put(ORGANIZATION, "", self.name, spec={"namespaces": [self.name]})

    def delete_organization(self) -> None:
        self._delete(ORGANIZATION, "", self.name)

    def put_namespace(self) -> None:
        if self.api.read(NAMESPACE, "", self.name) is None:
            self.api.put(NAMESPACE, "", self.name)

    def delete_namespace(self) -> None:
        if self.api.takes_in(self.name):
            self.api.delete_namespace(self.name)
            self._say_secrets()

    def force_namespace(self) -> None:
        self.may_be_lost |= set(self.names())
        self.must_be_lost |= {n for n in self.names() if self.api.is_ready(DEPLOYMENT, self.name, n)}
        if self.api.read(NAMESPACE, "", self.name) is not None:
            self.api.force_namespace(self.name)
            self._say_secrets()

    def force(self, kind: Any) -> None:
        """Its finalizer is stripped."""
        namespace, name = (self.name, CRED) if kind == CREDENTIAL else ("", self.name)
        if self.api.read(kind, namespace, name) is not None:
            self.api.vanish(kind, namespace, name)

    def _delete(self, kind: Any, namespace: str, name: str) -> None:
        body = self.api.read(kind, namespace, name)
        if body is not None and "deletionTimestamp" not in body["metadata"]:
            self.api.delete(kind, namespace, name)

    # -- keys ----------------------------------------------------------------------------------------------

    def put_secret(self, secret: str, content: str, *, neighbour: "Tenant") -> None:
        if not self.api.takes_in(self.name):
            return
        if content == "gone":
            self._delete(SECRET, self.name, secret)
        elif content == "malformed":
            self._write_secret(secret, Pair("AKIAIOSFODNN7EXAMPLE", "a password"))
        elif content == "unknown":
            self._write_secret(secret, Pair())
        else:
            whose, _, index = content.partition(" ")
            self._write_secret(secret, (self if whose == "own" else neighbour).pairs[int(index)])
        self._say_secrets()

    def _write_secret(self, secret: str, pair: Pair) -> None:
        values = {"SCW_ACCESS_KEY": pair.access_key, "SCW_SECRET_KEY": pair.secret_key}
        data = {name: base64.b64encode(value.encode()).decode() for name, value in values.items()}
        self.api.put(SECRET, self.name, secret, data=data, metadata={"labels": LABELLED})

    def held(self, secret: str) -> str | None:
        """The secret key in a Secret of the namespace."""
        body = self.api.read(SECRET, self.name, secret)
        return None if body is None else base64.b64decode(body["data"]["SCW_SECRET_KEY"]).decode()

    def _say_secrets(self) -> None:
        for secret in SECRETS:
            self.watch.offered(self.number, secret, self.held(secret))

    def key(self, number: int, fate: str, *, neighbour: "Tenant") -> None:
        key = self._key(number)
        match fate:
            case "revoked":
                key.revoked = True
            case "expired":
                key.expires_at = self.world.now - timedelta(seconds=1)
            case "moved":
                key.project_id = neighbour.project_id
            case "denied":
                key.denied_until_s = self.world.seconds + 300.0
            case _:
                self.restore(number)

    def restore(self, number: int) -> None:
        key = self._key(number)
        key.revoked, key.expires_at, key.project_id, key.denied_until_s = False, None, self.project_id, 0.0

    def _key(self, number: int) -> ApiKey:
        key = self.world.identity.find_key(self.pairs[number].access_key)
        assert key is not None
        return key

    # -- how people mend it --------------------------------------------------------------------------------

    def mend_keys(self) -> None:
        for number in range(KEYS):
            self.restore(number)

    def mend_objects(self) -> None:
        """One more thing that a person would do to have it Ready again; nothing when all is well.

        What is being deleted is not stopped: what it waits for is deleted too, and then it is made anew,
        but for an Organization, with which the tenant leaves.
        """
        self._mend_secrets()
        if self.api.is_going(ORGANIZATION, "", self.name):
            for name in self.api.names(DEPLOYMENT, self.name):
                self.undeploy(name)
            self.delete_credential()
            return
        self.put_namespace()
        self.put_organization()
        self._say_claim()
        if self.api.is_going(CREDENTIAL, self.name, CRED):
            for name in self._begun():
                self.undeploy(name)
        self.put_credential()

    def _mend_secrets(self) -> None:
        own = {pair.secret_key for pair in self.pairs}
        for secret in SECRETS:
            if self.held(secret) not in own:
                self.put_secret(secret, CONTENTS[1], neighbour=self)

    def _say_claim(self) -> None:
        """The platform's word that the namespace is the tenant's, also when it was made anew."""
        body, organization = (
            self.api.read(NAMESPACE, "", self.name),
            self.api.read(ORGANIZATION, "", self.name),
        )
        if body is None or organization is None:
            return
        said = {CLAIM_ANNOTATION: f"{self.name}={body['metadata']['uid']}"}
        if organization["metadata"].get("annotations") != said:
            self.api.put(ORGANIZATION, "", self.name, metadata={"annotations": said})

    def _begun(self) -> list[str]:
        """Deployments that may be bound to the credential."""
        bodies = {name: self.api.read(DEPLOYMENT, self.name, name) for name in self.names()}
        return [n for n, b in bodies.items() if b and (b.get("status") or {}).get("deploymentID")]

    def names(self) -> list[str]:
        return self.api.names(DEPLOYMENT, self.name)

    def look_again(self) -> None:
        """Failed starts are forgotten (`reconcile-at`)."""
        for name in self.names():
            self.revision += 1
            annotations = {"inventiv.io/reconcile-at": str(self.revision)}
            self.api.put(DEPLOYMENT, self.name, name, metadata={"annotations": annotations})

    @property
    def has_left(self) -> bool:
        """It was deleted, and nothing was made anew."""
        return self.api.read(ORGANIZATION, "", self.name) is None

    @property
    def holds_anything(self) -> bool:
        """Whether an object of ours is left in its namespace."""
        return bool(self.names() or self.api.names(CREDENTIAL, self.name))

    def unrest(self) -> str:
        """What is not at rest of what the API server shows; empty: all is."""
        for kind, namespace, names in (
            (ORGANIZATION, "", [self.name]),
            (CREDENTIAL, self.name, [CRED]),
            (DEPLOYMENT, self.name, self.names()),
        ):
            for name in names:
                if not self.api.is_ready(kind, namespace, name):
                    said = self.api.condition(kind, namespace, name)
                    return f"{kind.kind} {name}: {said.get('reason')}: {said.get('message')}"
        return ""

"""T7: no secret of anybody in logs, tracebacks, events, objects, metrics, the database or the process table.

Recognisable secrets go through everything that the operator does and through everything that can go wrong.
"""

import base64
import json
import secrets
import uuid
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

from e2e.canaries import (
    COMMAND_LINE,
    DUMP,
    ENVIRONMENT,
    EVENTS,
    LOG,
    METRICS,
    OBJECTS,
    PLACES,
    Canary,
    Lookout,
    found,
    of_text,
)
from e2e.proxy import CuttableProxy
from e2e.tenant import Tenant, until
from local_stack import sample_tenant
from local_stack.api_client import ApiClient
from local_stack.errors import LocalStackError
from local_stack.simulator_client import SimulatorClient, TenantKey, new_key
from local_stack.stack import Stack
from stack_fixtures import Database, OperatorFactory, OperatorProcess

pytestmark = [pytest.mark.stack, pytest.mark.slow]

PLATFORM = "platform"
PLACE = {"zone": "fr-par-1", "instanceType": "DEV1-S"}
FAULTS: list[dict[str, Any]] = [
    {"kind": "status", "status": 500},
    {"kind": "status", "status": 403},
    {"kind": "status", "status": 429, "body": "slow down"},
    {"kind": "html"},
    {"kind": "empty_body"},
    {"kind": "truncated"},
    {"kind": "drop_after_commit"},
    {"kind": "delay_before", "seconds": 3.0},  # longer than the operator waits
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """What must not be seen, by what it is."""

    first: TenantKey
    second: TenantKey
    third: TenantKey
    fourth: TenantKey
    refused: TenantKey
    seeded: TenantKey
    as_access_key: str = field(default_factory=lambda: f"hunter2/pasted+into=access&{secrets.token_hex(8)}")
    as_secret_key: str = field(default_factory=lambda: f"hunter2/pasted+into=secret&{secrets.token_hex(8)}")
    other: str = field(default_factory=lambda: f"of-another-secret-{secrets.token_hex(8)}")
    watched: str = field(default_factory=lambda: f"of-a-labelled-secret-{secrets.token_hex(8)}")
    cloud_init: str = field(default_factory=lambda: f"in-cloud-init-{secrets.token_hex(8)}")

    def canaries(self, stack: Stack) -> list[Canary]:
        """Those of the tenants, and the operator's own."""
        keys = {
            "the first key": self.first,
            "the second key": self.second,
            "the third key": self.third,
            "the fourth key": self.fourth,
            "a refused key": self.refused,
            "the seeded key": self.seeded,
        }
        texts = {
            "what was pasted for an access key": self.as_access_key,
            "what was pasted for a secret key": self.as_secret_key,
            "another Secret": self.other,
            "a labelled Secret": self.watched,
            "the cloud-init": self.cloud_init,
        }
        keyring = json.loads(stack.site.keyring.read_text())["keys"]
        kubeconfig = yaml.safe_load(stack.operator_kubeconfig.read_text())
        password = stack.site.state.secrets.operator_password
        return [
            *(of_text(name, key.secret_key) for name, key in keys.items()),
            *(of_text(name, text) for name, text in texts.items()),
            *(
                Canary(name=f"key {id_} of the keyring", data=base64.b64decode(k))
                for id_, k in keyring.items()
            ),
            of_text("the token of the operator", kubeconfig["users"][0]["user"]["token"]),
            of_text("the password of the database", password, allowed_in=[ENVIRONMENT]),
        ]


def test_a_secret_is_found_in_whatever_form() -> None:
    secret = "2f6f0c1e-0d8e-4c57-9d0a-6e0b7b1f3a55"
    canary = of_text("it", secret)
    raw = secret.encode()
    for text in (
        f"before{secret}after",
        secret.upper(),
        secret.replace("-", ""),
        f"\\x00{raw.hex()}00",
        *(base64.b64encode(b"x" * n + raw + b"y" * n).decode() for n in range(4)),
    ):
        assert found([canary], {LOG: text}), text
    assert found([of_text("it", "pass/word+of=a&kind")], {LOG: "?q=pass%2Fword%2Bof%3Da%26kind"})
    assert not found([canary], {LOG: secret[:-1]})
    assert not found([of_text("it", secret, allowed_in=[LOG])], {LOG: secret})


class Traffic:
    """One tenant with an object, one that is seeded, and everything that can go wrong for them."""

    def __init__(
        self,
        tenant: Tenant,
        given: Secrets,
        *,
        operator: OperatorProcess,
        lookout: Lookout,
        database: Database,
        database_line: CuttableProxy,
    ) -> None:
        self.tenant = tenant
        self.given = given
        self.operator = operator
        self.lookout = lookout
        self.database = database
        self.database_line = database_line

    def run(self) -> None:
        for step in (
            self.begin,
            self.paste_into_the_wrong_fields,
            self.offer_a_refused_key,
            self.rotate,
            self.have_the_provider_fail,
            self.have_the_key_revoked,
            self.be_wrong_beside_a_secret,
            self.have_the_database_fail,
            self.crash,
            self.end,
        ):
            step()
            self.lookout.look()

    def begin(self) -> None:
        self.apply(
            *self.tenant.everything(),
            self.other_secret("other", self.given.other),
            self.other_secret("watched", self.given.watched, **{"inventiv.io/credential": "true"}),
            self.deployment(),
            sample_tenant.namespace(PLATFORM),
            sample_tenant.organization(PLATFORM, default=True),
        )
        self.until_ready()
        self.until_reason("iorg", PLATFORM, "Ready")
        until(
            lambda: (self.tenant.status("iorg", PLATFORM).get("seededCredential") or {}).get("ready") is True,
            what="the seeded credential to be ready",
            tell=lambda: f"{self.tenant.status('iorg', PLATFORM)}\n{self.tell()}",
        )

    def paste_into_the_wrong_fields(self) -> None:
        for name, value in (
            ("SCW_ACCESS_KEY", self.given.as_access_key),
            ("SCW_SECRET_KEY", self.given.as_secret_key),
        ):
            self.apply(self.tenant.secret(None, **{name: value}))
            self.until_says(f"the value of {name} is not")
            self.lookout.glance()

    def offer_a_refused_key(self) -> None:
        self.apply(self.tenant.secret(self.given.refused))
        self.until_reason("icred", "scaleway", "CredentialRejected")

    def rotate(self) -> None:
        self.apply(self.tenant.secret(self.given.second))
        self.until_key(self.given.second)
        self.until_ready()

    def have_the_provider_fail(self) -> None:
        simulator = self.tenant.simulator
        for number, fault in enumerate(FAULTS):
            match = {"access_key": self.given.second.access_key}
            simulator.faults(fault | {"times": None, "match": match})
            self.apply(self.deployment(replicas=2 - number % 2, tags=[f"try={number}"]))
            until(
                lambda: simulator.state()["faults"][0]["hits"] >= 2,
                what=f"fault {fault} to strike",
                tell=self.tell,
            )
            self.lookout.glance()
            simulator.clear_faults()
        self.apply(self.deployment())
        self.until_ready(within_s=120.0)

    def have_the_key_revoked(self) -> None:
        self.tenant.simulator.someone_else("keys", self.given.second.access_key, "revoke")
        self.apply(self.deployment(tags=["revoked"]))
        self.until_reason("icred", "scaleway", "CredentialRejected")
        self.lookout.glance()
        self.apply(self.tenant.secret(self.given.third))
        self.until_key(self.given.third)
        self.until_ready()

    def be_wrong_beside_a_secret(self) -> None:
        """Fields that the schema would refuse, in an object that came past it, with a secret beside them: one
        that is wrong, and one that is missing, about which pydantic would quote everything that is there.
        """
        patch = json.dumps(_LOOSENED)
        try:
            self.tenant.stack.kubectl("patch", *_CRD, "--type=json", f"--patch={patch}")
            wrong = self.deployment("wrong", placement=[PLACE | {"zone": "no zone at all"}])
            del wrong["spec"]["image"]
            until(lambda: self.is_admitted(wrong), what="the loosened schema to be in force")
            self.until_reason("idep", "wrong", "InvalidSpec")
            self.lookout.glance()
            self.tenant.delete("idep", "wrong")
            self.tenant.until_gone("idep", "wrong", log=self.tell)
        finally:
            self.tenant.stack.install()

    def have_the_database_fail(self) -> None:
        """Refuse the very rows with the secrets, in a way that nobody foresaw; then be away."""
        with psycopg.connect(self.database.superuser_url, autocommit=True) as conn:
            conn.execute("ALTER TABLE provider_settings ADD CONSTRAINT odd CHECK (false) NOT VALID")
            self.apply(self.tenant.secret(self.given.fourth))
            before = len(self.operator.log)
            until(lambda: "Traceback" in self.operator.log[before:], what="a traceback", tell=self.tell)
            conn.execute("ALTER TABLE provider_settings DROP CONSTRAINT odd")
        self.database_line.cut()
        until(lambda: "[-]database failed" in self.operator.readiness(), what="the database to be missed")
        self.database_line.mend()
        self.until_key(self.given.fourth)
        self.until_ready()

    def crash(self) -> None:
        self.operator.restart()
        self.apply(self.deployment(replicas=2))
        self.until_ready()

    def end(self) -> None:
        for kind, name in (("idep", "web"), ("icred", "scaleway"), ("iorg", self.tenant.name)):
            self.tenant.delete(kind, name)
            self.tenant.until_gone(kind, name, log=self.tell)

    # -- shared ----------------------------------------------------------------------------------------------

    def apply(self, *objects: dict[str, Any]) -> None:
        """Server-side: otherwise kubectl itself would copy Secrets into an annotation."""
        with ApiClient(self.tenant.stack.site) as api:
            api.apply(*objects)

    def is_admitted(self, body: dict[str, Any]) -> bool:
        try:
            self.apply(body)
        except LocalStackError:
            return False
        return True

    def deployment(self, name: str = "web", **spec: Any) -> dict[str, Any]:
        text = f"#cloud-config\nwrite_files: [{{path: /x, content: {self.given.cloud_init}}}]\n"
        return self.tenant.deployment(name, cloudInit={"inline": text}, **spec)

    def other_secret(self, name: str, value: str, **labels: str) -> dict[str, Any]:
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": self.tenant.name, "labels": labels},
            "stringData": {"password": value},
        }

    def until_ready(self, *, within_s: float = 60.0) -> None:
        for kind, name in (("icred", "scaleway"), ("idep", "web")):
            self.tenant.until_ready(kind, name, within_s=within_s, log=self.tell)

    def until_reason(self, kind: str, name: str, reason: str) -> None:
        self.tenant.until_reason(kind, name, reason, log=self.tell)

    def until_says(self, words: str) -> None:
        until(lambda: words in self.tenant.ready("icred", "scaleway")[2], what=words, tell=self.tell)

    def until_key(self, key: TenantKey) -> None:
        until(
            lambda: self.tenant.status("icred", "scaleway").get("accessKey") == key.access_key,
            what="the next key to be in use",
            within_s=120.0,
            tell=self.tell,
        )

    def tell(self) -> str:
        return self.operator.log[-6000:]


_CRD = ("customresourcedefinition", "deployments.inventiv.io")
_SPEC = "/spec/versions/0/schema/openAPIV3Schema/properties/spec"
_ZONE = f"{_SPEC}/properties/placement/items/properties/zone"
_LOOSENED = [
    {"op": "replace", "path": _ZONE, "value": {"type": "string", "maxLength": 64}},
    {"op": "remove", "path": f"{_SPEC}/required"},
    {"op": "remove", "path": f"{_SPEC}/x-kubernetes-validations"},
]


def seed_directory(folder: Path, key: TenantKey) -> Path:
    for name, value in (
        ("project_id", key.project_id),
        ("access_key", key.access_key),
        ("secret_key", key.secret_key),
    ):
        (folder / name).write_text(f"{value}\n")
    return folder


@pytest.fixture
def given(tenant: Tenant, simulator: SimulatorClient) -> Secrets:
    project = {"project_id": tenant.key.project_id, "organization_id": tenant.key.organization_id}
    made = Secrets(
        first=tenant.key,
        second=new_key(**project),
        third=new_key(**project),
        fourth=new_key(**project),
        refused=new_key(**project),
        seeded=new_key(),
    )
    for key in (made.second, made.third, made.fourth, made.seeded):
        simulator.add_key(key)
    return made


def test_T7_no_secret_is_anywhere_whatever_goes_wrong(
    tenant: Tenant,
    given: Secrets,
    database: Database,
    operator_process: OperatorFactory,
    tmp_path: Path,
) -> None:
    tenant = replace(tenant, name=f"canary-{uuid.uuid4().hex[:12]}")
    with CuttableProxy(database.operator_url, default_port=5432) as line:
        operator = operator_process(
            INVENTIV_LOG_LEVEL="debug",
            INVENTIV_PROVIDER_TIMEOUT_S="1",
            INVENTIV_SEED_DIR=str(seed_directory(tmp_path, given.seeded)),
            INVENTIV_DATABASE_URL=line.through(database.operator_url),
        )
        lookout = Lookout(
            stack=tenant.stack,
            database=database,
            operator=operator,
            tenants=frozenset({tenant.name, PLATFORM}),
        )
        Traffic(
            tenant, given, operator=operator, lookout=lookout, database=database, database_line=line
        ).run()
        operator.stop()
    canaries = given.canaries(tenant.stack)
    hits = found(canaries, lookout.seen)
    assert not hits, "\n".join(hits)
    assert_was_looked_at(lookout, canaries, tenant)


def assert_was_looked_at(lookout: Lookout, canaries: list[Canary], tenant: Tenant) -> None:
    """Every place held what it is known to hold, and a secret planted there would have been found."""
    password = tenant.stack.site.state.secrets.operator_password
    known = {
        LOG: [tenant.name, "Traceback", '"level": "debug"'],
        EVENTS: [tenant.name, "SecretInvalid", "CredentialRejected", "InvalidSpec"],
        OBJECTS: [tenant.name, "SecretInvalid", "InvalidSpec", '"manager": "inventiv-operator"'],
        METRICS: ["inventiv_leader", "workqueue_depth"],
        DUMP: [tenant.name, "SCALEWAY_SECRET_KEY", tenant.key.project_id],
        COMMAND_LINE: ["inventiv"],
        ENVIRONMENT: [password, "INVENTIV_KEYRING_FILE"],
    }
    assert set(known) == set(PLACES)
    assert not [
        f"{word} in {place}" for place in PLACES for word in known[place] if word not in lookout.seen[place]
    ]
    for place in PLACES:
        for canary in canaries:
            for form, planted in canary.forms():
                text = lookout.seen[place][-4096:] + planted
                assert found([canary], {place: text}) or place in canary.allowed_in, (
                    place,
                    canary.name,
                    form,
                )

"""What the API server wrote down of the operator's requests, beside what its roles allow."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from local_stack import audit_log, installation
from local_stack.stack import Stack

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Right:
    """One verb on one resource (with its subresource); `name` empty: whatever its name."""

    verb: str
    resource: str
    group: str
    name: str = ""

    def __str__(self) -> str:
        resource = f"{self.resource}.{self.group}" if self.group else self.resource
        return f"{self.verb} {resource}" + (f" {self.name}" if self.name else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    used: Right | None  # None: not about a resource, such as discovery
    name: str
    uri: str
    code: int
    message: str
    was_allowed: bool

    def uses(self, right: Right) -> bool:
        """Whether it was answered by leave of this right."""
        if self.used is None or not self.was_allowed:
            return False
        return self.used == Right(verb=right.verb, resource=right.resource, group=right.group) and (
            right.name in {"", self.name}
        )


def requests(stack: Stack) -> list[Request]:
    """Everything that the operator's service account asked for, in every life of the operator."""
    log = stack.site.log("audit")
    lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    assert {line["user"]["username"] for line in lines} <= {audit_log.USER}
    assert not any("requestObject" in line or "responseObject" in line for line in lines)
    return [_request(line) for line in lines]


def granted(stack: Stack) -> set[Right]:
    """What every role that is bound to the operator's service account allows, in one namespace or in all."""
    rights: set[Right] = set()
    for role in _bound_roles(stack):
        for rule in role["rules"]:
            assert not rule.get("nonResourceURLs"), "discovery is everybody's"
            rights |= {
                Right(verb=verb, resource=resource, group=group, name=name)
                for verb in rule["verbs"]
                for resource in rule["resources"]
                for group in rule["apiGroups"]
                for name in rule.get("resourceNames") or [""]
            }
    return rights


def _bound_roles(stack: Stack) -> Iterator[Json]:
    for binding in _listed(stack, "clusterrolebindings,rolebindings"):
        subjects = binding.get("subjects") or []
        if not any(_is_the_operator(subject) for subject in subjects):
            continue
        reference = binding["roleRef"]
        where = [f"--namespace={binding['metadata']['namespace']}"] if reference["kind"] == "Role" else []
        found = stack.kubectl("get", reference["kind"], reference["name"], *where, "--output=json")
        yield json.loads(found.stdout)


def _is_the_operator(subject: Json) -> bool:
    expected = ("ServiceAccount", installation.SERVICE_ACCOUNT, installation.NAMESPACE)
    return (subject["kind"], subject["name"], subject.get("namespace")) == expected


def _listed(stack: Stack, kinds: str) -> list[Json]:
    answer = stack.kubectl("get", kinds, "--all-namespaces", "--output=json").stdout
    items: list[Json] = json.loads(answer)["items"]
    return items


def _request(line: Json) -> Request:
    about, answer = line.get("objectRef") or {}, line.get("responseStatus") or {}
    resource = about.get("resource", "")
    if about.get("subresource"):
        resource = f"{resource}/{about['subresource']}"
    used = Right(verb=line["verb"], resource=resource, group=about.get("apiGroup", "")) if about else None
    return Request(
        used=used,
        name=about.get("name", ""),
        uri=line["requestURI"],
        code=int(answer.get("code", 0)),
        message=str(answer.get("message", "")),
        was_allowed=line["annotations"].get("authorization.k8s.io/decision") == "allow",
    )

"""What can happen to three tenants, as plain data: each step can be done in any order, or is nothing then.

A step prints as the call that makes it, so that a sequence that was printed can be pasted into a test.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from hypothesis import strategies as st

TENANTS = 3


class Do(StrEnum):
    """The verb; `what` and `number` of a step say the rest."""

    DEPLOY = "deploy"  # what: its name, number: replicas
    UNDEPLOY = "undeploy"
    DEPLOY_ALL = "deploy-all"
    CREDENTIAL = "credential"  # put there when it is not
    NO_CREDENTIAL = "no-credential"
    FORCE_CREDENTIAL = "force-credential"  # its finalizer is stripped
    SECRET = "secret"
    POINT = "point"  # secretRef to the Secret `what`
    KEY = "key"  # what: its fate at the provider, number: which key
    ORGANIZATION = "organization"
    NO_ORGANIZATION = "no-organization"
    FORCE_ORGANIZATION = "force-organization"
    NAMESPACE = "namespace"
    NO_NAMESPACE = "no-namespace"
    FORCE_NAMESPACE = "force-namespace"
    RESTART = "restart"  # the operator; number: seconds that it is down
    PASS = "pass"
    FAULT = "fault"  # what: its kind, number: an index into FAULTED


@dataclass(frozen=True, slots=True)
class Step:
    do: Do
    tenant: int = 0
    what: str = ""
    number: int = 0
    then_s: float = 0.0  # time that passes afterwards

    def __repr__(self) -> str:
        return f"Step(Do.{self.do.name}, {self.tenant}, {self.what!r}, {self.number}, {self.then_s})"


NAMES = ("llama", "qwen")
SECRETS = ("scaleway", "spare")
CONTENTS = ("gone", "own 0", "own 1", "own 2", "unknown", "malformed", "their 1", "their 0")
"""Of a Secret. `their 1`: a key of another tenant's project; `their 0`: the very one that it began with."""
KEY_FATES = ("revoked", "expired", "moved", "denied", "restored")
KEYS = 3
FAULT_KINDS = ("drop_before", "drop_after_commit", "500", "429", "401", "403", "empty_body", "html", "delay")
FAULTED: tuple[tuple[str, str], ...] = (
    ("POST", "/servers$"),
    ("POST", "/action$"),
    ("POST", "/security_groups$"),
    ("DELETE", "/volumes/"),
    ("DELETE", "/servers/"),
    ("GET", r"/servers\?"),
    ("GET", r"/servers/"),
    ("GET", "/security_groups"),
)
WAITS_S = (0.0, 0.0, 1.0, 5.0, 40.0)
HOUR_S, DAY_S = 3600, 90_000  # the day is longer than the quarantine


def _step(do: Do, **more: Any) -> st.SearchStrategy[Step]:
    return st.builds(Step, st.just(do), st.integers(0, TENANTS - 1), then_s=st.sampled_from(WAITS_S), **more)


DEPLOYING = (
    _step(Do.DEPLOY, what=st.sampled_from(NAMES), number=st.integers(0, 2)),
    _step(Do.UNDEPLOY, what=st.sampled_from(NAMES)),
)
KEYING = (
    _step(Do.SECRET, what=st.sampled_from(SECRETS), number=st.integers(0, len(CONTENTS) - 1)),
    _step(Do.SECRET, what=st.just(SECRETS[0]), number=st.integers(1, KEYS)),
    _step(Do.POINT, what=st.sampled_from(SECRETS)),
    _step(Do.KEY, what=st.sampled_from(KEY_FATES), number=st.integers(0, KEYS - 1)),
    _step(Do.KEY, what=st.sampled_from(KEY_FATES), number=st.just(0)),
)
MAKING = tuple(_step(do) for do in (Do.CREDENTIAL, Do.ORGANIZATION, Do.NAMESPACE))
REMOVING = tuple(
    _step(do)
    for do in (
        Do.NO_CREDENTIAL,
        Do.NO_ORGANIZATION,
        Do.NO_NAMESPACE,
        Do.FORCE_CREDENTIAL,
        Do.FORCE_ORGANIZATION,
        Do.FORCE_NAMESPACE,
    )
)
PASSING = (_step(Do.PASS, number=st.sampled_from((20, 130, HOUR_S, DAY_S))),)
BREAKING = (
    _step(Do.RESTART, number=st.sampled_from((0, 30, DAY_S))),
    _step(Do.FAULT, what=st.sampled_from(FAULT_KINDS), number=st.integers(0, len(FAULTED) - 1)),
)


def sequences(*kinds: tuple[st.SearchStrategy[Step], ...]) -> st.SearchStrategy[list[Step]]:
    """Of steps of all these kinds; each kind has the same share."""
    return st.lists(st.one_of(*(st.one_of(*kind) for kind in kinds)), min_size=1, max_size=12)


KEYS_TURN_OVER = sequences(DEPLOYING, KEYING, KEYING, (*PASSING, *BREAKING), (*MAKING, REMOVING[0]))
THINGS_GO = sequences(DEPLOYING, REMOVING, REMOVING, MAKING, (*PASSING, *BREAKING), KEYING)

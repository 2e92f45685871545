"""docs/metrics.md against the registry that /metrics serves: names, types and labels."""

import ast
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from inventiv_operator.runtime.audit_metrics import AuditMetrics
from inventiv_operator.runtime.leader_metrics import LeaderMetrics
from inventiv_operator.runtime.metrics import exposition, new_registry
from inventiv_operator.runtime.queue_metrics import QueueMetrics
from inventiv_operator.scaleway.metrics import ProviderMetrics

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = (REPOSITORY / "docs" / "metrics.md").read_text()
PACKAGE = REPOSITORY / "operator" / "inventiv_operator"
OF_LINUX = "process_"  # the library reads them from /proc
OF_THE_FORMAT = frozenset({"le"})
ENDINGS = {"histogram": ("_bucket", "_count", "_sum"), "counter": ("",), "gauge": ("",)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    type: str
    labels: frozenset[str]


@pytest.fixture(scope="module")
def served() -> dict[str, Described]:
    """By the name that a query uses: a counter's ends in _total."""
    registry = new_registry()
    QueueMetrics(registry).of("Deployment")
    LeaderMetrics(registry)
    AuditMetrics(registry)
    ProviderMetrics(registry).called("GET", "/servers", status=200, seconds=0.1)
    found: dict[str, Described] = {}
    for family in text_string_to_metric_families(exposition(registry).decode()):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = {label for sample in family.samples for label in sample.labels} - OF_THE_FORMAT
        found[name] = Described(type=family.type, labels=frozenset(labels))
    return found


def documented() -> dict[str, Described]:
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| ([\w, ]*?) ?\| .+ \|$", PAGE, re.MULTILINE)
    return {
        name: Described(type=kind, labels=frozenset(filter(None, labels.split(", "))))
        for name, kind, labels in rows
    }


def alerts() -> list[dict[str, Any]]:
    (block,) = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    rules: list[dict[str, Any]] = yaml.safe_load(block)["groups"][0]["rules"]
    return rules


def test_every_metric_is_described_as_it_is_served(served: dict[str, Described]) -> None:
    described = documented()
    if not any(name.startswith(OF_LINUX) for name in served):
        described = {n: d for n, d in described.items() if not n.startswith(OF_LINUX)}
    assert described == served


def test_a_counter_brings_no_second_series_that_only_says_when_it_began(served: dict[str, Described]) -> None:
    assert not [name for name in served if name.endswith("_created")]


def test_no_metric_is_made_anywhere_else(served: dict[str, Described]) -> None:
    """What the fixture does not build would be missing from the page without a word."""
    made = {
        name
        for path in sorted(PACKAGE.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in {"Counter", "Gauge", "Histogram", "Summary", "Info", "Enum"}
        for name in (_metric_name(node),)
        if name
    }
    assert made
    assert {name for name in made if name not in served and f"{name}_total" not in served} == set()


def _metric_name(call: ast.Call) -> str:
    """Empty for `collections.Counter`, which is given no name."""
    match call.args[:1]:
        case [ast.Constant(value=str() as name)]:
            return name
        case _:
            return ""


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: rule["alert"])
def test_an_alert_asks_for_what_is_served(rule: dict[str, Any], served: dict[str, Described]) -> None:
    without_text = re.sub(r'"[^"]*"', "", rule["expr"])
    without_labels = re.sub(r"by \([^)]*\)|\{[^}]*\}", "", without_text)
    asked = set(re.findall(r"\b[a-z]+_[a-z_]+\b", without_labels)) - {"histogram_quantile"}
    known = {name + ending for name, metric in served.items() for ending in ENDINGS[metric.type]}
    assert asked <= known
    assert without_text.count("(") == without_text.count(")")
    assert set(rule["annotations"]) == {"summary", "action"}


def test_the_alerts_have_something_to_ask() -> None:
    assert sum("_total" in rule["expr"] or "_bucket" in rule["expr"] for rule in alerts()) >= 3

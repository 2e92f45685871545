"""What the provider client tells Prometheus. No label names a tenant: there may be thousands, and it is
theirs.
"""

from prometheus_client import CollectorRegistry, Counter, Histogram

_SECONDS = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
NO_ANSWER = "none"


class ProviderMetrics:
    """Children are looked up once: `labels()` costs more than the increment."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._calls = Counter(
            "inventiv_provider_calls",
            "Calls that left for the provider, by the class of their answer (none: no whole answer came).",
            ["method", "endpoint", "status"],
            registry=registry,
        )
        self._seconds = Histogram(
            "inventiv_provider_call_seconds",
            "From the request to the end of its answer.",
            ["method", "endpoint"],
            registry=registry,
            buckets=_SECONDS,
        )
        self.waited = Histogram(
            "inventiv_provider_gate_seconds",
            "How long calls waited for their turn.",
            registry=registry,
            buckets=_SECONDS,
        )
        self.throttled = Counter(
            "inventiv_provider_throttled", "Calls that the provider answered with 429.", registry=registry
        )
        self.breaker_opened = Counter(
            "inventiv_provider_breaker_opened",
            "How often calls of one key were stopped for a while because none came through.",
            registry=registry,
        )
        self._call_children: dict[tuple[str, str, str], Counter] = {}
        self._seconds_children: dict[tuple[str, str], Histogram] = {}

    def called(self, method: str, template: str, *, status: int | None, seconds: float) -> None:
        """`status` None: no whole answer came."""
        group = NO_ANSWER if status is None else f"{status // 100}xx"
        counter = self._call_children.get((method, template, group))
        if counter is None:
            counter = self._calls.labels(method, template, group)
            self._call_children[method, template, group] = counter
        counter.inc()
        histogram = self._seconds_children.get((method, template))
        if histogram is None:
            histogram = self._seconds_children[method, template] = self._seconds.labels(method, template)
        histogram.observe(seconds)

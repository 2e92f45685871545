"""Whether the audit log keeps up, as Prometheus sees it."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge


class AuditMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.dropped = Counter(
            "inventiv_audit_dropped_lines",
            "Lines that could not be written to the audit log; each is in the operator's own log.",
            registry=registry,
        )
        self._waiting = Gauge(
            "inventiv_audit_waiting_lines",
            "Lines that wait for the database.",
            registry=registry,
        )

    def follow(self, waiting: Callable[[], int]) -> None:
        """Ask at every scrape."""
        self._waiting.set_function(lambda: float(waiting()))

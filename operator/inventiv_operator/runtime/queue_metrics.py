"""What the queue tells Prometheus, under the names that stock controller dashboards expect.

client-go calls the label of `workqueue_*` `name`, controller-runtime calls its own `controller`; both carry
the kind of the key here, so that one dashboard row is one kind.
"""

from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_LATENCY_BUCKETS = (0.001, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0)
_RECONCILE_BUCKETS = (0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class KindMetrics:
    """The children of one kind, looked up once: `labels()` costs more than the increment."""

    depth: Gauge
    adds: Counter
    retries: Counter
    queued_s: Histogram
    worked_s: Histogram
    reconcile_s: Histogram
    errors: Counter
    active: Gauge
    success: Counter
    requeue: Counter
    requeue_after: Counter
    failed: Counter


class QueueMetrics:
    """All metrics of one queue.

    `workqueue_unfinished_work_seconds` and `workqueue_longest_running_processor_seconds` are read from the
    queue when a scrape asks (see `WorkQueue.bind_running_gauges`).
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._kinds: dict[str, KindMetrics] = {}
        self._depth = Gauge("workqueue_depth", "Keys that wait for a worker.", ["name"], registry=registry)
        self._adds = Counter("workqueue_adds", "Keys put on the queue.", ["name"], registry=registry)
        self._retries = Counter("workqueue_retries", "Keys backed off.", ["name"], registry=registry)
        self._queued = Histogram(
            "workqueue_queue_duration_seconds",
            "Time from being due to being taken.",
            ["name"],
            registry=registry,
            buckets=_LATENCY_BUCKETS,
        )
        self._worked = Histogram(
            "workqueue_work_duration_seconds",
            "Time a worker spent on a key.",
            ["name"],
            registry=registry,
            buckets=_RECONCILE_BUCKETS,
        )
        self._reconcile = Histogram(
            "controller_runtime_reconcile_time_seconds",
            "Time of one reconcile.",
            ["controller"],
            registry=registry,
            buckets=_RECONCILE_BUCKETS,
        )
        self._total = Counter(
            "controller_runtime_reconcile",
            "Reconciles by outcome.",
            ["controller", "result"],
            registry=registry,
        )
        self._errors = Counter(
            "controller_runtime_reconcile_errors",
            "Reconciles that raised.",
            ["controller"],
            registry=registry,
        )
        self._active = Gauge(
            "controller_runtime_active_workers", "Workers at work.", ["controller"], registry=registry
        )
        self.workers = Gauge(
            "controller_runtime_max_concurrent_reconciles",
            "Workers in all, shared by every controller.",
            registry=registry,
        )
        self.unfinished_s = Gauge(
            "workqueue_unfinished_work_seconds",
            "Seconds of work in progress, summed over workers.",
            registry=registry,
        )
        self.longest_s = Gauge(
            "workqueue_longest_running_processor_seconds",
            "Age of the oldest running step.",
            registry=registry,
        )

    def of(self, kind: str) -> KindMetrics:
        found = self._kinds.get(kind)
        if found is None:
            found = self._kinds[kind] = self._children(kind.lower())
        return found

    def _children(self, name: str) -> KindMetrics:
        return KindMetrics(
            depth=self._depth.labels(name),
            adds=self._adds.labels(name),
            retries=self._retries.labels(name),
            queued_s=self._queued.labels(name),
            worked_s=self._worked.labels(name),
            reconcile_s=self._reconcile.labels(name),
            errors=self._errors.labels(name),
            active=self._active.labels(name),
            success=self._total.labels(name, "success"),
            requeue=self._total.labels(name, "requeue"),
            requeue_after=self._total.labels(name, "requeue_after"),
            failed=self._total.labels(name, "error"),
        )

"""Who leads, as Prometheus sees it: an operator that is up and does not lead does nothing."""

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Gauge


class LeaderMetrics:
    """0 for every shard from the start, also while the database is waited for: nobody leads then."""

    def __init__(self, registry: CollectorRegistry, *, shards: Iterable[int] = (0,)) -> None:
        self._leader = Gauge(
            "inventiv_leader", "Whether this process leads the shard: 1 or 0.", ["shard"], registry=registry
        )
        for shard in shards:
            self._leader.labels(str(shard)).set(0)

    def follow(self, shard: int, is_held: Callable[[], bool]) -> None:
        """Ask at every scrape: a lease runs out without anybody noticing."""
        self._leader.labels(str(shard)).set_function(lambda: float(is_held()))

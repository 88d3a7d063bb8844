"""What Prometheus scrapes: `campaignpool_operator.runtime.families` says what there is.

The figures of a pool go when the pool goes, or when another replica leads.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from campaignpool.ledger.activity import Activity
from campaignpool_operator.runtime import families
from campaignpool_operator.runtime.families import Family
from campaignpool_operator.runtime.figures import Figures, Look

RESULTS = ("ok", "fault", "conflict", "deleting", "gone", "error")


class Metrics:
    """All metrics of one operator; a registry of its own, so that two in one process do not meet."""

    def __init__(self, version: str) -> None:
        self._pools: dict[str, Figures] = {}
        self._registry = registry = CollectorRegistry()
        self.connections: Callable[[], Mapping[str, int]] = dict
        """Returns the number of database connections by state."""
        registry.register(_Pools(self._pools))
        registry.register(_Operator(version, self))
        ProcessCollector(registry=registry)
        self.leader = Gauge(families.LEADER.name, families.LEADER.help, registry=registry)
        self.reconciles = _counter(families.RECONCILES, registry)
        for result in RESULTS:
            self.reconciles.labels(result)
        self.reconcile_seconds = _histogram(families.RECONCILE_DURATION, registry)
        self.status_writes = _counter(families.STATUS_WRITES, registry)
        self._requests = _counter(families.API_REQUESTS, registry)
        self._request_seconds = _histogram(families.API_DURATION, registry)

    def request_sent(self, method: str, resource: str, code: str, seconds: float) -> None:
        """Count a request to the Kubernetes API."""
        self._requests.labels(method, resource, code).inc()
        self._request_seconds.labels(method).observe(seconds)

    def job_created(self, key: str, component: str) -> None:
        """Count a Job of a pool."""
        self._pools.setdefault(key, Figures()).job_created(component)

    def activity(self, key: str) -> Activity | None:
        """Return the last look at what happened in a pool."""
        figures = self._pools.get(key)
        return figures.activity if figures else None

    def show(self, key: str, look: Look) -> None:
        """Take over what a loop found out about a pool."""
        self._pools.setdefault(key, Figures()).take(look)

    def drop(self, key: str) -> None:
        """Forget a pool."""
        self._pools.pop(key, None)

    def drop_all(self) -> None:
        """Forget all pools and connections: another replica shows them."""
        self._pools.clear()
        self.connections = dict

    def text(self) -> bytes:
        """Return everything in Prometheus's text format."""
        return generate_latest(self._registry)


def _counter(family: Family, registry: CollectorRegistry) -> Counter:
    return Counter(family.name, family.help, family.labels, registry=registry)


def _histogram(family: Family, registry: CollectorRegistry) -> Histogram:
    return Histogram(family.name, family.help, family.labels, buckets=family.buckets, registry=registry)


class _Pools(Collector):
    """The figures of all pools at the moment of asking."""

    def __init__(self, pools: Mapping[str, Figures]) -> None:
        self._pools = pools

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics."""
        metrics: dict[Family, Any] = {family: family.metric() for family in families.POOL_FAMILIES}
        for key, figures in self._pools.items():
            pool = key.split("/", 1)
            for family, labels, value in figures.samples():
                values = value if isinstance(value, tuple) else (value,)
                metrics[family].add_metric([*pool, *labels], *values)
        yield from metrics.values()


class _Operator(Collector):
    """What is known of the process at the moment of asking."""

    def __init__(self, version: str, metrics: Metrics) -> None:
        self._version, self._metrics = version, metrics

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics."""
        info: Any = families.BUILD_INFO.metric()
        info.add_metric([self._version], 1)
        connections: Any = families.CONNECTIONS.metric()
        for state, count in self._metrics.connections().items():
            connections.add_metric([state], count)
        yield from (info, connections)

"""What Prometheus scrapes: `campaignpool_operator.runtime.families` says what there is.

The figures of a pool go when the pool goes, or when another replica leads.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from campaignpool.ledger.activity import Activity
from campaignpool_operator.runtime import families
from campaignpool_operator.runtime.families import Family
from campaignpool_operator.runtime.figures import Figures, Look, Sample

RESULTS = ("ok", "unchanged", "fault", "conflict", "deleting", "gone", "error")


class Metrics:
    """All metrics of one operator; a registry of its own, so that two in one process do not meet."""

    def __init__(self, version: str) -> None:
        self._pools: dict[str, Figures] = {}
        self._registry = registry = CollectorRegistry()
        self._texts = _Texts(self._pools)
        self.connections: Callable[[], Mapping[str, int]] = dict
        """Returns the number of database connections by state."""
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

    async def prepare(self) -> None:
        """Make the text of pools that changed since the last time, and let other tasks go on between them."""
        for key in list(self._pools):
            if self._texts.prepare(key):
                await asyncio.sleep(0)

    def text(self) -> bytes:
        """Return everything in Prometheus's text format."""
        return self._texts.all().encode() + generate_latest(self._registry)


def _counter(family: Family, registry: CollectorRegistry) -> Counter:
    return Counter(family.name, family.help, family.labels, registry=registry)


def _histogram(family: Family, registry: CollectorRegistry) -> Histogram:
    return Histogram(family.name, family.help, family.labels, buckets=family.buckets, registry=registry)


class _Texts:
    """The figures of all pools as text. That of a pool is kept until the pool changes; only ages are always new."""

    def __init__(self, pools: Mapping[str, Figures]) -> None:
        self._pools = pools
        self._kept: dict[str, tuple[Figures, int, Mapping[Family, str]]] = {}

    def prepare(self, key: str) -> bool:
        """Make the text of a pool where it has changed; return whether it had."""
        figures = self._pools.get(key)
        if figures is None or self._kept.get(key, ())[:2] == (figures, figures.version):
            return False
        self._kept[key] = figures, figures.version, _lines([(key, figures.samples())])
        return True

    def all(self) -> str:
        """Return the text of all pools."""
        for key in self._kept.keys() - self._pools.keys():
            del self._kept[key]
        for key in self._pools:
            self.prepare(key)
        ages = _lines((key, figures.ages()) for key, figures in self._pools.items())
        parts = []
        for family in families.POOL_FAMILIES:
            parts.append(_exposed(family.metric()))
            parts.append(ages.get(family, ""))
            parts += [text[family] for _, _, text in self._kept.values() if family in text]
        return "".join(parts)


class _One(Collector):
    def __init__(self, metric: Metric) -> None:
        self._metric = metric

    def collect(self) -> Iterator[Metric]:
        yield self._metric


def _exposed(metric: Metric) -> str:
    return generate_latest(_One(metric)).decode()


def _lines(pools: Iterable[tuple[str, Iterable[Sample]]]) -> dict[Family, str]:
    """Return the lines of samples by their family, without what explains it."""
    metrics: dict[Family, Any] = {}
    for key, samples in pools:
        pool = key.split("/", 1)
        for family, labels, value in samples:
            metric = metrics.get(family) or metrics.setdefault(family, family.metric())
            metric.add_metric([*pool, *labels], *(value if isinstance(value, tuple) else (value,)))
    return {family: _exposed(metric).split("\n", 2)[2] for family, metric in metrics.items()}


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

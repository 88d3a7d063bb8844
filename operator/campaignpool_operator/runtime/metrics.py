"""What Prometheus scrapes. Labels are bounded: namespace and name of a pool, states, results; never an owner.

The gauges of a pool are read off its status when they are asked for, so they go when the pool goes. Those of images
and of the account they are copied in come from the ledger. Pools that share an account all show its calls: take the
maximum over the pools before summing.
"""

import time
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.registry import Collector

from campaignpool.api.status import CampaignPoolStatus
from campaignpool.ledger.images import SECONDS, ImageTotals

_POOL = ("namespace", "name")
_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class Metrics:
    """All metrics of one operator; a registry of its own, so that two in one process do not meet."""

    def __init__(self, version: str) -> None:
        self._statuses: dict[str, CampaignPoolStatus] = {}
        self._images: dict[str, ImageTotals] = {}
        self._registry = CollectorRegistry()
        self._registry.register(_Pools(self._statuses, version))
        self._registry.register(_Images(self._images))
        self.leader = Gauge(
            "campaignpool_leader", "1 while this replica reconciles, 0 while it waits.", registry=self._registry
        )
        self.reconciles = Counter(
            "campaignpool_reconcile",
            "Loops by how they ended: ok, fault, deleting, gone, error.",
            ["result"],
            registry=self._registry,
        )
        self.reconcile_seconds = Histogram(
            "campaignpool_reconcile_duration_seconds", "Of one loop.", buckets=_SECONDS, registry=self._registry
        )
        self.status_writes = Counter(
            "campaignpool_status_writes", "Statuses written to the API.", registry=self._registry
        )
        self._seed_seconds = Histogram(
            "campaignpool_seed_duration_seconds",
            "Cloning of one seeding run, without the start of its pod.",
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._jobs = Counter("campaignpool_jobs_created", "Seeding Jobs created.", [*_POOL], registry=self._registry)
        self._images_jobs = Counter(
            "campaignpool_images_jobs_created", "Images Jobs created.", [*_POOL], registry=self._registry
        )

    def job_created(self, key: str, *, images: bool = False) -> None:
        """Count a Job of a pool."""
        (self._images_jobs if images else self._jobs).labels(*key.split("/", 1)).inc()

    def show(self, key: str, status: CampaignPoolStatus, images: ImageTotals | None = None) -> None:
        """Take a pool's figures from its status and its images; a seeding run that is new in it is counted."""
        before = self._statuses.get(key)
        last = status.last_seed
        if before is not None and last is not None and (before.last_seed is None or before.last_seed.job != last.job):
            self._seed_seconds.observe(last.duration_milliseconds / 1000)
        self._statuses[key] = status
        if images is not None and (status.images is not None or key in self._images):
            self._images[key] = images

    def drop(self, key: str) -> None:
        """Forget a pool."""
        self._images.pop(key, None)
        if self._statuses.pop(key, None) is not None:
            for counter in (self._jobs, self._images_jobs):
                counter.remove_by_labels(dict(zip(_POOL, key.split("/", 1), strict=True)))

    def drop_all(self) -> None:
        """Forget all pools: another replica shows them."""
        for key in list(self._statuses):
            self.drop(key)

    def text(self) -> bytes:
        """Return everything in Prometheus's text format."""
        return generate_latest(self._registry)


class _Pools(Collector):
    """The figures of all pools, as their statuses have them at the moment of asking."""

    def __init__(self, statuses: dict[str, CampaignPoolStatus], version: str) -> None:
        self._statuses, self._version = statuses, version

    def collect(self) -> Iterator[Metric]:
        """Yield the families."""
        info = GaugeMetricFamily("campaignpool_build_info", "The operator's version.", labels=["version"])
        info.add_metric([self._version], 1)
        states = GaugeMetricFamily(
            "campaignpool_campaigns",
            "Unclaimed campaigns by state; stale ones are ready too.",
            labels=[*_POOL, "state"],
        )
        desired = GaugeMetricFamily("campaignpool_desired", "Campaigns wanted.", labels=[*_POOL])
        claims = CounterMetricFamily("campaignpool_claims", "Campaigns ever claimed.", labels=[*_POOL])
        conditions = GaugeMetricFamily(
            "campaignpool_condition", "1 while it is True.", labels=[*_POOL, "type", "reason"]
        )
        for key, status in self._statuses.items():
            pool = key.split("/", 1)
            counts = {
                "ready": status.ready,
                "seeding": status.seeding,
                "failed": status.failed,
                "stale": status.stale,
            }
            for state, count in counts.items():
                states.add_metric([*pool, state], count)
            desired.add_metric(pool, status.desired)
            claims.add_metric(pool, status.claimed)
            for condition in status.conditions:
                conditions.add_metric([*pool, condition.type, condition.reason], condition.status == "True")
        yield from (info, states, desired, claims, conditions)


class _Images(Collector):
    """Images of all pools, as their ledgers had them when they were last looked at."""

    def __init__(self, images: dict[str, ImageTotals]) -> None:
        self._images = images

    def collect(self) -> Iterator[Metric]:
        """Yield the families."""
        states = GaugeMetricFamily(
            "campaignpool_images",
            "Images by state, of campaigns that may still be retired or released, or are not finished.",
            labels=[*_POOL, "state"],
        )
        age = GaugeMetricFamily(
            "campaignpool_images_queue_age_seconds",
            "How long the campaign that has waited longest has waited for its images to be copied or deleted.",
            labels=[*_POOL],
        )
        calls = CounterMetricFamily(
            "campaignpool_image_calls",
            "Calls of the store by how they ended, of the account that the pool's images are in.",
            labels=[*_POOL, "account", "outcome"],
        )
        took = SummaryMetricFamily(
            "campaignpool_image_call_seconds", "How long those calls took.", labels=[*_POOL, "account"]
        )
        for key, images in self._images.items():
            pool = key.split("/", 1)
            for state, count in {"pending": images.pending, "copied": images.copied, "failed": images.failed}.items():
                states.add_metric([*pool, state], count)
            since = images.oldest_queued_at
            age.add_metric(pool, max(0.0, time.time() - since.timestamp()) if since else 0.0)
            for account in images.accounts:
                for outcome, count in account.calls.items():
                    calls.add_metric([*pool, account.name, outcome], count)
                if SECONDS in account.attempts:
                    took.add_metric([*pool, account.name], sum(account.calls.values()), account.attempts[SECONDS])
        yield from (states, age, calls, took)

"""Metrics: what a loop found out, as Prometheus scrapes it."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from kubernetes.aio.client import ApiClient, Configuration
from prometheus_client.parser import text_string_to_metric_families

from campaignpool.api.status import CampaignPoolStatus, Condition, ImagesStatus, RolloutStatus
from campaignpool.errors import ClusterError
from campaignpool.ledger.activity import CLAIM_SECONDS, Activity, Durations
from campaignpool.ledger.images import Account, Finished, ImageTotals
from campaignpool.ledger.pools import OwnerCounts
from campaignpool_operator.cluster.client import Cluster
from campaignpool_operator.cluster.connect import KubernetesTransport
from campaignpool_operator.runtime.families import FAMILIES, POOL
from campaignpool_operator.runtime.figures import Buckets, Figures, Look, Refill
from campaignpool_operator.runtime.metrics import Metrics
from tests.support.pools import NOW, ago, ledger, run

KEY = "game/chiwar"


def look(**changes: object) -> Look:
    """Return a look at a pool of five with three ready campaigns."""
    base = Look(
        at=NOW,
        status=CampaignPoolStatus(desired=5, ready=3, seeding=2, failed=1, stale=1, claimed=7),
        maximum=20,
        ledger=ledger(totals=OwnerCounts(ready=3, retiring=2, held=1)),
        activity=Activity(NOW, ago(10)),
    )
    return replace(base, **changes)  # type: ignore[arg-type] # any field


def activity(misses: int = 0, **claims: Durations) -> Activity:
    return Activity(NOW, ago(10), claims, misses=misses)


def claims(count: int, seconds: float) -> Durations:
    """Return so many claims that took less than the first bucket's bound."""
    return Durations((count, *(0 for _ in CLAIM_SECONDS)), seconds)


def text(metrics: Metrics) -> str:
    return metrics.text().decode()


def value(metrics: Metrics, sample: str, pool: str = "chiwar") -> float | None:
    """Return the value of a pool's sample, by its name and the labels beside the pool's."""
    name, _, labels = sample.partition("{")
    wanted = {**dict(re.findall(r'(\w+)="(.*?)"', labels)), "namespace": "game", "pool": pool}
    samples = [item for family in text_string_to_metric_families(text(metrics)) for item in family.samples]
    return next((item.value for item in samples if item.name == name and item.labels == wanted), None)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics("9")


def test_a_look_shows_as_gauges(metrics: Metrics) -> None:
    ready = Condition(type="Ready", status="True", reason="Filled", message="", last_transition_time="t")
    rollout = RolloutStatus(revision=8, phase="Progressing", since="t")
    status = CampaignPoolStatus(desired=5, ready=3, seeding=2, failed=1, stale=1, rollout=rollout, conditions=[ready])
    metrics.show(KEY, look(status=status, jobs={"seeder": 2}))
    shown = {
        'campaignpool_campaigns{state="ready"}': 3,
        'campaignpool_campaigns{state="seeding"}': 2,
        'campaignpool_campaigns{state="retiring"}': 2,
        'campaignpool_campaigns{state="failed"}': 1,
        "campaignpool_desired_campaigns": 5,
        "campaignpool_max_campaigns": 20,
        "campaignpool_stale_campaigns": 1,
        "campaignpool_revision": 8,
        'campaignpool_rollout_phase{phase="Progressing"}': 1,
        'campaignpool_rollout_phase{phase="Complete"}': 0,
        "campaignpool_held_campaigns": 1,
        'campaignpool_active_jobs{component="seeder"}': 2,
        'campaignpool_active_jobs{component="images"}': 0,
    }
    assert {sample: value(metrics, sample) for sample in shown} == shown
    assert value(metrics, 'campaignpool_condition{type="Ready",reason="Filled"}') == 1
    assert 'campaignpool_build_info{version="9"} 1.0' in text(metrics)


def test_a_fault_keeps_the_last_figures(metrics: Metrics) -> None:
    metrics.show(KEY, look(jobs={"seeder": 2}))
    metrics.show(KEY, look(ledger=None, activity=None, maximum=None))
    assert value(metrics, 'campaignpool_campaigns{state="retiring"}') == 2
    assert value(metrics, 'campaignpool_active_jobs{component="seeder"}') == 2


def test_counters_begin_at_zero_and_count_what_follows(metrics: Metrics) -> None:
    metrics.show(KEY, look(activity=activity(misses=40)))
    assert value(metrics, 'campaignpool_claims_total{source="master"}') == 0
    assert value(metrics, 'campaignpool_misses_total{outcome="unserved"}') == 0, "those before are not this process's"
    metrics.show(KEY, look(activity=activity(misses=43, master=claims(6, 0.003), clone=claims(2, 0.04))))
    metrics.show(KEY, look(activity=activity(misses=43, master=claims(1, 0.001))))
    assert value(metrics, 'campaignpool_claims_total{source="master"}') == 7
    assert value(metrics, 'campaignpool_misses_total{outcome="unserved"}') == 3
    assert value(metrics, 'campaignpool_misses_total{outcome="cloned"}') == 2
    assert value(metrics, 'campaignpool_claim_duration_seconds_count{source="master"}') == 7
    assert value(metrics, 'campaignpool_claim_duration_seconds_sum{source="master"}') == pytest.approx(0.004)
    assert value(metrics, 'campaignpool_claim_duration_seconds_bucket{source="master",le="0.0005"}') == 7


def test_misses_begin_again_with_a_pool_that_was_created_again(metrics: Metrics) -> None:
    metrics.show(KEY, look(activity=activity(misses=40)))
    metrics.show(KEY, look(activity=activity(misses=2)))
    assert value(metrics, 'campaignpool_misses_total{outcome="unserved"}') == 2


def test_runs_count_once_and_only_what_they_made_since(metrics: Metrics) -> None:
    def show(*runs: object) -> None:
        metrics.show(KEY, look(ledger=ledger({}, *runs)))  # type: ignore[arg-type] # runs

    show(run(1, "Succeeded"))
    assert value(metrics, "campaignpool_seeded_campaigns_total") == 0
    show(run(2, None, campaigns=2), run(1, "Succeeded"))
    assert value(metrics, "campaignpool_seeded_campaigns_total") == 2
    assert value(metrics, 'campaignpool_seeding_runs_total{outcome="Succeeded"}') == 0
    show(run(3, "Failed"), run(2, "Succeeded"), run(1, "Succeeded"))
    show(run(3, "Failed"), run(2, "Succeeded"))
    assert value(metrics, "campaignpool_seeded_campaigns_total") == 5
    assert value(metrics, 'campaignpool_seeding_runs_total{outcome="Succeeded"}') == 1
    assert value(metrics, 'campaignpool_seeding_runs_total{outcome="Failed"}') == 1
    assert value(metrics, "campaignpool_seed_duration_seconds_count") == 1, "a run that made nothing has no duration"
    assert value(metrics, "campaignpool_seed_duration_seconds_sum") == 0.25


def test_ages_go_on_between_looks(metrics: Metrics, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = ledger(totals=OwnerCounts(oldest_ready_at=ago(100), oldest_reserved_at=ago(7)))
    clock = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: clock)
    metrics.show(KEY, look(ledger=waiting))
    clock += 30
    metrics.show(KEY, look(ledger=None, activity=None, at=NOW + timedelta(hours=5)))
    assert value(metrics, "campaignpool_oldest_ready_age_seconds") == 130, "a fault's clock is not the database's"
    assert value(metrics, "campaignpool_seeding_queue_age_seconds") == 37
    metrics.show(KEY, look(ledger=ledger()))
    assert value(metrics, "campaignpool_oldest_ready_age_seconds") is None, "nothing is ready"
    assert value(metrics, "campaignpool_seeding_queue_age_seconds") == 0


def test_images_are_shown_from_when_there_are_any(metrics: Metrics) -> None:
    account = Account("imagekit-1", attempts={"ok": 40, "limited": 2, "seconds": 10.5})
    totals = ImageTotals(pending=20, failed=1, unfinished=1, oldest_queued_at=ago(50), accounts=(account,))
    before = look(ledger=ledger({}, images=totals))
    metrics.show(KEY, before)
    assert value(metrics, 'campaignpool_images{state="pending"}') is None
    after = replace(before, status=CampaignPoolStatus(images=ImagesStatus(pending=20, copied=0, failed=1)))
    metrics.show(KEY, after)
    metrics.show(KEY, look(ledger=ledger({}, images=totals)))
    assert value(metrics, 'campaignpool_images{state="pending"}') == 20
    assert value(metrics, 'campaignpool_images{state="failed"}') == 1
    assert 50 <= (value(metrics, "campaignpool_images_queue_age_seconds") or 0) < 60
    assert value(metrics, 'campaignpool_image_calls_total{account="imagekit-1",outcome="limited"}') == 2
    assert 'outcome="seconds"' not in text(metrics)
    assert value(metrics, 'campaignpool_image_call_duration_seconds_count{account="imagekit-1"}') == 42
    assert value(metrics, 'campaignpool_image_call_duration_seconds_sum{account="imagekit-1"}') == 10.5


def test_the_images_of_a_campaign_are_timed_once(metrics: Metrics) -> None:
    def finished(queued: float, ended: float) -> Finished:
        return Finished("c", 8, 8, 0, NOW + timedelta(seconds=queued), NOW + timedelta(seconds=ended), None)

    metrics.show(KEY, look(images_finished=(finished(-90, -60),)))
    assert value(metrics, "campaignpool_images_duration_seconds_count") is None, "it ended before this process began"
    ended = (finished(-90, -60), finished(1, 5), finished(1, 6))
    metrics.show(KEY, look(images_finished=ended))
    metrics.show(KEY, look(images_finished=(*ended, finished(2, 10))))
    assert value(metrics, "campaignpool_images_duration_seconds_count") == 3
    assert value(metrics, "campaignpool_images_duration_seconds_sum") == 4 + 5 + 8


def test_the_figures_of_a_pool_go_with_it(metrics: Metrics) -> None:
    metrics.job_created(KEY, "images")
    assert "chiwar" not in text(metrics), "not before the first look"
    metrics.show(KEY, look())
    metrics.show("game/other", look())
    assert value(metrics, 'campaignpool_jobs_created_total{component="images"}') == 1
    metrics.drop(KEY)
    assert "chiwar" not in text(metrics)
    assert 'pool="other"' in text(metrics)
    metrics.connections = lambda: {"idle": 1}
    metrics.drop_all()
    assert 'pool="other"' not in text(metrics)
    assert "campaignpool_database_connections{" not in text(metrics)


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


class Stock:
    """A pool of five, as `Refill` sees it."""

    def __init__(self) -> None:
        self.refill = Refill(NOW)
        self.made = 5
        self.ready = 5
        self.claimed_at: datetime | None = None

    def __call__(self, seconds: float, *, made: int = 0, claims: int = 0) -> float | None:
        """Return what a look after so many claims, the last 0.1 s ago, and new campaigns finds."""
        if claims:
            self.claimed_at = at(seconds - 0.1)
        self.made, self.ready = self.made + made, self.ready + made - claims
        result = self.refill.step(self.made, 5 - self.ready, self.claimed_at, at(seconds))
        return None if result is None else round(result, 3)


def test_a_refill_is_timed_from_the_claim() -> None:
    stock = Stock()
    assert stock(0) is None
    assert stock(1, claims=1) is None
    assert stock(2) is None
    assert stock(3, made=1) == 2.1
    assert stock(4) is None


def test_a_refill_ends_when_all_that_lacked_before_is_made_too() -> None:
    stock = Stock()
    stock(1, claims=3)
    assert stock(2, made=1, claims=1) is None
    assert stock(3, made=2) == 2.1, "the fourth claim is behind the third"
    assert stock(4, made=1) == 2.1, "the fourth was followed from then on, and made at 1.9"


def test_what_is_not_wanted_any_more_ends_no_refill() -> None:
    stock = Stock()
    stock(1, claims=2)
    assert stock.refill.step(stock.made, 0, stock.claimed_at, at(2)) is None, "the pool's size was lowered"
    assert stock.refill.step(stock.made + 9, 0, stock.claimed_at, at(3)) is None


def test_a_claim_before_the_first_look_is_not_followed() -> None:
    refill = Refill(NOW)
    assert refill.step(5, 1, at(-30), at(1)) is None
    assert refill.step(6, 0, at(-30), at(2)) is None


def test_a_bound_is_in_its_bucket() -> None:
    buckets = Buckets((1.0, 2.0))
    for seconds in (1.0, 1.5, 2.0, 9.0):
        buckets.observe(seconds)
    assert buckets.exposed() == ([("1.0", 1), ("2.0", 3), ("+Inf", 4)], 13.5)


def test_names_follow_the_conventions() -> None:
    assert len({family.name for family in FAMILIES}) == len(FAMILIES)
    for family in FAMILIES:
        assert family.name.startswith("campaignpool_")
        assert (family.kind == "counter") == family.name.endswith("_total")
        assert bool(family.buckets) == (family.kind == "histogram")
        if family.kind in ("histogram", "summary") or re.search("_age|duration", family.name):
            assert family.name.endswith("_seconds")
        assert family.help.endswith(".")
        assert set(family.labels) <= {*POOL, *BOUNDED}


BOUNDED = {"state", "source", "outcome", "type", "reason", "component", "account"} | {
    "version", "result", "method", "resource", "code", "phase",
}  # fmt: skip
"""Labels whose values are few: words of the code, resources of the API, accounts of the store."""


@pytest.mark.parametrize(
    ("call", "labels"),
    [
        (lambda api: api.pools(None), ("GET", "campaignpools")),
        (lambda api: api.patch_status("a", "namespaces", "1", {}), ("PATCH", "campaignpools/status")),
        (lambda api: api.secret("namespaces", "b"), ("GET", "secrets")),
        (lambda api: api.lease("a", "b"), ("GET", "leases")),
    ],
)
async def test_requests_are_counted_by_what_they_ask_for(
    call: Callable[[Cluster], object], labels: tuple[str, str]
) -> None:
    seen: list[tuple[str, str, str, float]] = []
    cluster = Cluster(KubernetesTransport(ApiClient(Configuration(host="http://127.0.0.1:1"))))
    cluster.on_request = lambda *request: seen.append(request)
    with pytest.raises(ClusterError):
        await call(cluster)  # type: ignore[misc] # a coroutine
    await cluster.close()
    ((method, resource, code, seconds),) = seen
    assert (method, resource, code) == (*labels, "none")
    assert seconds >= 0


def test_the_text_of_a_pool_is_made_again_only_after_a_change(
    metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        metrics.show(f"game/pool-{number}", look())
    asked: list[Figures] = []
    samples = Figures.samples
    monkeypatch.setattr(Figures, "samples", lambda self: (asked.append(self), samples(self))[1])
    first, second = ([line for line in text(metrics).splitlines() if "process_" not in line] for _ in range(2))
    assert first == second
    assert len(asked) == 3
    metrics.show("game/pool-1", look(maximum=99))
    assert value(metrics, "campaignpool_max_campaigns", "pool-1") == 99
    assert len(asked) == 4
    metrics.drop("game/pool-1")
    assert value(metrics, "campaignpool_max_campaigns", "pool-1") is None
    metrics.show("game/pool-1", look(maximum=98))
    assert value(metrics, "campaignpool_max_campaigns", "pool-1") == 98


async def test_other_tasks_go_on_while_the_text_of_many_pools_is_made(metrics: Metrics) -> None:
    for number in range(20):
        metrics.show(f"game/pool-{number}", look())
    preparing = asyncio.create_task(metrics.prepare())
    turns = 0
    while not preparing.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns >= 20

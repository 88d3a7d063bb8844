"""Every query of the dashboards and alerts has an answer in what a running operator exposes.

A pool with images is filled, claimed from until it is empty, and refilled; a second pool has a fault.
"""

import asyncio
import math
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import asyncpg
import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

import chiwar
from campaignpool.api.crd import crd
from campaignpool.api.reasons import Reason
from campaignpool_local.emulator import emulator_thread
from campaignpool_local.postgres import EmbeddedPostgres
from campaignpool_operator.alerts import ALERTS
from campaignpool_operator.runtime.families import FAMILIES
from tests.support import clusters
from tests.support.imagekits import imagekit_thread
from tests.support.images_game import IMAGES, PREPARE, ImagesGame
from tests.support.kube import Kube, eventually
from tests.support.operators import Game, OperatorProcess, running
from tests.support.prometheus import Prometheus, binary, groupings, matches, scraping, selectors
from tools.alerts import rules
from tools.dashboards import DASHBOARDS

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(3 * clusters.limits().timeout),
    pytest.mark.skipif("KUBECONFIG" in os.environ, reason="Prometheus scrapes a process of this machine"),
]

SUFFIXES = re.compile(r"_(bucket|sum|count)$")
OF_SCRAPES = {"instance", "job", "le"}
"""Labels that Prometheus adds, and that of buckets."""


class Scene:
    """An operator, its pools, and a Prometheus where there is one."""

    def __init__(self, stack: ExitStack, folder: Path, server: EmbeddedPostgres) -> None:
        emulator = stack.enter_context(emulator_thread(backoff=0.2))
        kube = Kube(emulator.kubeconfig(folder / "config"))
        stack.callback(kube.close)
        kube.install(crd())
        store = stack.enter_context(imagekit_thread())
        store.add_images("/template", IMAGES)
        self.game = ImagesGame(kube, server.create_database("dashboards"), store)
        asyncio.run(self._load())
        options = ("--resync-seconds=1",)
        self.operator: OperatorProcess = stack.enter_context(
            running(kube.kubeconfig, folder / "operator.log", *options)
        )
        self.users = self.game.users()
        self.game.put_key()
        self.game.begin(size=2, maxConcurrent=1, owners=[{"id": self.users[0], "size": 1}])
        Game(kube, self.game.url).create()  # its Secret is missing
        self._refilled()
        self._claim_all()
        self.prometheus: Prometheus | None = None
        if binary() is not None:
            target = self.operator.url.removeprefix("http://")
            self.prometheus = stack.enter_context(scraping(target, folder, rules()))
            self._claim_all()
        self.exposed = self.samples()

    async def _load(self) -> None:
        connection = await asyncpg.connect(self.game.url)
        try:
            await chiwar.load(connection, scale=0.1)
            await connection.execute(PREPARE)
        finally:
            await connection.close()

    def _refilled(self) -> None:
        self.game.has("Ready", "True", "Filled")
        eventually(lambda: self.game.images()[0] == 0, "the images are copied")

    def _claim_all(self) -> None:
        """Claim every campaign, one more that is cloned, and one more in vain; wait until all that is counted."""
        before = self.counted()
        self.game.patch(paused=True)
        self.game.has("Paused", "True")
        sources = {self.game.claim(user)["source"] for user in (self.users[0], *self.users[1:4])}
        assert sources == {"owner", "master", "clone"}
        self.game.patch(claims={"onEmpty": "Fail"})
        self.game.has("Paused", "True")
        with pytest.raises(asyncpg.PostgresError, match="is paused"):
            self.game.claim(self.users[1])
        self.game.patch(paused=False, claims={"onEmpty": "Clone"})
        self._refilled()
        wanted = {key: count + 1 for key, count in before.items()}
        eventually(
            lambda: all(count >= wanted[key] for key, count in self.counted().items()),
            f"counted: {before}",
            2 * clusters.limits().deadline,
        )

    def counted(self) -> dict[str, float]:
        """Return counters that a round of claims raises, the last ones that it does."""
        names = ("refill_duration_seconds_count", "images_duration_seconds_count", "seed_duration_seconds_count")
        totals = {name: self.operator.metric(f"campaignpool_{name}") for name in names}
        labels = ("source", "outcome")
        mine = [sample for sample in self.samples() if sample.labels.get("namespace") == self.game.namespace]
        for sample in mine:
            if sample.name in ("campaignpool_claims_total", "campaignpool_misses_total"):
                totals[" ".join(sample.labels.get(label, "") for label in labels)] = sample.value
        return totals

    def samples(self) -> list[Sample]:
        text = self.operator.get("/metrics")
        return [sample for family in text_string_to_metric_families(text) for sample in family.samples]

    def filled_in(self, expr: str) -> str:
        """Return an expression with the variables of the dashboards replaced."""
        values = {"$__rate_interval": "5m", "$namespace": self.game.namespace, "$pool": "chiwar"}
        for name, value in values.items():
            expr = expr.replace(name, value)
        return expr


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, postgres_server: EmbeddedPostgres) -> Iterator[Scene]:
    with ExitStack() as stack:
        yield Scene(stack, tmp_path_factory.mktemp("dashboards"), postgres_server)


def test_every_metric_that_is_declared_is_exposed_with_its_labels_and_no_other(scene: Scene) -> None:
    exposed: dict[str, set[str]] = {}
    for sample in scene.exposed:
        if sample.name.startswith("campaignpool_") and not sample.name.endswith("_created"):
            name = sample.name if sample.name.endswith("_total") else SUFFIXES.sub("", sample.name)
            exposed.setdefault(name, set()).update(sample.labels.keys() - {"le"})
    assert exposed == {family.name: set(family.labels) for family in FAMILIES}


def test_no_series_names_an_owner_a_claimant_or_a_secret(scene: Scene) -> None:
    text = scene.operator.get("/metrics")
    for secret in (*scene.users, scene.game.store.private_key, scene.game.url):
        assert secret not in text


PANELS = [
    pytest.param(query.expr, id=f"{dashboard.uid}-{panel.title}-{number}")
    for dashboard in DASHBOARDS
    for panel in dashboard.panels
    for number, query in enumerate(panel.queries)
]
REASONS = {str(reason) for reason in Reason}


@pytest.mark.parametrize("expr", [*PANELS, *(pytest.param(alert.expr, id=alert.name) for alert in ALERTS)])
def test_metrics_and_labels_of_a_query_are_exposed(scene: Scene, expr: str) -> None:
    chosen = selectors(scene.filled_in(expr))
    assert chosen
    labels = set(OF_SCRAPES)
    for name, matchers in chosen:
        series = [sample.labels for sample in scene.exposed if sample.name == name]
        assert series, name
        labels |= series[0].keys()
        assert {matcher.label for matcher in matchers} <= series[0].keys(), name
        for matcher in matchers:
            if matcher.label == "reason":  # the two pools have few of all reasons
                assert any(matches({"reason": reason}, matcher) for reason in REASONS)
        wanted = [matcher for matcher in matchers if matcher.label != "reason"]
        assert any(all(matches(item, matcher) for matcher in wanted) for item in series), f"{name}{wanted}"
    assert groupings(expr) <= labels


@pytest.mark.skipif(binary() is None, reason="there is no prometheus: Debian's package `prometheus` has it")
@pytest.mark.parametrize("expr", PANELS)
def test_prometheus_answers_a_query_of_a_dashboard(scene: Scene, expr: str) -> None:
    prometheus = scene.prometheus
    assert prometheus is not None

    def answered() -> bool:
        values = prometheus.query(scene.filled_in(expr))
        return not all(map(math.isnan, values))  # a quantile of requests that nobody made lately is not a number

    eventually(answered, f"{scene.filled_in(expr)}: {prometheus.query(scene.filled_in(expr))}")


@pytest.mark.skipif(binary() is None, reason="there is no prometheus: Debian's package `prometheus` has it")
def test_prometheus_evaluates_every_alert(scene: Scene) -> None:
    prometheus = scene.prometheus
    assert prometheus is not None
    eventually(lambda: set(prometheus.rules().values()) == {"ok"}, "all rules are evaluated")
    assert set(prometheus.rules()) == {alert.name for alert in ALERTS}

"""Whatever goes wrong in a loop ends as a condition; what is over at once changes none."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from campaignpool_operator import reconcile as module
from campaignpool_operator.cluster.client import Cluster
from campaignpool_operator.cluster.transport import Secret
from campaignpool_operator.facts import Observed
from campaignpool_operator.observe.observe import utcnow
from campaignpool_operator.reconcile import HICCUP_SECONDS, Reconciler
from campaignpool_operator.runtime.config import Config
from campaignpool_operator.runtime.listener import Listeners
from campaignpool_operator.runtime.metrics import Metrics
from campaignpool_operator.session import Session
from tests.support.pools import raw_spec

URL = b"postgresql://u:s3cr3t@127.0.0.1:1/d"


class Alone(Cluster):
    """An API with one pool, whose status is what was patched last."""

    def __init__(self) -> None:
        self._clock = None
        self.failing: Exception | None = None
        self.status: dict[str, Any] = {}
        self.patches = 0

    async def pool(self, namespace: str, name: str) -> dict[str, Any]:
        meta = {"namespace": namespace, "name": name, "uid": "u", "resourceVersion": "1", "generation": 1}
        meta["creationTimestamp"] = "2026-01-01T00:00:00Z"
        return {"metadata": meta, "spec": raw_spec(), "status": self.status}

    async def secret(self, *_: str) -> Secret:
        if self.failing is not None:
            raise self.failing
        return Secret({"url": URL}, "5")

    async def patch_status(self, _: str, __: str, ___: str, status: Mapping[str, Any]) -> None:
        self.patches += 1
        self.status = {key: value for key, value in {**self.status, **status}.items() if value is not None}

    async def create_event(self, *_: object) -> None:
        pass

    def degraded(self) -> tuple[str, str]:
        (found,) = (statu for statu in self.status["conditions"] if statu["type"] == "Degraded")
        return found["reason"], found["message"]


@pytest.fixture
def cluster() -> Alone:
    return Alone()


@pytest.fixture
def reconciler(cluster: Alone) -> Reconciler:
    return Reconciler(
        Config(http_port=None, watch_references=False), cluster, Listeners(lambda _: None), Metrics("9")
    )


async def test_a_defect_is_a_condition_and_a_log_line(
    cluster: Alone, reconciler: Reconciler, caplog: pytest.LogCaptureFixture
) -> None:
    cluster.failing = KeyError("s3cr3t")
    delay = await reconciler("game/chiwar")
    assert delay is not None
    assert delay > 1
    reason, message = cluster.degraded()
    assert reason == "InternalError"
    assert "KeyError" in message
    assert "s3cr3t" not in message
    assert "the loop of game/chiwar failed" in caplog.text


async def test_the_first_lost_connection_changes_no_condition_and_the_second_does(
    cluster: Alone, reconciler: Reconciler
) -> None:
    await reconciler("game/chiwar")
    assert cluster.degraded()[0] == "DatabaseUnreachable", "a pool without a status gets one at once"
    for condition in cluster.status["conditions"]:
        condition["reason"] = "AsExpected"
    reconciler._faults.clear()
    assert await reconciler("game/chiwar") == HICCUP_SECONDS
    assert cluster.patches == 1
    await reconciler("game/chiwar")
    assert cluster.patches == 2
    assert cluster.degraded()[0] == "DatabaseUnreachable"


async def test_fields_of_a_later_release_in_the_status_are_dropped_once(
    cluster: Alone, reconciler: Reconciler
) -> None:
    await reconciler("game/chiwar")
    before = {**cluster.status}
    cluster.status["fromTheFuture"] = {"a": 1}
    reconciler._faults["game/chiwar"] = 1
    await reconciler("game/chiwar")
    assert cluster.status == before, "conditions keep their times"
    await reconciler("game/chiwar")
    assert cluster.patches == 2


async def test_a_pool_is_audited_once_per_resync(reconciler: Reconciler, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []

    async def noted(session: Session, *_: object, audits: bool, last: object) -> Observed:
        assert last is None
        asked.append(audits)
        return Observed(session.pool, utcnow(), fault=session.fault)

    monkeypatch.setattr(module, "observe", noted)
    for at in (0.0, 1.0, 26.5, 27.5, 29.0):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda at=at: at))
        await reconciler("game/chiwar")
    assert asked == [True, False, False, True, False], "resyncs are 30 s apart, a tenth less at the least"

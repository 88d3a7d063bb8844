"""Leader election with real operators: of two, one reconciles; the other takes over in time."""

import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from campaignpool.api.crd import crd
from campaignpool_local.emulator import emulator_thread
from campaignpool_operator.runtime.leader import HOLD_SECONDS, LEASE_SECONDS, POLL_SECONDS, RENEW_SECONDS
from tests.support.kube import POOLS, Kube, eventually
from tests.support.operators import OperatorProcess, running

pytestmark = pytest.mark.integration

LEASE = "/apis/coordination.k8s.io/v1/namespaces/default/leases/campaignpool-operator"
POOL = Path(__file__).parents[2] / "examples/chiwar/pool.yaml"
AFTER_KILL, AFTER_STOP = 20, 2


class Pair:
    """Two operators, and a pool whose loops end at a missing Secret: they need no database."""

    def __init__(self, kube: Kube, folder: Path, stack: ExitStack) -> None:
        self.kube, self._folder, self._stack, self._started = kube, folder, stack, 0
        kube.create(POOLS.format("default"), yaml.safe_load(POOL.read_text()))
        self.operators = [self.start(), self.start()]

    def start(self) -> OperatorProcess:
        self._started += 1
        log = self._folder / f"log-{self._started}"
        return self._stack.enter_context(running(self.kube.kubeconfig, log, "--leader-election"))

    def lease(self) -> dict[str, Any]:
        value = self.kube.get(LEASE)
        assert value is not None
        return value

    def leaders(self) -> list[OperatorProcess]:
        alive = [operator for operator in self.operators if operator.process.poll() is None]
        return [item for item in alive if item.metric("campaignpool_leader") == 1]

    def leader_and_other(self) -> tuple[OperatorProcess, OperatorProcess]:
        (leader,) = eventually(self.leaders, "one leads")
        (other,) = [operator for operator in self.operators if operator is not leader]
        return leader, other

    def is_active(self, operator: OperatorProcess) -> bool:
        return operator.metric("campaignpool_leader") == 1 and operator.loops() > 0


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    with emulator_thread() as emulator, ExitStack() as stack:
        kube = Kube(emulator.kubeconfig(tmp_path / "config"))
        kube.install(crd())
        yield Pair(kube, tmp_path, stack)
        kube.close()


def test_one_of_two_reconciles_and_both_answer_probes_and_metrics(pair: Pair) -> None:
    leader, other = pair.leader_and_other()
    eventually(lambda: leader.loops() > 0, "the leader reconciles")
    for operator in (leader, other):
        assert operator.answer("/livez").is_success
        assert operator.answer("/readyz").is_success
    assert other.metric("campaignpool_leader") == 0
    assert other.loops() == 0
    assert "campaignpool_desired_campaigns{" not in other.get("/metrics")
    assert pair.lease()["spec"]["leaseDurationSeconds"] == LEASE_SECONDS


def test_after_a_clean_stop_the_other_is_active_at_once(pair: Pair) -> None:
    leader, other = pair.leader_and_other()
    began = time.monotonic()
    leader.process.send_signal(signal.SIGTERM)
    eventually(lambda: pair.is_active(other), "the other is active")
    assert time.monotonic() - began < AFTER_STOP
    assert leader.process.wait(10) == 0
    assert "Traceback" not in leader.log


def test_a_leader_that_stands_still_for_longer_than_the_lease_stops_and_one_that_is_killed_is_replaced(
    pair: Pair,
) -> None:
    leader, other = pair.leader_and_other()
    eventually(lambda: leader.loops() > 0, "the leader reconciles")
    written = leader.metric("campaignpool_status_writes_total")
    began = time.monotonic()
    leader.process.send_signal(signal.SIGSTOP)
    eventually(lambda: pair.is_active(other), "the other is active")
    took = time.monotonic() - began
    assert LEASE_SECONDS - RENEW_SECONDS < took < AFTER_KILL

    leader.process.send_signal(signal.SIGCONT)
    eventually(lambda: "the lease is lost" in leader.log, "it noticed")
    assert eventually(pair.leaders, "one leads") == [other]
    assert leader.metric("campaignpool_status_writes_total") == written
    assert leader.answer("/readyz").is_success

    began = time.monotonic()
    other.process.kill()
    other.process.wait()
    eventually(lambda: leader.loops() > 0 and pair.leaders() == [leader], "it leads again")
    assert time.monotonic() - began < AFTER_KILL
    assert "Traceback" not in leader.log


def test_a_lease_that_another_took_is_let_go_and_one_that_somebody_labelled_is_kept(pair: Pair) -> None:
    leader, _ = pair.leader_and_other()
    renewed = pair.lease()["spec"]["renewTime"]
    pair.kube.patch(LEASE, {"metadata": {"labels": {"looked": "at"}}})
    eventually(lambda: pair.lease()["spec"]["renewTime"] > renewed, "it is renewed")
    assert pair.leaders() == [leader]
    assert pair.lease()["metadata"]["labels"] == {"looked": "at"}

    pair.kube.patch(LEASE, {"spec": {"holderIdentity": "another"}})
    eventually(lambda: pair.leaders() == [], "nobody leads", RENEW_SECONDS + 2)
    assert "the lease is lost" in leader.log


def test_the_leader_stops_before_another_may_begin() -> None:
    assert HOLD_SECONDS + RENEW_SECONDS < LEASE_SECONDS
    assert LEASE_SECONDS + POLL_SECONDS + RENEW_SECONDS < AFTER_KILL

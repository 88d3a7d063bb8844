"""Each oracle was seen to fail: the product, or what it stands on, is broken on purpose, and the harness finds it."""

from typing import Any

import pytest

from campaignpool.ledger import pools, retiring
from campaignpool.ledger.database import Connection
from campaignpool_local.store import Change, Store
from campaignpool_operator import deletion, reconcile
from campaignpool_operator.cluster.client import Cluster
from campaignpool_operator.runtime.listener import Debounce
from campaignpool_operator.status import project
from tests.perturbation import oracles, world
from tests.perturbation.runner import Report, Runner, every
from tests.perturbation.schedules import Schedule, parse
from tests.perturbation.world import World
from tests.support.small import POOL

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

Patch = pytest.MonkeyPatch


def first_refused(runner: Runner, *schedules: Schedule, names: tuple[str, ...] = ("",)) -> Report:
    """Return the report of the first schedule that an oracle refuses with one of these names in it."""
    for schedule in schedules:
        report = runner.run(schedule)
        if (report.violations or report.slow) and any(name in str(report) for name in names):
            return report
    raise AssertionError("no oracle has found it")


def test_a_finalizer_that_goes_before_what_it_guards(runner: Runner, monkeypatch: Patch) -> None:
    reference = runner.reference("delete")
    drain = reconcile.drain

    async def too_early(cluster: Cluster, databases: Any, pool: Any, image: str) -> Any:
        await deletion._remove_finalizer(cluster, pool)
        return await drain(cluster, databases, pool, image)

    monkeypatch.setattr(reconcile, "drain", too_early)
    last = list(every(reference, "api", "after"))[-3:]
    assert "gone: " in str(first_refused(runner, *last))


def test_a_status_from_an_old_read(runner: Runner, monkeypatch: Patch) -> None:
    async def unconditional(self: Cluster, namespace: str, name: str, version: str, status: Any) -> None:
        del version
        body = {"status": status}
        path = f"/apis/campaignpool.dev/v1alpha1/namespaces/{namespace}/campaignpools/{name}/status"
        await self._find("PATCH", path, body=body, kind="application/merge-patch+json")

    monkeypatch.setattr(Cluster, "patch_status", unconditional)
    schedules = [parse(f"pause: start 1 second; step {at} pause 40") for at in (1, 2)]
    views = [*schedules, *every(runner.reference("pause"), "get Pool", "old 3")]
    # An old read also has the loop of a change wait for the resync, which is another oracle's.
    first_refused(runner, *views, names=("lastTransitionTime", "observedGeneration"))


def test_a_retirement_that_takes_what_was_counted_before_the_lock(runner: Runner, monkeypatch: Patch) -> None:
    """Two operators take "two of four", and the pool is empty. It is filled again, so its end shows nothing."""
    runner.reference("shrink")

    async def by_count(connection: Connection, pool: str, keep: int = 0, **_: bool) -> int:
        totals, _owners = await pools.counts(connection, pool, keep)
        return await retiring.retire(connection, pool, totals.surplus)

    monkeypatch.setattr(retiring, "retire_surplus", by_count)
    steps = range(1, 7)
    schedules = [parse(f"shrink: start 1 second; step {at} pause") for at in steps]
    assert "a retirement left" in str(first_refused(runner, *schedules))


def test_a_claim_that_leaves_the_campaign_in_the_ledger(runner: Runner, monkeypatch: Patch) -> None:
    """As one does that takes a campaign without its lock: another claim may take it, too."""
    again = """
        CREATE FUNCTION watching.again() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            INSERT INTO campaign_pool.campaign SELECT old.*;
            RETURN NULL;
        END $$;
        CREATE TRIGGER again AFTER DELETE ON campaign_pool.campaign FOR EACH ROW
        WHEN (old.state = 'ready') EXECUTE FUNCTION watching.again();
    """
    assert "in the ledger twice" in str(broken_database(runner, monkeypatch, again))


def test_a_campaign_that_is_visible_before_it_is_whole(runner: Runner, monkeypatch: Patch) -> None:
    half = """
        CREATE FUNCTION watching.half() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            DELETE FROM public.things WHERE ctid = (
                SELECT ctid FROM public.things WHERE world_id::text = new.root_key LIMIT 1);
            RETURN new;
        END $$;
        CREATE TRIGGER half BEFORE UPDATE ON campaign_pool.campaign FOR EACH ROW
        WHEN (new.state = 'ready') EXECUTE FUNCTION watching.half();
    """
    assert "is ready and not whole" in str(broken_database(runner, monkeypatch, half))


def broken_database(runner: Runner, monkeypatch: Patch, statements: str) -> Report:
    """Return the report of a refill in a database with something that breaks the ledger."""
    runner.reference("refill")
    prepare = World._prepare

    async def broken(self: World) -> None:
        await prepare(self)
        await self.connection.execute(statements)

    monkeypatch.setattr(World, "_prepare", broken)
    return first_refused(runner, parse("refill"))


def test_more_campaigns_than_max_size_and_a_claimed_campaign_that_changes(runner: Runner) -> None:
    async def tried(alone: World) -> list[str]:
        hashes: dict[str, str] = {}
        await alone.create(size=2, maxSize=3)
        alone.start_operator()
        assert await alone.settle()
        await alone.claim("anna")
        assert await alone.settle()
        assert await oracles.rules(alone, hashes) == []
        await alone.connection.execute(
            "INSERT INTO campaign_pool.campaign (id, pool_id, revision_id, owner, state, run) "
            "SELECT gen_random_uuid(), pool_id, revision_id, '', 'seeding', run FROM campaign_pool.campaign"
        )
        await alone.connection.execute(
            "UPDATE things SET name = 'stolen' WHERE world_id = (SELECT id FROM worlds WHERE player = 'anna')"
        )
        return await oracles.rules(alone, hashes)

    text = "\n".join(runner.alone(tried))
    assert f"4 unclaimed campaigns of {POOL}, maxSize is 3" in text
    assert "has changed" in text


def test_a_status_that_differs_from_the_ledger(runner: Runner, monkeypatch: Patch) -> None:
    runner.reference("fill")
    counted = project._counted
    monkeypatch.setattr(project, "_counted", lambda *facts: {**counted(*facts), "ready": 7})
    assert "the status says" in str(first_refused(runner, parse("fill")))


def test_loops_that_never_rest(runner: Runner, monkeypatch: Patch) -> None:
    runner.reference("fill")
    monkeypatch.setattr(reconcile.Reconciler, "_next", lambda *_: ("ok", 20.0))
    monkeypatch.setattr(world, "LIMIT_SECONDS", 100)
    assert "no rest" in str(first_refused(runner, parse("fill")))


def test_loops_at_rest(runner: Runner, monkeypatch: Patch) -> None:
    runner.reference("fill")
    monkeypatch.setattr(reconcile.Reconciler, "_next", lambda *_: ("ok", 20.0))
    monkeypatch.setattr(world, "REST_SECONDS", 10.0)
    assert "at rest there were" in str(first_refused(runner, parse("fill")))


def test_what_only_the_resync_heals(runner: Runner, monkeypatch: Patch) -> None:
    runner.reference("refill")
    monkeypatch.setattr(Debounce, "__call__", lambda *_: None)
    report = first_refused(runner, parse("refill"))
    assert report.slow == ["full again"]
    assert "only the resync heals full again" in str(report)


def test_what_the_history_shows() -> None:
    def pool(time: str, status: str, generation: int) -> dict[str, Any]:
        condition = {"type": "Ready", "status": status, "lastTransitionTime": f"2026-01-01T00:00:{time}Z"}
        metadata = {"namespace": "game", "name": "small", "uid": "u"}
        return {"metadata": metadata, "status": {"observedGeneration": generation, "conditions": [condition]}}

    store = Store()
    for version in (pool("10", "True", 2), pool("11", "True", 2), pool("09", "False", 1)):
        store.put(world.POOLS, version)
    owner = {"uid": "u", "controller": True}
    for number, uid in enumerate("123"):
        job = {"metadata": {"namespace": "game", "name": "small-seed-1", "uid": uid, "ownerReferences": [owner]}}
        store.history.append(Change(("batch", "jobs"), number, "ADDED", job, None))
    assert oracles.history(store, {"2"}) == [
        "Job small-seed-1 of u was created again",
        "lastTransitionTime of Ready changed without its status",
        "observedGeneration went back",
        "lastTransitionTime of Ready went back",
    ]

"""A state machine of a pool for hypothesis, with a model in memory that predicts the result of every step."""

import asyncio
import itertools
from dataclasses import dataclass, field, replace

import asyncpg
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from campaignpool.api.spec import CampaignPoolSpec
from campaignpool.blueprint import install
from campaignpool.ledger import pools, retiring, seeding
from campaignpool.ledger.database import Connection
from tests.support import resources, small, stock

PLAYERS = ("ann", "bob", "cid")
OWNERS = ("", "ann", "bob")
KEYS = ("one", "two", "three")
_numbers = itertools.count(1)

claimants, owners = st.sampled_from(PLAYERS), st.sampled_from(OWNERS)
keys = st.sampled_from([None, *KEYS])


@dataclass(frozen=True)
class Record:
    """A claim in the model."""

    claimant: str
    source: str
    revision: int
    rules: int
    releasable: bool = True
    released: bool = False


@dataclass
class Model:
    """The expected state of the pool.

    Attributes:
        ready: Owner and revision of every ready campaign.
        retiring: Campaigns to be deleted.
        claimed: The claims by campaign.
        keys: The campaign of every claim key.
        revision: The revision of new campaigns; None after the pool's deletion.
        dropped: Dropped revisions.
    """

    ready: dict[str, tuple[str, int]] = field(default_factory=dict)
    retiring: set[str] = field(default_factory=set)
    claimed: dict[str, Record] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    revision: int | None = None
    dropped: set[int] = field(default_factory=set)
    closing: bool = False
    deleted: bool = False

    def is_usable(self, revision: int, *, stale: bool) -> bool:
        """Return whether a claim may give campaigns of a revision."""
        return revision == self.revision or (stale and self.revision is not None and revision < self.revision)

    def candidates(self, claimant: str, *, stale: bool) -> list[str]:
        """Return the ready campaigns that a claim may return; empty if there is none for this claimant."""
        for owner in (claimant, ""):
            owned = {key: revision for key, (of, revision) in self.ready.items() if of == owner}
            allowed = {key: revision for key, revision in owned.items() if self.is_usable(revision, stale=stale)}
            if allowed:
                return [key for key, revision in allowed.items() if revision == max(allowed.values())]
        return []


class Claims(RuleBasedStateMachine):
    """The steps: each predicts its result, and afterwards the tables must agree with the model."""

    connection: Connection
    runner: asyncio.Runner

    def __init__(self) -> None:
        super().__init__()
        self.pool = f"game/{next(_numbers)}"
        self.key_of_pool = f"{self.pool} "
        self.model, self.version, self.runs = Model(), 1, 0
        self.wanted = small.spec()

    def fetch(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        return self.runner.run(self.connection.fetch(query, *arguments))

    def put(self, wanted: CampaignPoolSpec) -> None:
        self.wanted = wanted
        self.runner.run(small.put(self.connection, wanted, self.pool))
        self.model.revision = self.fetch("SELECT revision_id FROM campaign_pool.pool WHERE name = $1", self.pool)[0][
            0
        ]
        self.model.closing = self.model.deleted = False

    @initialize()
    def begin(self) -> None:
        self.put(self.wanted)

    # Steps of the application.

    def expected(self, claimant: str, key: str | None) -> tuple[str | None, str | list[str]]:
        """Return the SQLSTATE of a claim or None, and its result: a campaign, one of several, or for [] a clone."""
        model, claims = self.model, self.wanted.claims
        if model.deleted:
            return "CP001", ""
        if key is not None and key in model.keys:
            record = model.claimed[model.keys[key]]
            return ("CP004", "") if record.claimant != claimant or record.released else (None, model.keys[key])
        if candidates := model.candidates(claimant, stale=claims.allow_stale):
            return None, candidates
        if claims.on_empty == "Clone" and not model.closing:
            return None, []
        return ("CP001" if model.closing else "CP005" if self.wanted.paused else "CP002"), ""

    def record_claim(self, row: asyncpg.Record, claimant: str, key: str | None) -> None:
        """Compare the result of a claim with the model, and record it there."""
        state, expected = self.expected(claimant, key)
        assert state is None
        campaign, model = row["campaign_id"], self.model
        if isinstance(expected, str):
            assert campaign == expected
            assert row["source"] == model.claimed[campaign].source
            return
        assert model.revision is not None
        owner, revision = model.ready.pop(campaign, ("", model.revision))
        assert campaign in expected or not expected
        assert campaign not in model.claimed
        source = "clone" if not expected else "owner" if owner else "master"
        assert row["source"] == source
        model.claimed[campaign] = Record(claimant, source, revision, model.revision)
        if key is not None:
            model.keys[key] = campaign

    def attempt(self, query: str, *arguments: object) -> tuple[str | None, list[asyncpg.Record]]:
        """Run a query and return its SQLSTATE or None, and its rows."""
        try:
            return None, self.fetch(query, *arguments)
        except asyncpg.PostgresError as error:
            failed = error
        assert failed.as_dict().get("hint"), failed
        return failed.sqlstate, []

    def full_key(self, key: str | None) -> str | None:
        # Claim keys are global, and the pools of earlier examples remain.
        return None if key is None else self.key_of_pool + key

    @rule(claimant=claimants, key=keys)
    def claim(self, claimant: str, key: str | None) -> None:
        wanted, _ = self.expected(claimant, self.full_key(key))
        query = "SELECT * FROM campaign_pool.claim($1, $2, $3)"
        state, rows = self.attempt(query, self.pool, claimant, self.full_key(key))
        assert state == wanted
        for row in rows:
            self.record_claim(row, claimant, self.full_key(key))

    @rule(claimant=claimants, key=keys)
    def claim_and_roll_back(self, claimant: str, key: str | None) -> None:
        self.fetch("BEGIN")
        query = "SELECT * FROM campaign_pool.claim($1, $2, $3)"
        assert (
            self.attempt(query, self.pool, claimant, self.full_key(key))[0]
            == self.expected(claimant, self.full_key(key))[0]
        )
        self.fetch("ROLLBACK")

    @rule(claimant=claimants, n=st.integers(1, 3), key=keys)
    def claim_many(self, claimant: str, n: int, key: str | None) -> None:
        numbered = [None if key is None else f"{self.full_key(key)}#{number}" for number in range(1, n + 1)]
        query = "SELECT * FROM campaign_pool.claim_many($1, $2, $3, $4)"
        state, rows = self.attempt(query, self.pool, claimant, n, self.full_key(key))
        if state is None:
            assert len(rows) == n
            for row, numbered_key in zip(rows, numbered, strict=True):
                self.record_claim(row, claimant, numbered_key)
            return
        # claim_many is atomic: it fails with the error of its first failing claim.
        self.fetch("BEGIN")
        failure = None
        for numbered_key in numbered:
            if failure is None:
                failure, _ = self.attempt(
                    "SELECT * FROM campaign_pool.claim($1, $2, $3)", self.pool, claimant, numbered_key
                )
        self.fetch("ROLLBACK")
        assert state == failure

    @precondition(lambda self: self.model.claimed)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        campaign = data.draw(st.sampled_from(list(self.model.claimed)[-3:]))
        record, model = self.model.claimed[campaign], self.model
        is_lost = model.deleted or {record.revision, record.rules} & model.dropped
        state, _ = self.attempt("SELECT campaign_pool.release($1)", campaign)
        if record.released:
            assert state is None, "a release can be repeated"
        elif not record.releasable or is_lost:
            assert state == "CP006"
        else:
            assert state is None
            model.claimed[campaign] = replace(record, released=True)
            model.retiring.add(campaign)

    @precondition(lambda self: self.model.claimed)
    @rule(data=st.data(), minutes=st.sampled_from([0, 30, 3000]))
    def extend(self, data: st.DataObject, minutes: int) -> None:
        campaign = data.draw(st.sampled_from(list(self.model.claimed)[-3:]))
        record = self.model.claimed[campaign]
        query = "SELECT campaign_pool.extend($1, make_interval(mins => $2))"
        state, _ = self.attempt(query, campaign, minutes)
        if record.released or not record.releasable:
            assert state == "CP006"
        elif minutes == 3000:
            assert state == "CP007", "the maximum is a day"
        else:
            assert state is None
            self.model.claimed[campaign] = replace(record, releasable=minutes > 0)

    # Steps of the operator and its seeders.

    @precondition(lambda self: not self.model.closing)
    @rule(owner=owners, count=st.integers(1, 3))
    def seed(self, owner: str, count: int) -> None:
        self.runs += 1
        job = f"job-{self.runs}"

        async def work() -> None:
            await stock.reserve(self.connection, self.pool, job, count, owner, number=self.runs)
            assert (await seeding.seed(self.connection, self.pool, job, count)).campaigns == count
            facts = (job, self.runs, count, 1)
            await seeding.finish_run(self.connection, self.pool, facts, "Succeeded")

        self.runner.run(work())
        rows = self.fetch(
            "SELECT c.root_key FROM campaign_pool.campaign c JOIN campaign_pool.pool p ON p.id = c.pool_id "
            "WHERE p.name = $1 AND c.run = $2",
            self.pool,
            job,
        )
        assert self.model.revision is not None
        self.model.ready |= {row["root_key"]: (owner, self.model.revision) for row in rows}

    @rule(count=st.integers(1, 4))
    def retire(self, count: int) -> None:
        revisions = sorted((revision for _, revision in self.model.ready.values()), key=self.order)
        assert self.runner.run(retiring.retire(self.connection, self.pool, count)) == min(count, len(revisions))
        gone = self.retired()
        revisions_gone = sorted((revision for _, revision in gone.values()), key=self.order)
        assert revisions_gone == revisions[:count], "first what nobody may get"

    def order(self, revision: int) -> tuple[bool, bool, int]:
        usable = self.model.is_usable(revision, stale=self.wanted.claims.allow_stale)
        return usable, revision == self.model.revision, revision

    @precondition(lambda self: not self.model.closing)
    @rule(share=st.integers(0, 3), keep=st.integers(0, 4))
    def retire_surplus(self, share: int, keep: int) -> None:
        model, surplus, spare, lacking = self.model, dict[str, list[int]](), 0, 0
        self.fetch("DELETE FROM campaign_pool.target WHERE owner = 'bob'")
        self.fetch("UPDATE campaign_pool.target SET share = $1", share)
        for owner in OWNERS:
            revisions = sorted((revision for of, revision in model.ready.values() if of == owner), key=self.order)
            usable = sum(self.order(revision)[0] for revision in revisions)
            current = revisions.count(model.revision or 0)
            wanted = max(share, keep) if owner == "" else share if self.is_target(owner) else 0
            surplus[owner] = revisions[: len(revisions) - min(usable, wanted)]
            spare += max(0, current - wanted)
            lacking += max(0, share - current) if self.is_target(owner) else 0
        retired = self.runner.run(retiring.retire_surplus(self.connection, self.pool, keep))
        moved = min(spare, lacking)
        assert retired == sum(map(len, surplus.values())) - moved, "what others lack is given to them"
        gone = self.retired()
        for owner, revisions in surplus.items() if not moved else ():
            assert sorted((revision for of, revision in gone.values() if of == owner), key=self.order) == revisions
        query = (
            "SELECT c.root_key, c.owner FROM campaign_pool.campaign c JOIN campaign_pool.pool p ON p.id = c.pool_id "
            "WHERE p.name = $1 AND c.state = 'ready'"
        )
        owners_now = dict(self.fetch(query, self.pool))
        assert sum(owners_now[key] != owner for key, (owner, _) in model.ready.items()) == moved
        model.ready = {key: (owners_now[key], revision) for key, (_, revision) in model.ready.items()}

    def is_target(self, owner: str) -> bool:
        query = (
            "SELECT EXISTS (SELECT FROM campaign_pool.target t JOIN campaign_pool.pool p ON p.id = t.pool_id "
            "WHERE p.name = $1 AND t.owner = $2)"
        )
        return bool(self.fetch(query, self.pool, owner)[0][0])

    def retired(self) -> dict[str, tuple[str, int]]:
        """Move the campaigns that are not ready any more in the model, and return them."""
        model = self.model
        gone = {key: model.ready.pop(key) for key in model.ready.keys() - self.in_state("ready")}
        model.retiring |= gone.keys()
        return gone

    @rule(batch=st.integers(1, 4))
    def remove(self, batch: int) -> None:
        removed = self.runner.run(retiring.remove(self.connection, self.pool, batch))
        assert (removed > 0) == bool(self.model.retiring)
        assert removed <= batch
        gone = self.model.retiring - self.in_state("retiring")
        assert len(gone) == removed
        self.model.retiring -= gone
        self.runner.run(install.drop_unused(self.connection, self.pool))
        rows = self.fetch(
            "SELECT r.id FROM campaign_pool.revision r JOIN campaign_pool.pool p ON p.id = r.pool_id "
            "WHERE p.name = $1 AND r.dropped_at IS NOT NULL",
            self.pool,
        )
        self.model.dropped = {row["id"] for row in rows}
        needed = {revision for _, revision in self.model.ready.values()} | {self.model.revision}
        needed |= {
            number
            for record in self.model.claimed.values()
            if record.releasable and not record.released and not self.model.deleted
            for number in (record.revision, record.rules)
        }
        assert not self.model.dropped & needed

    @precondition(lambda self: not self.model.closing)
    @rule()
    def roll(self) -> None:
        self.version += 1
        self.put(small.spec(self.version, paused=self.wanted.paused, claims=self.wanted.claims))

    @precondition(lambda self: not self.model.closing and self.version > 1)
    @rule(back=st.integers(0, 2))
    def go_back(self, back: int) -> None:
        query = (
            "SELECT r.id FROM campaign_pool.revision r JOIN campaign_pool.pool p ON p.id = r.pool_id "
            "WHERE p.name = $1 AND r.dropped_at IS NULL ORDER BY r.id DESC"
        )
        kept = [row["id"] for row in self.fetch(query, self.pool)]
        self.model.revision = kept[back % len(kept)]
        assert self.runner.run(install.use(self.connection, self.model.revision))

    @precondition(lambda self: not self.model.closing)
    @rule(
        paused=st.booleans(),
        empty=st.sampled_from(["Clone", "Wait", "Fail"]),
        stale=st.booleans(),
        deleting=st.sampled_from(["Refuse", "Allow"]),
    )
    def change(self, *, paused: bool, empty: str, stale: bool, deleting: str) -> None:
        claims = {"onEmpty": empty, "allowStale": stale, "whileDeleting": deleting}
        self.put(small.spec(self.version, paused=paused, claims=claims))

    # Not at the start, because most behaviour needs an open pool.
    @precondition(lambda self: len(self.model.claimed) > 2 and not self.model.closing)
    @rule()
    def close(self) -> None:
        self.runner.run(resources.close(self.connection, self.pool))
        self.model.closing = True
        self.model.deleted |= self.wanted.claims.while_deleting == "Refuse"

    @precondition(lambda self: self.model.closing)
    @rule()
    def finish_deletion(self) -> None:
        finished = self.runner.run(pools.finish_deletion(self.connection, self.pool))
        assert finished == (not self.model.ready and not self.model.retiring)
        if finished:
            self.model.deleted, self.model.revision = True, None

    @precondition(lambda self: self.model.closing)
    @rule()
    def reopen(self) -> None:
        self.put(self.wanted)

    # Invariants after every step.

    def in_state(self, state: str) -> set[str]:
        query = (
            "SELECT c.root_key FROM campaign_pool.campaign c JOIN campaign_pool.pool p ON p.id = c.pool_id "
            "WHERE p.name = $1 AND c.state = $2"
        )
        return {row["root_key"] for row in self.fetch(query, self.pool, state)}

    @invariant()
    def tables_agree_with_model(self) -> None:
        model = self.model
        assert self.in_state("ready") == model.ready.keys()
        assert self.in_state("retiring") == model.retiring
        assert self.in_state("seeding") | self.in_state("failed") | self.in_state("claimed") == set()
        rows = self.fetch(
            "SELECT c.campaign_id, c.claimant, c.source, c.released_at IS NOT NULL AS released, c.key "
            "FROM campaign_pool.claimed c JOIN campaign_pool.pool p ON p.id = c.pool_id WHERE p.name = $1",
            self.pool,
        )
        assert {row["campaign_id"]: (row["claimant"], row["source"], row["released"]) for row in rows} == {
            key: (record.claimant, record.source, record.released) for key, record in model.claimed.items()
        }
        assert {row["key"]: row["campaign_id"] for row in rows if row["key"]} == model.keys

    @invariant()
    def rows_and_ledger_add_up(self) -> None:
        assert self.runner.run(small.inconsistencies(self.connection)) == []

    @precondition(lambda self: not self.model.deleted)
    @invariant()
    def views_agree_with_model(self) -> None:
        model = self.model
        totals, _ = self.runner.run(pools.counts(self.connection, self.pool))
        views = self.fetch("SELECT * FROM campaign_pool.pools WHERE pool = $1", self.pool)
        if not views:
            return  # before the first step
        stale = sum(revision != model.revision for _, revision in model.ready.values())
        allows = self.wanted.claims.allow_stale
        usable = sum(model.is_usable(revision, stale=allows) for _, revision in model.ready.values())
        assert (views[0]["ready"], views[0]["stale"]) == (usable, stale)
        assert views[0]["retiring"] == len(model.retiring)
        assert views[0]["claims_of_day"] == len(model.claimed) == totals.claimed
        assert (totals.ready, totals.stale) == (len(model.ready), stale)
        for player in PLAYERS:
            state, expected = self.expected(player, None)
            (peeked,) = self.fetch("SELECT * FROM campaign_pool.peek($1, $2)", self.pool, player)
            if state is not None:
                assert peeked["source"] is None
            elif not expected:
                assert peeked["source"] == "clone"
            else:
                assert peeked["source"] == ("owner" if model.ready[expected[0]][0] else "master")

    def teardown(self) -> None:
        """Delete all campaigns before the next example."""
        self.fetch("DELETE FROM members")
        self.fetch("DELETE FROM things WHERE world_id <> $1", small.TEMPLATE)
        self.fetch("DELETE FROM worlds WHERE NOT is_template")
        self.fetch("DELETE FROM campaign_pool.campaign")
        self.fetch("DELETE FROM campaign_pool.claimed")

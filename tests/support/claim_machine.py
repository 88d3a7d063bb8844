"""A pool as hypothesis drives it, and a model in memory that says what each step has to give."""

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
from tests.support import resources, small

PLAYERS = ("ann", "bob", "cid")
OWNERS = ("", "ann", "bob")
KEYS = ("one", "two", "three")
_numbers = itertools.count(1)

claimants, owners = st.sampled_from(PLAYERS), st.sampled_from(OWNERS)
keys = st.sampled_from([None, *KEYS])


@dataclass(frozen=True)
class Record:
    """A claim that was made."""

    claimant: str
    source: str
    revision: int
    rules: int
    releasable: bool = True
    released: bool = False


@dataclass
class Model:
    """What the pool holds.

    Attributes:
        ready: Owner and revision of each campaign that may be claimed.
        retiring: Campaigns on their way out.
        claimed: The records, by campaign.
        keys: Which campaign a key gave.
        revision: What new campaigns are made from; None while the pool is buried.
        dropped: Revisions that are gone.
    """

    ready: dict[str, tuple[str, int]] = field(default_factory=dict)
    retiring: set[str] = field(default_factory=set)
    claimed: dict[str, Record] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    revision: int | None = None
    dropped: set[int] = field(default_factory=set)
    closing: bool = False
    deleted: bool = False

    def candidates(self, claimant: str, *, stale: bool) -> list[str]:
        """Campaigns of which a claim may give any; none where nothing is ready for this claimant."""
        for owner in (claimant, ""):
            mine = {key: made for key, (whose, made) in self.ready.items() if whose == owner}
            fit = {key: made for key, made in mine.items() if stale or made == self.revision}
            if fit:
                return [key for key, made in fit.items() if made == max(fit.values())]
        return []


class Claims(RuleBasedStateMachine):
    """The steps. Each predicts its outcome; afterwards the tables have to be what the model says."""

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

    # What the application does.

    def expected(self, claimant: str, key: str | None) -> tuple[str | None, str | list[str]]:
        """Give the SQLSTATE of a claim that fails, or None; and what it gives: a campaign, one of some, a clone."""
        model, claims = self.model, self.wanted.claims
        if model.deleted:
            return "CP001", ""
        if key is not None and key in model.keys:
            record = model.claimed[model.keys[key]]
            return ("CP004", "") if record.claimant != claimant or record.released else (None, model.keys[key])
        if found := model.candidates(claimant, stale=claims.allow_stale):
            return None, found
        if claims.on_empty == "Clone" and not model.closing:
            return None, []
        return ("CP001" if model.closing else "CP005" if self.wanted.paused else "CP002"), ""

    def took(self, row: asyncpg.Record, claimant: str, key: str | None) -> None:
        """Hold what a claim gave against the model, and write it there."""
        state, given = self.expected(claimant, key)
        assert state is None
        campaign, model = row["campaign_id"], self.model
        if isinstance(given, str):
            assert campaign == given
            assert row["source"] == model.claimed[campaign].source
            return
        assert model.revision is not None
        owner, revision = model.ready.pop(campaign, ("", model.revision))
        assert campaign in given or not given
        assert campaign not in model.claimed
        source = "clone" if not given else "owner" if owner else "master"
        assert row["source"] == source
        model.claimed[campaign] = Record(claimant, source, revision, model.revision)
        if key is not None:
            model.keys[key] = campaign

    def ask(self, query: str, *arguments: object) -> tuple[str | None, list[asyncpg.Record]]:
        """Give the SQLSTATE of what fails, or the rows."""
        try:
            return None, self.fetch(query, *arguments)
        except asyncpg.PostgresError as error:
            failed = error
        assert failed.as_dict().get("hint"), failed
        return failed.sqlstate, []

    def full(self, key: str | None) -> str | None:
        # Keys are the same for all pools, and the pools of other examples stay.
        return None if key is None else self.key_of_pool + key

    @rule(claimant=claimants, key=keys)
    def claim(self, claimant: str, key: str | None) -> None:
        wanted, _ = self.expected(claimant, self.full(key))
        query = "SELECT * FROM campaign_pool.claim($1, $2, $3)"
        state, rows = self.ask(query, self.pool, claimant, self.full(key))
        assert state == wanted
        for row in rows:
            self.took(row, claimant, self.full(key))

    @rule(claimant=claimants, key=keys)
    def claim_and_roll_back(self, claimant: str, key: str | None) -> None:
        self.fetch("BEGIN")
        query = "SELECT * FROM campaign_pool.claim($1, $2, $3)"
        assert self.ask(query, self.pool, claimant, self.full(key))[0] == self.expected(claimant, self.full(key))[0]
        self.fetch("ROLLBACK")

    @rule(claimant=claimants, n=st.integers(1, 3), key=keys)
    def claim_many(self, claimant: str, n: int, key: str | None) -> None:
        numbered = [None if key is None else f"{self.full(key)}#{number}" for number in range(1, n + 1)]
        query = "SELECT * FROM campaign_pool.claim_many($1, $2, $3, $4)"
        state, rows = self.ask(query, self.pool, claimant, n, self.full(key))
        if state is None:
            assert len(rows) == n
            for row, each in zip(rows, numbered, strict=True):
                self.took(row, claimant, each)
            return
        # All or none: one by one, the first that fails says why.
        self.fetch("BEGIN")
        found = None
        for each in numbered:
            if found is None:
                found, _ = self.ask("SELECT * FROM campaign_pool.claim($1, $2, $3)", self.pool, claimant, each)
        self.fetch("ROLLBACK")
        assert state == found

    @precondition(lambda self: self.model.claimed)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        campaign = data.draw(st.sampled_from(list(self.model.claimed)[-3:]))
        record, model = self.model.claimed[campaign], self.model
        gone = model.deleted or {record.revision, record.rules} & model.dropped
        state, _ = self.ask("SELECT campaign_pool.release($1)", campaign)
        if record.released:
            assert state is None, "a release can be repeated"
        elif not record.releasable or gone:
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
        state, _ = self.ask(query, campaign, minutes)
        if record.released or not record.releasable:
            assert state == "CP006"
        elif minutes == 3000:
            assert state == "CP007", "the maximum is a day"
        else:
            assert state is None
            self.model.claimed[campaign] = replace(record, releasable=minutes > 0)

    # What the operator and its seeders do.

    @precondition(lambda self: not self.model.closing)
    @rule(owner=owners, count=st.integers(1, 3))
    def seed(self, owner: str, count: int) -> None:
        self.runs += 1
        job = f"job-{self.runs}"

        async def work() -> None:
            await seeding.reserve(self.connection, self.pool, job, owner, self.runs, count, 1)
            assert (await seeding.seed(self.connection, self.pool, job, count)).campaigns == count
            facts = (job, owner, self.runs, count, 1)
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

    @rule(owner=st.sampled_from([None, *OWNERS]), count=st.integers(1, 4))
    def retire(self, owner: str | None, count: int) -> None:
        model = self.model
        fit = sorted(made for whose, made in model.ready.values() if owner in (None, whose))
        assert self.runner.run(retiring.retire(self.connection, self.pool, owner, most=count)) == min(count, len(fit))
        gone = model.ready.keys() - self.in_state("ready")
        assert sorted(model.ready[key][1] for key in gone) == fit[:count], "older revisions first"
        assert all(owner in (None, model.ready[key][0]) for key in gone)
        for key in gone:
            del model.ready[key]
        model.retiring |= gone

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
        needed = {made for _, made in self.model.ready.values()} | {self.model.revision}
        needed |= {
            number
            for each in self.model.claimed.values()
            if each.releasable and not each.released and not self.model.deleted
            for number in (each.revision, each.rules)
        }
        assert not self.model.dropped & needed

    @precondition(lambda self: not self.model.closing)
    @rule()
    def roll(self) -> None:
        self.version += 1
        self.put(small.spec(self.version, paused=self.wanted.paused, claims=self.wanted.claims))

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

    # Not at once, for most of what there is to see happens to a pool that is open.
    @precondition(lambda self: len(self.model.claimed) > 2 and not self.model.closing)
    @rule()
    def close(self) -> None:
        self.runner.run(resources.close(self.connection, self.pool))
        self.model.closing = True
        self.model.deleted |= self.wanted.claims.while_deleting == "Refuse"

    @precondition(lambda self: self.model.closing)
    @rule()
    def bury(self) -> None:
        buried = self.runner.run(pools.finish_deletion(self.connection, self.pool))
        assert buried == (not self.model.ready and not self.model.retiring)
        if buried:
            self.model.deleted, self.model.revision = True, None

    @precondition(lambda self: self.model.closing)
    @rule()
    def reopen(self) -> None:
        self.put(self.wanted)

    # What has to hold at any moment.

    def in_state(self, state: str) -> set[str]:
        query = (
            "SELECT c.root_key FROM campaign_pool.campaign c JOIN campaign_pool.pool p ON p.id = c.pool_id "
            "WHERE p.name = $1 AND c.state = $2"
        )
        return {row["root_key"] for row in self.fetch(query, self.pool, state)}

    @invariant()
    def the_tables_are_what_the_model_says(self) -> None:
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
            key: (each.claimant, each.source, each.released) for key, each in model.claimed.items()
        }
        assert {row["key"]: row["campaign_id"] for row in rows if row["key"]} == model.keys

    @invariant()
    def rows_and_ledger_add_up(self) -> None:
        assert self.runner.run(small.wrong(self.connection)) == []

    @precondition(lambda self: not self.model.deleted)
    @invariant()
    def what_is_told_of_the_pool_is_so(self) -> None:
        model = self.model
        counts = self.runner.run(pools.counts(self.connection, self.pool)).values()
        told = self.fetch("SELECT * FROM campaign_pool.pools WHERE pool = $1", self.pool)
        if not told:
            return  # before the first step
        stale = sum(made != model.revision for _, made in model.ready.values())
        assert (told[0]["ready"], told[0]["stale"]) == (len(model.ready), stale)
        assert told[0]["retiring"] == len(model.retiring)
        assert told[0]["claims_of_day"] == len(model.claimed) == sum(each.claimed for each in counts)
        assert sum(each.ready for each in counts) == len(model.ready)
        for player in PLAYERS:
            state, given = self.expected(player, None)
            (peeked,) = self.fetch("SELECT * FROM campaign_pool.peek($1, $2)", self.pool, player)
            if state is not None:
                assert peeked["source"] is None
            elif not given:
                assert peeked["source"] == "clone"
            else:
                assert peeked["source"] == ("owner" if model.ready[given[0]][0] else "master")

    def teardown(self) -> None:
        """Leave nothing for the next example."""
        self.fetch("DELETE FROM members")
        self.fetch("DELETE FROM things WHERE world_id <> $1", small.TEMPLATE)
        self.fetch("DELETE FROM worlds WHERE NOT is_template")
        self.fetch("DELETE FROM campaign_pool.campaign")
        self.fetch("DELETE FROM campaign_pool.claimed")

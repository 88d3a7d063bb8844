"""Random histories of an application beside its pool: migrations, changes of rows, deletions, claims and crashes."""

import asyncio
import itertools
import json
from dataclasses import dataclass, field
from typing import Any

import asyncpg
from hypothesis import strategies as st

from campaignpool.api.blueprint import parse
from campaignpool.api.spec import CampaignPoolSpec
from campaignpool.blueprint import compilation, install
from campaignpool.ledger import auditing, pools, retiring, seeding
from campaignpool.ledger.database import Connection
from tests.support import resources, stock

TEMPLATE = "00000000-0000-4000-8000-000000000001"
SCHEMA = f"""
DROP SCHEMA IF EXISTS game CASCADE;
CREATE SCHEMA game;
CREATE TYPE game.mood AS ENUM ('glad', 'sad');
CREATE DOMAIN game.score AS integer CHECK (VALUE >= 0);
CREATE TABLE game.campaigns (
    id uuid PRIMARY KEY, name text, player text, mood game.mood, is_template boolean NOT NULL DEFAULT false);
CREATE TABLE game.heroes (
    id serial PRIMARY KEY, campaign_id uuid NOT NULL REFERENCES game.campaigns ON DELETE CASCADE,
    level integer, mood game.mood, moods game.mood[], score game.score);
CREATE TABLE game.items (
    id uuid PRIMARY KEY DEFAULT uuidv7(), hero_id integer NOT NULL REFERENCES game.heroes ON DELETE CASCADE,
    title varchar(30), tag char(3));
INSERT INTO game.campaigns VALUES ('{TEMPLATE}', 'Master', NULL, 'sad', true);
INSERT INTO game.heroes (campaign_id, level, mood, moods, score)
SELECT id, n, 'glad', '{{sad,glad}}', n FROM game.campaigns, generate_series(1, 3) n;
INSERT INTO game.items (hero_id, title, tag) SELECT h.id, 't' || n, 'ab' FROM game.heroes h, generate_series(1, 2) n;
"""
KEYS = frozenset({"id", "campaign_id", "hero_id", "name", "player", "is_template"})
"""Columns that differ between a clone and the template."""

STEPS = (
    "add", "add with a default", "backfill", "rename", "drop", "retype", "enum", "domain", "index", "rename a table",
    "edit", "look", "seed", "seed", "claim", "delete", "crash", "remove",
)  # fmt: skip

histories = st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 9)), min_size=4, max_size=14)
Rows = list[dict[str, Any]]
_numbers = itertools.count(1)


@dataclass
class History:
    """A pool and its application, and what the pool is expected to hold.

    Attributes:
        connection: To the database.
        url: Of the database, for connections that are lost.
        frozen: The template's rows when the revision was installed, by table.
        is_stale: Whether the application changed its schema since then.
        is_renamed: Whether it ever renamed a table.
        claimed: The campaigns that were claimed, and how many rows they had.
    """

    connection: Connection
    url: str
    pool: str = field(default_factory=lambda: f"any/history-{next(_numbers)}")
    names: dict[str, str] = field(default_factory=lambda: {"heroes": "game.heroes", "items": "game.items"})
    frozen: dict[str, Rows] = field(default_factory=dict)
    is_stale: bool = False
    is_renamed: bool = False
    claimed: dict[str, int] = field(default_factory=dict)
    number: int = 0

    async def run(self, steps: list[tuple[str, int]]) -> None:
        """Run the steps; then fill the pool, and delete every campaign that nobody claimed."""
        await self.connection.execute(SCHEMA)
        await self.look(0)
        for name, n in steps:
            await getattr(self, name.replace(" ", "_"))(n)
        await self.look(0)
        await self.seed(1)
        await retiring.retire(self.connection, self.pool)
        await self.remove(9)
        held = await retiring.held(self.connection, self.pool)
        # A campaign that rows of a renamed table refer to is held, with the name of the table.
        assert all("items_hero_id_fkey" in cause for cause in held), held
        assert self.is_renamed or not held, held
        left = 1 + len(self.claimed) + sum(held.values())
        assert await self.count("game.campaigns") == left
        for campaign, rows in self.claimed.items():
            assert sum(map(len, (await self.content(campaign)).values())) == rows
        assert await self.count(self.names["heroes"]) == 3 * left
        assert await self.count(self.names["items"]) == 6 * left

    async def close(self) -> None:
        """Delete what the history left behind."""
        await resources.close(self.connection, self.pool)
        await retiring.retire(self.connection, self.pool)
        await retiring.remove(self.connection, self.pool, 100)
        await install.drop_unused(self.connection, self.pool)
        await pools.cancel_runs(self.connection, self.pool)
        await self.connection.execute("DELETE FROM campaign_pool.campaign; DROP SCHEMA game CASCADE")

    async def count(self, table: str) -> int:
        return int(await self.connection.fetchval(f"SELECT count(*) FROM {table}"))

    async def content(self, campaign: str) -> dict[str, Rows]:
        """Return the rows of a campaign in the order of their keys, without their keys."""
        heroes, items = self.names["heroes"], self.names["items"]
        queries = {
            "campaigns": "SELECT * FROM game.campaigns WHERE id = $1::uuid",
            "heroes": f"SELECT * FROM {heroes} WHERE campaign_id = $1::uuid ORDER BY id",
            "items": f"""
                SELECT i.*, (SELECT count(*) FROM {heroes} o WHERE o.campaign_id = $1::uuid AND o.id < h.id) AS hero
                FROM {items} i JOIN {heroes} h ON h.id = i.hero_id WHERE h.campaign_id = $1::uuid ORDER BY i.id
            """,
        }
        result = {}
        for table, query in queries.items():
            rows = await self.connection.fetch(f"SELECT to_jsonb(r)::text AS row FROM ({query}) r", campaign)
            values = [json.loads(row["row"]) for row in rows]
            result[table] = [{name: row[name] for name in row if name not in KEYS} for row in values]
        return result

    # The application

    async def add(self, n: int, default: str = "") -> None:
        self.number += 1
        table = list(self.names.values())[n % 2]
        await self.change(f"ALTER TABLE {table} ADD COLUMN c{self.number} text {default}")

    async def add_with_a_default(self, n: int) -> None:
        await self.add(n, f"NOT NULL DEFAULT 'd{n}'")

    async def backfill(self, n: int) -> None:
        for table, column in await self.added(n):
            await self.connection.execute(f"UPDATE {table} SET {column} = 'b' || {n}")

    async def rename(self, n: int) -> None:
        self.number += 1
        for table, column in await self.added(n):
            await self.change(f"ALTER TABLE {table} RENAME COLUMN {column} TO c{self.number}")

    async def drop(self, n: int) -> None:
        for table, column in await self.added(n):
            await self.change(f"ALTER TABLE {table} DROP COLUMN {column}")

    async def retype(self, n: int) -> None:
        kind = ("bigint", "smallint", "numeric", "integer")[n % 4]
        await self.change(f"ALTER TABLE {self.names['heroes']} ALTER COLUMN level TYPE {kind}")

    async def enum(self, n: int) -> None:
        if n % 2:
            await self.change(f"ALTER TYPE game.mood ADD VALUE IF NOT EXISTS 'mood {n}'")
            return
        # What Prisma writes to change the values of an enum.
        heroes = self.names["heroes"]
        await self.change(f"""
            CREATE TYPE game.mood_new AS ENUM ('sad', 'calm', 'glad');
            ALTER TABLE game.campaigns ALTER COLUMN mood TYPE game.mood_new USING mood::text::game.mood_new;
            ALTER TABLE {heroes} ALTER COLUMN mood TYPE game.mood_new USING mood::text::game.mood_new,
                ALTER COLUMN moods TYPE game.mood_new[] USING moods::text::game.mood_new[];
            ALTER TYPE game.mood RENAME TO mood_old;
            ALTER TYPE game.mood_new RENAME TO mood;
            DROP TYPE game.mood_old;
        """)

    async def domain(self, _: int) -> None:
        await self.change(f"""
            ALTER TABLE {self.names["heroes"]} ALTER COLUMN score TYPE integer;
            DROP DOMAIN game.score;
            CREATE DOMAIN game.score AS integer CHECK (VALUE >= -1);
            ALTER TABLE {self.names["heroes"]} ALTER COLUMN score TYPE game.score;
        """)

    async def index(self, _: int) -> None:
        await self.connection.execute(f"CREATE INDEX ON {self.names['heroes']} (level)")
        if not self.is_stale:
            assert not await self.install()

    async def rename_a_table(self, _: int) -> None:
        self.number += 1
        new, self.is_renamed = f"items{self.number}", True
        await self.change(f"ALTER TABLE {self.names['items']} RENAME TO {new}")
        self.names["items"] = f"game.{new}"

    async def edit(self, n: int) -> None:
        await self.connection.execute(
            f"UPDATE {self.names['heroes']} SET level = level + {n} WHERE campaign_id = '{TEMPLATE}'"
        )

    async def claim(self, _: int) -> None:
        query = "SELECT campaign_id, source FROM campaign_pool.claim($1, 'ann')"
        try:
            row = await self.connection.fetchrow(query, self.pool)
        except asyncpg.PostgresError as error:
            if error.sqlstate == "CP002":
                return
            raise
        assert row
        content = await self.content(row["campaign_id"])
        assert [len(rows) for rows in content.values()] == [1, 3, 6]
        self.claimed[row["campaign_id"]] = 10

    async def delete(self, n: int) -> None:
        """Delete rows of a ready campaign, as a clean-up job does; the next audit finds it."""
        query = """
            SELECT root_key FROM campaign_pool.campaign c JOIN campaign_pool.pool p ON p.id = c.pool_id
            WHERE p.name = $1 AND c.state = 'ready' ORDER BY c.id OFFSET $2 LIMIT 1
        """
        campaign = await self.connection.fetchval(query, self.pool, n % 3)
        if campaign is None:
            return
        where = "game.campaigns WHERE id" if n % 2 else f"{self.names['heroes']} WHERE campaign_id"
        await self.connection.execute(f"DELETE FROM {where} = '{campaign}'")
        state = "SELECT state FROM campaign_pool.campaign WHERE root_key = $1"
        for _ in range(100):  # an audit counts the rows of some campaigns, chosen at random
            changed = await auditing.audit(self.connection, self.pool)
            assert len(changed) <= 1 or self.is_stale
            await auditing.quarantine(self.connection, changed)
            if await self.connection.fetchval(state, campaign) == "retiring":
                break
        else:
            assert self.is_stale
            await retiring.retire(self.connection, self.pool)

    # The operator and its Jobs

    async def look(self, _: int) -> None:
        """Install the revision that the schema asks for; campaigns of an older one leave the pool."""
        if await self.install():
            self.frozen = await self.content(TEMPLATE)
            await retiring.retire(self.connection, self.pool)
        self.is_stale = False

    async def install(self) -> bool:
        text = f"""
            root: {{table: game.campaigns, set: {{is_template: "false", name: $name}}}}
            tables: [{{name: {self.names["heroes"]}}}, {{name: {self.names["items"]}}}]
            onClaim: {{set: {{player: $claimant}}}}
        """
        spec = CampaignPoolSpec.model_validate({
            "database": {"secretRef": {"name": "none"}}, "template": {"key": TEMPLATE}, "size": 5, "maxSize": 100,
            "claims": {"onEmpty": "Fail"}, "blueprint": {"inline": parse(text, "text")},
        })  # fmt: skip
        assert spec.blueprint.inline
        compiled = await compilation.compile_blueprint(self.connection, spec, spec.blueprint.inline)
        await resources.put(self.connection, self.pool, spec)
        return await install.install(self.connection, self.pool, compiled)

    async def seed(self, n: int) -> None:
        """Seed campaigns; each is what was frozen, or the batch is refused because the schema changed."""
        self.number += 1
        job = f"job-{self.pool}-{self.number}"
        await stock.reserve(self.connection, self.pool, job, 1 + n % 3)
        try:
            await seeding.seed(self.connection, self.pool, job, 10)
        except asyncpg.PostgresError:
            if not self.is_stale:
                raise
            await pools.cancel_runs(self.connection, self.pool)
        query = "SELECT root_key FROM campaign_pool.campaign WHERE run = $1 AND state = 'ready'"
        for row in await self.connection.fetch(query, job):
            content = await self.content(row["root_key"])
            for table, rows in self.frozen.items():
                assert _both(content[table], rows) == _both(rows, content[table]), (table, content[table], rows)

    async def crash(self, n: int) -> None:
        """Lose the connection of a Job that has cloned and not committed; its campaigns are not made."""
        before = await self.count("game.campaigns")
        self.number += 1
        job = f"job-{self.pool}-{self.number}"
        await stock.reserve(self.connection, self.pool, job, 1 + n % 3)
        lost = await asyncpg.connect(self.url)
        await lost.execute("BEGIN")
        try:
            await seeding.seed(lost, self.pool, job, 10)
        except asyncpg.PostgresError:
            assert self.is_stale
        backend = lost.get_server_pid()
        lost.terminate()
        activity = "SELECT count(*) FROM pg_stat_activity WHERE pid = $1"
        while await self.connection.fetchval(activity, backend):  # noqa: ASYNC110 (a database sends no event)
            await asyncio.sleep(0)
        assert await self.count("game.campaigns") == before
        await pools.cancel_runs(self.connection, self.pool)

    async def remove(self, n: int) -> None:
        while await retiring.remove(self.connection, self.pool, 1 + n):
            pass

    # Helpers

    async def change(self, statements: str) -> None:
        await self.connection.execute(statements)
        self.is_stale = True

    async def added(self, n: int) -> list[tuple[str, str]]:
        """Return one of the columns that were added, with its table; none at first."""
        query = """
            SELECT attrelid::regclass::text AS name, attname FROM pg_attribute
            WHERE attrelid = ANY ($1::text[]::regclass[]) AND NOT attisdropped AND attname ~ '^c[0-9]+$'
            ORDER BY attname
        """
        rows = await self.connection.fetch(query, list(self.names.values()))
        return [(rows[n % len(rows)]["name"], rows[n % len(rows)]["attname"])] if rows else []


def _both(rows: Rows, others: Rows) -> Rows:
    """Return rows without the columns that others do not have."""
    names = {name for row in others for name in row}
    return [{name: row[name] for name in row if name in names} for row in rows]

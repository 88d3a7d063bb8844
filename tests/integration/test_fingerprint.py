"""The fingerprint: what it sees, what it does not, and that the same template always has the same one."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import chiwar
from campaignpool.api.spec import CampaignPoolSpec
from campaignpool.blueprint import check, compilation, install
from campaignpool.blueprint.fingerprint import Fingerprint, take
from campaignpool.blueprint.sql import hashes
from campaignpool.ledger.database import Connection
from campaignpool.ledger.migrate import migrate
from campaignpool_local.postgres import EmbeddedPostgres
from tests.support import ledgers, resources
from tests.support.postgres import NewDatabase

pytestmark = pytest.mark.integration

SCHEMA = (Path(__file__).parents[1] / "data" / "fingerprint.sql").read_text()
BLUEPRINT = {
    "root": {"table": "worlds", "set": {"name": "$name", "is_template": "false"}},
    "tables": [
        {"name": "things", "where": "active"},
        {
            "name": "marks",
            "polymorphic": [
                {"type": "thing_type", "id": "thing_id", "targets": {"Thing": "things", "World": "worlds"}}
            ],
        },
    ],
}
KNOWN = "t1-ad7cef468c91487290cb134785adae217710a6b664fdf2bc02faea823f3bd704"
"""Of the template in fingerprint.sql. When it changes, so do those of all pools: give the algorithm a new name."""


async def fingerprint(connection: Connection, spec: CampaignPoolSpec) -> Fingerprint:
    assert spec.blueprint.inline
    return await _hashes(connection, await compilation.compile_blueprint(connection, spec, spec.blueprint.inline))


async def _hashes(connection: Connection, compiled: install.Compiled) -> Fingerprint:
    async with check.rolled_back(connection):
        await install.collect(connection, compiled.plan, compiled.template)
        return await take(connection, compiled.plan, "pg_temp.campaignpool_rows", temporary=True)


def worlds(blueprint: object = BLUEPRINT) -> CampaignPoolSpec:
    return ledgers.spec(template={"where": "is_template"}, blueprint={"inline": blueprint})


@pytest.fixture(scope="module")
def known(postgres_server: EmbeddedPostgres) -> Iterator[str]:
    """The URL of a database with the template whose fingerprint never changes."""

    async def load(url: str) -> None:
        connection = await asyncpg.connect(url)
        await connection.execute(SCHEMA)
        await connection.close()

    url = postgres_server.create_database("fingerprint_known")
    asyncio.run(load(url))
    yield url
    postgres_server.drop_database("fingerprint_known")


@pytest.fixture
async def conn(known: str) -> AsyncIterator[Connection]:
    """A connection to it; a test that changes something rolls it back."""
    connection = await asyncpg.connect(known)
    yield connection
    await connection.close()


@pytest.fixture(scope="module")
def small(postgres_server: EmbeddedPostgres) -> Iterator[str]:
    """The sample application, small, with one campaign of somebody else."""

    async def load(url: str) -> None:
        connection = await asyncpg.connect(url)
        await chiwar.load(connection, scale=0.1, campaigns=1)
        await connection.close()

    url = postgres_server.create_database("fingerprint_small")
    asyncio.run(load(url))
    yield url
    postgres_server.drop_database("fingerprint_small")


@pytest.fixture
async def app(small: str) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(small)
    yield connection
    await connection.close()


async def test_it_is_the_one_that_every_release_gave(conn: Connection) -> None:
    result = await fingerprint(conn, worlds())
    assert {table.table: (table.rows, len(table.columns)) for table in result.tables} == {
        "public.worlds": (1, 1),
        "public.things": (2, 24),
        "public.marks": (3, 3),
    }
    assert result.text == KNOWN


@pytest.mark.parametrize(
    "change",
    [
        pytest.param("CREATE INDEX i ON things (price); CLUSTER things USING i", id="order of rows"),
        pytest.param(
            "ALTER TABLE things RENAME price TO p; ALTER TABLE things ADD price numeric; UPDATE things SET price = p;"
            "ALTER TABLE things DROP p",
            id="order of columns",
        ),
        pytest.param("ALTER TABLE marks ALTER note TYPE varchar(200)", id="a type with the same text"),
        pytest.param("UPDATE marks SET id = id + 100", id="keys that the database draws again"),
        pytest.param(
            "DELETE FROM marks WHERE note = 'of another'; DELETE FROM things WHERE world_id = 2", id="others"
        ),
        pytest.param("UPDATE things SET price = 7 WHERE NOT active", id="a row that is left out"),
        pytest.param("UPDATE worlds SET name = 'Renamed'", id="a column that is set"),
        pytest.param("UPDATE files SET seen = seen + 1", id="what a file has beside its content"),
        pytest.param(
            "DROP TYPE mood CASCADE; ALTER TABLE things ADD feeling text; "
            "UPDATE things SET feeling = 'wild' WHERE id::text LIKE '%1'",
            id="another type, the same text",
        ),
        pytest.param("SET TimeZone = 'Asia/Tokyo'", id="time zone"),
        pytest.param("SET DateStyle = 'German'", id="style of dates"),
        pytest.param("SET IntervalStyle = 'iso_8601'", id="style of intervals"),
        pytest.param("SET bytea_output = 'escape'", id="form of bytes"),
        pytest.param("SET extra_float_digits = -5", id="digits of floats"),
    ],
)
async def test_it_does_not_change_with(change: str, conn: Connection) -> None:
    async with check.rolled_back(conn):
        await conn.execute(change)
        assert (await fingerprint(conn, worlds())).text == KNOWN


async def test_it_does_not_change_with_a_vacuum(conn: Connection) -> None:
    await conn.execute("UPDATE things SET price = price")
    await conn.execute("VACUUM FULL")
    assert (await fingerprint(conn, worlds())).text == KNOWN


async def test_it_does_not_change_with_the_order_of_tables_or_the_number_of_the_revision(conn: Connection) -> None:
    tables = BLUEPRINT["tables"]
    assert isinstance(tables, list)
    turned = worlds({**BLUEPRINT, "tables": tables[::-1]})
    async with check.rolled_back(conn):
        await migrate(conn)
        for pool, spec in (("a/one", worlds()), ("a/two", turned)):
            assert spec.blueprint.inline
            compiled = await compilation.compile_blueprint(conn, spec, spec.blueprint.inline)
            await resources.put(conn, pool, spec)
            async with conn.transaction():
                await install.install(conn, pool, compiled)
            await conn.execute("DISCARD TEMP")
        rows = await conn.fetch("SELECT fingerprint FROM campaign_pool.revision")
    assert [row[0] for row in rows] == [KNOWN, KNOWN]


@pytest.mark.parametrize("encoding", ["UTF8", "LATIN1"])
async def test_it_is_the_same_after_a_dump_and_restore(
    encoding: str, postgres_server: EmbeddedPostgres, known: str, tmp_path: Path
) -> None:
    dump = tmp_path / "dump"
    restored = f"restored_{encoding.lower()}"
    server = postgres_server.url_of("postgres")
    _run(postgres_server, "pg_dump", "--format=custom", f"--file={dump}", f"--dbname={known}")
    _run(
        postgres_server,
        "psql",
        "--quiet",
        f"--dbname={server}",
        "--command",
        f"CREATE DATABASE {restored} TEMPLATE template0 ENCODING '{encoding}' LOCALE_PROVIDER libc LOCALE 'C'",
    )
    try:
        url = postgres_server.url_of(restored)
        _run(postgres_server, "pg_restore", "--no-owner", f"--dbname={url}", str(dump))
        other = await asyncpg.connect(url)
        result = await fingerprint(other, worlds())
        await other.close()
    finally:
        postgres_server.drop_database(restored)
    assert result.text == KNOWN


def _run(server: EmbeddedPostgres, *command: str) -> None:
    done = subprocess.run([server.binary(command[0]), *command[1:]], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("change", "tables"),
    [
        ("UPDATE things SET price = 1.500 WHERE price = 1.5", {"things"}),
        ('UPDATE things SET "Odd ""Name" = NULL WHERE "Odd ""Name" = \'\'', {"things"}),
        ("UPDATE things SET file_id = 1 WHERE file_id = 2", {"things"}),
        ("UPDATE files SET checksum = 'other' WHERE id = 2", {"things"}),
        ("UPDATE things SET near_id = id WHERE id::text LIKE '%2'", {"things"}),
        ("UPDATE things SET active = true", {"things", "marks"}),
        ("UPDATE marks SET thing_id = replace(thing_id, '1', '2') WHERE note = 'one'", {"marks"}),
        ("DELETE FROM marks WHERE note = 'of the world'", {"marks"}),
        # One of two equal rows.
        ("DELETE FROM marks WHERE id = (SELECT min(id) FROM marks)", {"marks"}),
        ("INSERT INTO marks (thing_type, thing_id) VALUES ('World', '1')", {"marks"}),
        ("ALTER TABLE marks ADD extra text", {"marks"}),
        ("ALTER TABLE marks RENAME note TO remark", {"marks"}),
    ],
)
async def test_it_changes_with(change: str, tables: set[str], conn: Connection) -> None:
    before = await fingerprint(conn, worlds())
    async with check.rolled_back(conn):
        await conn.execute(change)
        after = await fingerprint(conn, worlds())
    assert before.text != after.text
    pairs = zip(before.tables, after.tables, strict=True)
    assert {a.table for a, b in pairs if a != b} == {f"public.{table}" for table in tables}


async def test_a_reference_to_a_row_left_out_is_seen_as_a_clone_has_it(conn: Connection) -> None:
    """It is NULL in a clone, so it does not matter at which row it points, nor whether it does."""
    async with check.rolled_back(conn):
        await conn.execute("UPDATE things SET near_id = NULL WHERE id::text LIKE '%2'")
        assert (await fingerprint(conn, worlds())).text == KNOWN


async def test_it_sees_every_column_of_the_sample_application(app: Connection) -> None:
    """Change a value of each column that it says it sees: it tells which of them changed."""
    spec = ledgers.spec()
    assert spec.blueprint.inline
    compiled = await compilation.compile_blueprint(app, spec, spec.blueprint.inline)
    async with check.rolled_back(app):
        before, old = await _cells(app, compiled)
        # Keys have references, and these columns make rows come and go.
        skipped = {"id", "active", "is_template", "campaign_id"}
        skipped |= {"positionable_type", "positionable_id", "record_type", "record_id"}
        wanted = {(item.table, name) for item in before.tables for name in item.columns if name not in skipped}
        for position, table in enumerate(before.tables):
            for column in table.columns:
                if column not in skipped:
                    rows = {key: cells for (place, key), cells in old.items() if place == position}
                    await _change(app, compiled, position, column, _key(rows, table.columns.index(column)))
        after, new = await _cells(app, compiled)
    changed = {
        (table.table, name)
        for (place, key), cells in old.items()
        for table in (before.tables[place],)
        for number, name in enumerate(table.columns)
        if new[place, key][number] != cells[number]
    }
    assert changed == wanted
    assert len(changed) > 60
    pairs = zip(before.tables, after.tables, strict=True)
    assert {a.table for a, b in pairs if a.hash != b.hash} == {table for table, _ in wanted}


async def _cells(
    connection: Connection, compiled: install.Compiled
) -> tuple[Fingerprint, dict[tuple[int, str], list[bytes]]]:
    """Return the fingerprint, and by place and key the short hash of each value of a row."""
    async with check.rolled_back(connection):
        await install.collect(connection, compiled.plan, compiled.template)
        result = await take(connection, compiled.plan, "pg_temp.campaignpool_rows", temporary=True)
        rows = await connection.fetch("SELECT place, key, cells FROM pg_temp.campaignpool_rows")
    size = hashes.CELL_BYTES
    return result, {
        (row["place"], row["key"]): [row["cells"][n : n + size] for n in range(0, len(row["cells"]), size)]
        for row in rows
    }


def _key(rows: dict[str, list[bytes]], number: int) -> str:
    """Return the key of a row that has a value in a column, where there is one."""
    return min(rows, key=lambda key: (rows[key][number] == bytes(hashes.CELL_BYTES), key))


async def _change(connection: Connection, compiled: install.Compiled, position: int, column: str, key: str) -> None:
    facts = compiled.plan.tables[position].facts
    own, _, behind = column.partition(".")
    row = f"id::text = '{key}'"
    if behind:
        value = f"{behind} + 1" if behind == "byte_size" else f"coalesce({behind}, '') || 'x'"
        blob = f"(SELECT {own} FROM {facts.name} WHERE {row})"
        await connection.execute(f"UPDATE active_storage_blobs SET {behind} = {value} WHERE id = {blob}")
    else:
        value = _other(facts.column[own].base, own, facts.name)
        await connection.execute(f"UPDATE {facts.name} SET {own} = {value} WHERE {row}")


def _other(kind: str, column: str, table: str) -> str:
    if column == "user_id":
        return f"(SELECT id FROM users WHERE id <> {table}.user_id LIMIT 1)"
    if column in {"prerequisite_id", "equipped_weapon_id", "faction_id", "juncture_id"}:
        return "NULL"
    if column in {"character_id", "schtick_id", "weapon_id"}:
        target = {"character_id": "characters", "schtick_id": "schticks", "weapon_id": "weapons"}[column]
        kept = "t.active AND t.is_template" if target == "characters" else "t.active"
        return (
            f"(SELECT t.id FROM {target} t JOIN campaigns c ON c.id = t.campaign_id AND c.is_master_template "
            f"WHERE {kept} AND t.id <> {table}.{column} ORDER BY t.id DESC LIMIT 1)"
        )
    values = {
        "boolean": f"NOT {column}",
        "uuid": "gen_random_uuid()",
        "jsonb": "'{\"other\": 1}'",
        "timestamp without time zone": f"coalesce({column}, now()) + interval '1 microsecond'",
        "character varying": f"coalesce({column}, '') || 'x'",
        "text": f"coalesce({column}, '') || 'x'",
    }
    return values.get(kind, f"coalesce({column}, 0) + 1")


CELLS = st.one_of(st.none(), st.text(st.sampled_from("aN\\\"{},'é 1:~"), max_size=4))
ROWS = st.lists(st.tuples(CELLS, CELLS), max_size=6)


def test_two_templates_have_the_same_one_just_when_they_have_the_same_rows(new_database: NewDatabase) -> None:
    """Values next to each other, NULL and empty text, quotes and separators: nothing runs into anything else."""
    url = new_database()
    spec = worlds({"root": BLUEPRINT["root"], "tables": [{"name": "pairs"}]})

    async def make() -> Connection:
        connection = await asyncpg.connect(url)
        await connection.execute(
            "CREATE TABLE worlds (id bigserial PRIMARY KEY, name text, is_template boolean);"
            "INSERT INTO worlds (name, is_template) VALUES ('Master', true);"
            "CREATE TABLE pairs (world_id bigint NOT NULL REFERENCES worlds, a text, b text)"
        )
        return connection

    async def of(connection: Connection, rows: list[tuple[str | None, str | None]]) -> str:
        await connection.execute("TRUNCATE pairs")
        columns = [[row[0] for row in rows], [row[1] for row in rows]]
        await connection.execute("INSERT INTO pairs SELECT 1, * FROM unnest($1::text[], $2::text[])", *columns)
        return (await _hashes(connection, compiled)).text

    with asyncio.Runner() as runner:
        connection = runner.run(make())
        assert spec.blueprint.inline
        compiled = runner.run(compilation.compile_blueprint(connection, spec, spec.blueprint.inline))

        @settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None)
        @given(ROWS, ROWS)
        def same(one: list[tuple[str | None, str | None]], two: list[tuple[str | None, str | None]]) -> None:
            ordered = [sorted(rows, key=repr) for rows in (one, two)]
            first = runner.run(of(connection, one))
            assert first == runner.run(of(connection, one[::-1]))
            assert (first == runner.run(of(connection, two))) == (ordered[0] == ordered[1])

        same()
        runner.run(connection.close())

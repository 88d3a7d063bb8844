"""Clones hold what the template holds: declared types, the order of keys, numbers and tokens of their own."""

import pytest

from campaignpool.errors import BlueprintError
from campaignpool.ledger.database import Connection
from tests.support import field, ledgers

pytestmark = pytest.mark.integration


async def test_values_keep_their_declared_types(connection: Connection) -> None:
    await connection.execute("""
        CREATE DOMAIN code AS char(4);
        CREATE TABLE campaigns (
            id uuid PRIMARY KEY DEFAULT gen_random_uuid(), country char(2), flags bit(8), codes char(3)[], code code,
            price numeric(6,2), at timestamp(0), is_master_template boolean NOT NULL);
        INSERT INTO campaigns (country, flags, codes, code, price, at, is_master_template)
        VALUES ('FR', B'10101010', '{abc,de}', 'wxyz', 12.34, '2026-01-01 10:00:00', true);
    """)
    text = """
        root:
          table: campaigns
          set: {is_master_template: "false", country: "'DE'", flags: "B'11110000'", code: "'abcd'", price: "99.999"}
        onClaim: {set: {country: "'AT'"}}
    """
    keys = await field.made(connection, text)
    row = await connection.fetchrow("SELECT * FROM campaigns WHERE id = $1", keys[0])
    assert row
    assert (row["country"], row["codes"], row["code"], str(row["price"])) == ("DE", ["abc", "de "], "abcd", "100.00")
    assert row["flags"].as_string().replace(" ", "") == "11110000"
    claim = await ledgers.claim(connection, "me")
    query = "SELECT country FROM campaigns WHERE id::text = $1"
    assert await connection.fetchval(query, claim["campaign_id"]) == "AT"
    await field.removed(connection, keys[1:])


async def test_a_value_that_is_too_long_is_refused_and_never_cut(connection: Connection) -> None:
    await connection.execute("""
        CREATE TABLE campaigns (id uuid PRIMARY KEY, country char(2), is_master_template boolean NOT NULL);
        INSERT INTO campaigns VALUES (gen_random_uuid(), 'FR', true);
    """)
    with pytest.raises(
        BlueprintError, match=r"refused for the template's row .* of public.campaigns: value too long"
    ):
        await field.made(
            connection, """root: {table: campaigns, set: {is_master_template: "false", country: "'DEU'"}}"""
        )


async def test_keys_of_char_columns_are_whole(connection: Connection) -> None:
    await connection.execute("""
        CREATE FUNCTION ulid() RETURNS text LANGUAGE sql VOLATILE AS
        $$ SELECT upper(substr(md5(random()::text), 1, 26)) $$;
        CREATE TABLE worlds (id char(26) PRIMARY KEY DEFAULT ulid(), is_master_template boolean NOT NULL);
        CREATE TABLE items (id char(26) PRIMARY KEY DEFAULT ulid(), world_id char(26) NOT NULL REFERENCES worlds);
        CREATE TABLE parts (id char(26) PRIMARY KEY DEFAULT ulid(), item_id char(26) NOT NULL REFERENCES items);
        INSERT INTO worlds (is_master_template) VALUES (true);
        INSERT INTO items (world_id) SELECT id FROM worlds, generate_series(1, 4) n;
        INSERT INTO parts (item_id) SELECT id FROM items;
    """)
    text = 'root: {table: worlds, set: {is_master_template: "false"}}\ntables: [{name: items}, {name: parts}]'
    keys = await field.made(connection, text)
    query = "SELECT count(*) FROM items i JOIN parts p ON p.item_id = i.id WHERE world_id = $1 AND length(p.id) = 26"
    assert await connection.fetchval(query, keys[0]) == 4
    await field.removed(connection, keys)


KEYS = {
    "integers that nothing refers to": "serial",
    "identities": "bigint GENERATED ALWAYS AS IDENTITY",
    "random uuids": "uuid DEFAULT gen_random_uuid()",
    "time-ordered uuids": "uuid DEFAULT campaign_v7()",
}
V7 = """
CREATE FUNCTION campaign_v7() RETURNS uuid LANGUAGE sql VOLATILE AS $$ SELECT (
    lpad(to_hex((extract(epoch FROM clock_timestamp()) * 1000000)::bigint), 12, '0') || '7'
    || substr(md5(random()::text), 1, 3) || 'b' || substr(md5(random()::text), 1, 15))::uuid $$;
"""


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize("referred", [False, True])
async def test_new_keys_ascend_as_those_of_the_template_do(connection: Connection, kind: str, referred: bool) -> None:
    additional = "CREATE TABLE notes (id serial PRIMARY KEY, step_id {} NOT NULL REFERENCES steps);"
    await connection.execute(f"""
        {field.CAMPAIGNS} {V7}
        CREATE TABLE steps (id {KEYS[kind]} PRIMARY KEY, campaign_id uuid NOT NULL REFERENCES campaigns, label text);
        INSERT INTO steps (campaign_id, label) SELECT id, n::text FROM campaigns, generate_series(1, 50) n;
        UPDATE steps SET label = label || ' edited' WHERE label::integer % 3 = 1;
        {additional.format("uuid" if "uuid" in KEYS[kind] else "bigint") if referred else ""}
        {"INSERT INTO notes (step_id) SELECT id FROM steps;" if referred else ""}
    """)
    tables = "tables: [{name: steps}, {name: notes}]" if referred else "tables: [{name: steps}]"
    keys = await field.made(connection, field.ROOT + tables)
    query = "SELECT array_agg(label ORDER BY id) FROM steps WHERE campaign_id = $1"
    template = await connection.fetchval("SELECT id FROM campaigns WHERE is_master_template")
    wanted = await connection.fetchval(query, template)
    assert [await connection.fetchval(query, key) for key in keys] == [wanted, wanted]
    await field.removed(connection, keys)


async def test_numbers_and_tokens_beside_the_key_are_the_clones_own(connection: Connection) -> None:
    await connection.execute("""
        CREATE SEQUENCE codes;
        CREATE FUNCTION token() RETURNS text LANGUAGE sql VOLATILE AS $$ SELECT md5(random()::text) $$;
        CREATE TABLE campaigns (id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
            number bigint GENERATED ALWAYS AS IDENTITY, code text NOT NULL DEFAULT 'C-' || nextval('codes'),
            kept integer NOT NULL DEFAULT nextval('codes'), made_at timestamptz NOT NULL DEFAULT clock_timestamp(),
            is_master_template boolean NOT NULL);
        CREATE TABLE tickets (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), position integer,
            campaign_id uuid NOT NULL REFERENCES campaigns, number serial, share uuid DEFAULT gen_random_uuid(),
            token text DEFAULT token());
        INSERT INTO campaigns (is_master_template, kept) VALUES (true, 7);
        INSERT INTO tickets (campaign_id, position) SELECT id, n FROM campaigns, generate_series(1, 9) n;
        UPDATE tickets SET share = NULL WHERE position = 5;
    """)
    text = 'root: {table: campaigns, set: {is_master_template: "false", kept: kept}}\ntables: [{name: tickets}]'
    keys = await field.made(connection, text)
    roots = await connection.fetch("SELECT number, code, kept, made_at FROM campaigns")
    assert len({row["number"] for row in roots}) == len({row["code"] for row in roots}) == 3
    assert {row["kept"] for row in roots} == {7}
    assert len({row["made_at"] for row in roots}) == 1
    query = """
        SELECT array_agg(position ORDER BY number), count(DISTINCT share), count(share), count(DISTINCT token)
        FROM tickets WHERE campaign_id = $1
    """
    for key in keys:
        assert list(await connection.fetchrow(query, key) or ()) == [list(range(1, 10)), 8, 8, 9]
    assert await connection.fetchval("SELECT count(DISTINCT number) = 27 AND count(DISTINCT token) = 27 FROM tickets")
    await field.removed(connection, keys)


DRAWN = {
    "a function in standard SQL": (
        "CREATE FUNCTION next() RETURNS bigint VOLATILE RETURN nextval('numbers');",
        "next()",
    ),
    "a function whose name is quoted": (
        """CREATE FUNCTION "newCode"() RETURNS text LANGUAGE sql AS $$ SELECT md5(random()::text) $$;""",
        '"newCode"()',
    ),
    "a function that calls another": (
        """
        CREATE FUNCTION letters(n integer) RETURNS text LANGUAGE sql AS $$ SELECT left(md5(random()::text), n) $$;
        CREATE FUNCTION code() RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN 'C-' || public.letters (9); END $$;
        """,
        "code()",
    ),
    "a table that counts": (
        """
        CREATE TABLE counted AS SELECT 0::bigint AS n;
        CREATE FUNCTION next_one() RETURNS bigint LANGUAGE sql AS $$ UPDATE counted SET n = n + 1 RETURNING n $$;
        """,
        "next_one()",
    ),
    "a value that cannot be sorted": ("", "point(random(), random())"),
}


@pytest.mark.parametrize("kind", DRAWN)
async def test_whatever_a_default_draws_is_the_clones_own(connection: Connection, kind: str) -> None:
    functions, default = DRAWN[kind]
    await connection.execute(f"""
        {field.CAMPAIGNS} CREATE SEQUENCE numbers; {functions}
        CREATE TABLE tickets (id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
            campaign_id uuid NOT NULL REFERENCES campaigns);
    """)
    kind_of = await connection.fetchval(f"SELECT pg_typeof({default})::text")
    await connection.execute(f"""
        ALTER TABLE tickets ADD drawn {kind_of} NOT NULL DEFAULT {default};
        INSERT INTO tickets (campaign_id) SELECT id FROM campaigns, generate_series(1, 3);
    """)
    await field.made(connection, field.ROOT + "tables: [{name: tickets}]")
    assert await connection.fetchval("SELECT count(*) = 9 AND count(DISTINCT drawn::text) = 9 FROM tickets")


async def test_defaults_of_domains_draw_keys_and_values(connection: Connection) -> None:
    await connection.execute(f"""
        {field.CAMPAIGNS} CREATE SEQUENCE numbers;
        CREATE DOMAIN number AS bigint DEFAULT nextval('numbers');
        CREATE DOMAIN token AS text DEFAULT md5(random()::text);
        CREATE DOMAIN plain AS token DEFAULT 'plain';
        CREATE TABLE tickets (id number PRIMARY KEY, campaign_id uuid NOT NULL REFERENCES campaigns,
            token token NOT NULL, plain plain NOT NULL, set_by_column token DEFAULT 'fixed');
        INSERT INTO tickets (campaign_id, plain) SELECT id, 'edited' FROM campaigns, generate_series(1, 3);
    """)
    await field.made(connection, field.ROOT + "tables: [{name: tickets}]")
    query = "SELECT count(*), count(DISTINCT token), array_agg(DISTINCT plain || ' ' || set_by_column) FROM tickets"
    assert tuple(await connection.fetchrow(query) or ()) == (9, 9, ["edited fixed"])


async def test_values_of_the_applications_types_do_not_depend_on_the_session(connection: Connection) -> None:
    """A snapshot has them as text; the seeder may read it with other settings than the operator wrote it with."""
    await connection.execute(f"""
        {field.CAMPAIGNS}
        CREATE TYPE stay AS (day date, long interval, share double precision, bytes bytea);
        CREATE TABLE heroes (id serial PRIMARY KEY, campaign_id uuid NOT NULL REFERENCES campaigns, stay stay);
        INSERT INTO heroes (campaign_id, stay)
            SELECT id, ('2026-02-01', '-1 mons +2 days -03:04', 0.1::float8 + 0.2::float8, '\\x00ff')::stay
            FROM campaigns;
    """)
    await connection.execute("""
        SET DateStyle = 'German, DMY'; SET IntervalStyle = sql_standard; SET extra_float_digits = -10;
        SET bytea_output = escape
    """)
    await field.put(connection, field.ROOT + "tables: [{name: heroes}]")
    await connection.execute("RESET ALL; SET DateStyle = 'ISO, MDY'")
    await ledgers.filled(connection, "", 1)
    assert await connection.fetchval("SELECT count(DISTINCT stay) = 1 AND count(*) = 2 FROM heroes")

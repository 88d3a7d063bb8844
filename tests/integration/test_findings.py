"""What is found before the first clone: faults that every clone would run into, and what is worth knowing."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from campaignpool.blueprint import install
from campaignpool.errors import BlueprintError
from campaignpool.ledger import pools
from campaignpool.ledger.database import Connection
from tests.support import ledgers
from tests.support.forms import compiled, installed

pytestmark = pytest.mark.integration

ROOT = """
CREATE TABLE users (id uuid PRIMARY KEY DEFAULT gen_random_uuid());
CREATE TABLE worlds (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name text, is_template boolean);
INSERT INTO worlds (name, is_template) VALUES ('Master', true), ('Other', false);
"""
HEAD = 'root: {table: worlds, set: {is_template: "false"}}\ntables:\n'
HERO = "CREATE TABLE heroes (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), world_id uuid NOT NULL REFERENCES worlds"
FILL = "INSERT INTO heroes (world_id) SELECT id FROM worlds;"

FAULTS = {
    "a unique column": (
        f"{HERO}, code text NOT NULL UNIQUE DEFAULT clock_timestamp()); {FILL}",
        "- {name: heroes}",
        r"unique index heroes_code_key of public.heroes \(code\) .* `code: code \|\| '-' \|\| \$campaign`",
    ),
    "a unique expression": (
        (
            f"{HERO}, name text DEFAULT 'x'); INSERT INTO heroes (world_id) SELECT id FROM worlds WHERE is_template;"
            "CREATE UNIQUE INDEX u ON heroes (lower(name)) WHERE name LIKE 'x'"
        ),
        "- {name: heroes}",
        r"unique index u of public.heroes \(lower\(name\)\)",
    ),
    "a set column that is the same in every clone": (
        f"{HERO}, code text UNIQUE); {FILL}",
        "- {name: heroes, set: {code: \"'fixed'\"}}",
        r"unique index heroes_code_key",
    ),
    "a set column that is the same in every row": (
        (
            f"{HERO}, code integer, UNIQUE (world_id, code)); {FILL} INSERT INTO heroes (world_id, code)"
            " SELECT world_id, 2 FROM heroes;"
        ),
        '- {name: heroes, set: {code: "1"}}',
        r"unique index heroes_world_id_code_key",
    ),
    "nulls that are not distinct": (
        (
            f"{HERO}, friend uuid REFERENCES heroes, UNIQUE NULLS NOT DISTINCT (friend));"
            " INSERT INTO heroes (world_id) SELECT id FROM worlds WHERE is_template"
        ),
        "- {name: heroes}",
        r"unique index heroes_friend_key of public.heroes \(friend\)",
    ),
    "a generated unique column": (
        (
            f"{HERO}, name text DEFAULT 'x', low text GENERATED ALWAYS AS (lower(name)) STORED UNIQUE);"
            " INSERT INTO heroes (world_id) SELECT id FROM worlds WHERE is_template;"
        ),
        "- {name: heroes}",
        r"unique index heroes_low_key",
    ),
    "a foreign key to a table outside, by a column that changes": (
        (
            "CREATE TABLE members (world_id uuid REFERENCES worlds, user_id uuid REFERENCES users,"
            " PRIMARY KEY (world_id, user_id));"
            f"{HERO}, user_id uuid, FOREIGN KEY (world_id, user_id) REFERENCES members);"
            " INSERT INTO users DEFAULT VALUES; INSERT INTO members SELECT w.id, u.id FROM worlds w, users u;"
            " INSERT INTO heroes (world_id, user_id) SELECT * FROM members;"
        ),
        "- {name: heroes}",
        r"refers to public.members, which is not part of the blueprint, by world_id, .* one of \(world_id, user_id\)",
    ),
    "a key that is another each time": (
        (
            "CREATE TABLE heroes (id text PRIMARY KEY, world_id uuid NOT NULL REFERENCES worlds);"
            "CREATE TABLE pets (hero text REFERENCES heroes, id serial PRIMARY KEY);"
            " INSERT INTO heroes SELECT name, id FROM worlds; INSERT INTO pets SELECT id FROM heroes;"
        ),
        '- {name: heroes, set: {id: "gen_random_uuid()::text"}}\n- {name: pets}',
        r"column id of public.heroes is set and referred to, and its expression gives another value each time",
    ),
    "a default that is the same each time": (
        (
            "CREATE TABLE heroes (id text PRIMARY KEY DEFAULT 'x', world_id uuid NOT NULL REFERENCES worlds);"
            "CREATE TABLE pets (hero text REFERENCES heroes, id serial PRIMARY KEY);"
            " INSERT INTO heroes SELECT name, id FROM worlds; INSERT INTO pets SELECT id FROM heroes;"
        ),
        "- {name: heroes}\n- {name: pets}",
        r"column id of public.heroes is a key that others refer to, and its default gives the same value twice",
    ),
    "references that want different values": (
        (
            "CREATE TABLE a (id bigserial PRIMARY KEY, world_id uuid NOT NULL REFERENCES worlds);"
            "CREATE TABLE b (id bigserial PRIMARY KEY, world_id uuid NOT NULL REFERENCES worlds);"
            "CREATE TABLE c (x bigint REFERENCES a REFERENCES b, world_id uuid NOT NULL REFERENCES worlds);"
            "INSERT INTO a (world_id) SELECT id FROM worlds; INSERT INTO b (world_id) SELECT id FROM worlds;"
            "INSERT INTO c SELECT id, world_id FROM a;"
        ),
        "- {name: a}\n- {name: b}\n- {name: c}",
        r"column x of public.c holds several references, which would want different values in 1 rows",
    ),
    "a template that a filter leaves out": (
        (
            f"{HERO}, live boolean DEFAULT false); {FILL} ALTER TABLE worlds ADD hero_id uuid REFERENCES heroes;"
            "UPDATE worlds w SET hero_id = h.id FROM heroes h WHERE world_id = w.id;"
            "ALTER TABLE worlds ALTER hero_id SET NOT NULL"
        ),
        "- {name: heroes, where: live}",
        r"the template itself would be left out: a required reference of public.worlds",
    ),
}

WARNINGS = [
    "rows of public.heroes where mentor_id becomes NULL because what it refers to is left out: 1",
    (
        "column heroes_count of public.worlds seems to count rows of public.heroes, some of which are left out: set "
        "it to the number of those that are copied"
    ),
    "rows of public.pets that are left out because a row that they require is: 1",
    "triggers of public.pets fire for every row that is inserted: see",
    "rows of public.gifts that are left out because a row that they require is: 1",
    (
        "rows of public.gifts that refer to the template by one of hero_id, pet_id and not by all, and so are not "
        "copied: 4; name under `via` those that make a row part of a campaign"
    ),
    *(
        f"foreign key {name} of {table} has no index, so deleting campaigns reads the whole table: "
        f"CREATE INDEX CONCURRENTLY ON {table} ({column})"
        for name, table, column in (
            ("Odd Visits_World_fkey", '"Odd Visits"', '"World"'),
            ("gifts_hero_id_fkey", "gifts", "hero_id"),
            ("heroes_mentor_id_fkey", "heroes", "mentor_id"),
        )
    ),
    (
        "polymorphic reference item_id of public.pictures has no index, so finding a campaign reads the whole table: "
        'CREATE INDEX CONCURRENTLY ON public.pictures ("item_id", "item_type")'
    ),
]


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[Connection]:
    connection: Connection = await asyncpg.connect(database_url)
    await connection.execute(ROOT)
    yield connection
    await connection.close()


@pytest.mark.parametrize("name", FAULTS)
async def test_a_fault_is_found_before_the_first_clone(connection: Connection, name: str) -> None:
    schema, tables, message = FAULTS[name]
    await connection.execute(schema)
    with pytest.raises(BlueprintError, match=message) as refused:
        await installed(connection, HEAD + tables)
    assert len(refused.value.faults) == 1


@pytest.mark.parametrize(
    ("columns", "tables"),
    [
        ("code text UNIQUE", "- {name: heroes}"),
        ("code text UNIQUE DEFAULT 'x'", '- {name: heroes, set: {code: "NULL"}}'),
        ("code uuid UNIQUE DEFAULT gen_random_uuid()", '- {name: heroes, set: {code: "gen_random_uuid()"}}'),
        ("code text DEFAULT 'x', UNIQUE (world_id, code)", "- {name: heroes}"),
        ("code integer DEFAULT 1 UNIQUE NULLS NOT DISTINCT", "- {name: heroes, where: is_null}"),
    ],
)
async def test_what_is_no_fault_is_not_called_one(connection: Connection, columns: str, tables: str) -> None:
    await connection.execute(f"{HERO}, is_null boolean DEFAULT false, {columns})")
    await connection.execute("INSERT INTO heroes (world_id) SELECT id FROM worlds WHERE is_template")
    await installed(connection, HEAD + tables)
    assert len(await ledgers.filled(connection, "", 2)) == 2


async def test_names_are_looked_up_as_the_role_does_when_it_compiles(connection: Connection) -> None:
    """And so in every session that clones afterwards."""
    await connection.execute("CREATE SCHEMA tools; CREATE FUNCTION tools.f() RETURNS text RETURN 'x'")
    text = 'root: {table: worlds, set: {name: "f()", is_template: "false"}}'
    with pytest.raises(BlueprintError, match=r"set name: function f\(\) does not exist: .* qualify names"):
        await compiled(connection, text)
    await connection.execute("SET search_path = public, tools")
    await installed(connection, text)
    await connection.execute("SET search_path = pg_catalog")
    (key,) = await ledgers.filled(connection, "", 1)
    assert await connection.fetchval("SELECT name FROM public.worlds WHERE id = $1", key) == "x"


async def test_warnings_say_what_is_worth_knowing(connection: Connection) -> None:
    await connection.execute(
        f"""
        {HERO}, live boolean, mentor_id uuid REFERENCES heroes);
        ALTER TABLE worlds ADD heroes_count integer DEFAULT 2, ADD gems_count integer DEFAULT 0;
        CREATE TABLE pets (id serial PRIMARY KEY, hero_id uuid NOT NULL REFERENCES heroes);
        CREATE TABLE gifts (hero_id uuid NOT NULL REFERENCES heroes, pet_id integer NOT NULL REFERENCES pets);
        CREATE TABLE "Odd Visits" ("World" uuid REFERENCES worlds, at timestamptz);
        CREATE TABLE pictures (id serial PRIMARY KEY, item_type text, item_id uuid);
        CREATE INDEX ON heroes (world_id);
        CREATE INDEX ON pets (hero_id) WHERE hero_id IS NOT NULL;
        CREATE INDEX ON gifts (pet_id, hero_id);
        CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
        CREATE TRIGGER see BEFORE INSERT ON pets FOR EACH ROW EXECUTE FUNCTION see();
        INSERT INTO heroes (world_id, live) SELECT id, l FROM worlds, (VALUES (true), (false)) v (l);
        UPDATE heroes h SET mentor_id = m.id FROM heroes m WHERE m.world_id = h.world_id AND NOT m.live;
        INSERT INTO pets (hero_id) SELECT id FROM heroes;
        INSERT INTO gifts SELECT h.id, p.id FROM heroes h, pets p WHERE h.live;
        """
    )
    tables = """
- {name: heroes, where: live}
- {name: pets}
- {name: gifts}
- {name: pictures, polymorphic: [{type: item_type, id: item_id, targets: {Hero: heroes}}]}
"""
    result = await compiled(connection, HEAD + tables)
    assert await install.warnings(connection, result) == WARNINGS
    await install.install(connection, ledgers.POOL, result)
    await ledgers.filled(connection, "", 1)
    assert (await pools.observe(connection, ledgers.POOL)).owners[""].ready == 1

"""Forms of schemas that the drawn ones do not have: each cloned twice, held to one query, and deleted."""

import pytest

from campaignpool.ledger import retiring
from campaignpool.ledger.database import Connection
from tests.support import ledgers
from tests.support.forms import installed

pytestmark = pytest.mark.integration

ROOT = "CREATE TABLE worlds (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name text, is_template boolean);"
TWO = "INSERT INTO worlds (name, is_template) VALUES ('Master', true), ('Other', false);"
HEAD = 'root: {table: worlds, set: {is_template: "false"}}\ntables:\n'

FORMS = {
    "a partitioned table, and a reference to it": (
        """
        CREATE TABLE events (
            id bigint GENERATED ALWAYS AS IDENTITY, day date, world_id uuid NOT NULL REFERENCES worlds,
            PRIMARY KEY (id, day)
        ) PARTITION BY RANGE (day);
        CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
        CREATE TABLE events_2 PARTITION OF events DEFAULT;
        CREATE TABLE echoes (id serial PRIMARY KEY, event_id bigint NOT NULL, day date NOT NULL,
            FOREIGN KEY (event_id, day) REFERENCES events ON DELETE CASCADE);
        INSERT INTO events (day, world_id)
            SELECT d::date, id FROM worlds, (VALUES ('2026-01-02'), ('2027-01-01')) v (d);
        INSERT INTO echoes (event_id, day) SELECT id, day FROM events;
        """,
        "- {name: events}\n- {name: echoes}",
        "SELECT count(*) = 2 FROM events e JOIN echoes USING (day) WHERE world_id = $1 AND event_id = e.id",
    ),
    "a key of the campaign and a number from a sequence that no table owns": (
        """
        CREATE SEQUENCE numbers START 7;
        CREATE TABLE rooms (
            world_id uuid NOT NULL REFERENCES worlds, id bigint DEFAULT nextval('numbers'),
            beside_world uuid, beside bigint,
            PRIMARY KEY (world_id, id), FOREIGN KEY (beside_world, beside) REFERENCES rooms);
        CREATE TABLE doors (id serial PRIMARY KEY, world_id uuid, room_id bigint,
            FOREIGN KEY (world_id, room_id) REFERENCES rooms);
        INSERT INTO rooms (world_id) SELECT id FROM worlds;
        UPDATE rooms SET beside_world = world_id, beside = id;
        INSERT INTO doors (world_id, room_id) SELECT world_id, id FROM rooms;
        """,
        "- {name: rooms}\n- {name: doors}",
        """
        SELECT count(*) = 1 FROM rooms r JOIN doors d ON d.world_id = r.world_id AND d.room_id = r.id
        WHERE r.world_id = $1 AND (r.beside_world, r.beside) = (r.world_id, r.id)
        """,
    ),
    "a discriminator that is generated": (
        """
        CREATE TABLE items (id uuid DEFAULT gen_random_uuid(), kind text, world_id uuid NOT NULL REFERENCES worlds,
            PRIMARY KEY (id, kind));
        CREATE TABLE swords (item_id uuid NOT NULL, kind text GENERATED ALWAYS AS ('sword') STORED, sharp boolean,
            FOREIGN KEY (item_id, kind) REFERENCES items, PRIMARY KEY (item_id));
        INSERT INTO items (kind, world_id) SELECT k, id FROM worlds, (VALUES ('sword'), ('rope')) v (k);
        INSERT INTO swords (item_id, sharp) SELECT id, true FROM items WHERE kind = 'sword';
        """,
        "- {name: items}\n- {name: swords}",
        "SELECT count(*) = 1 FROM swords JOIN items ON items.id = item_id WHERE world_id = $1",
    ),
    "a reference that is null as a whole": (
        """
        CREATE TABLE places (x integer, world_id uuid NOT NULL REFERENCES worlds, open boolean,
            PRIMARY KEY (world_id, x));
        CREATE TABLE heroes (
            id uuid PRIMARY KEY, world_id uuid NOT NULL REFERENCES worlds, at_world uuid, at_x integer,
            FOREIGN KEY (at_world, at_x) REFERENCES places MATCH FULL);
        INSERT INTO places SELECT x, id, x = 1 FROM worlds, generate_series(1, 2) x;
        INSERT INTO heroes SELECT gen_random_uuid(), world_id, world_id, x FROM places;
        """,
        "- {name: places, where: open}\n- {name: heroes}",
        """
        SELECT count(*) = 2 AND count(*) FILTER (WHERE at_x IS NULL AND at_world IS NULL) = 1
           AND count(*) FILTER (WHERE at_world = $1) = 1 FROM heroes WHERE world_id = $1
        """,
    ),
    "two foreign keys on one column": (
        """
        CREATE TABLE beings (id bigserial PRIMARY KEY, world_id uuid NOT NULL REFERENCES worlds);
        CREATE TABLE heroes (id bigint PRIMARY KEY REFERENCES beings, fame integer);
        CREATE TABLE quests (id uuid PRIMARY KEY, hero_id bigint NOT NULL REFERENCES heroes REFERENCES beings);
        INSERT INTO beings (world_id) SELECT id FROM worlds, generate_series(1, 2);
        INSERT INTO heroes SELECT id, 1 FROM beings;
        INSERT INTO quests SELECT gen_random_uuid(), id FROM heroes;
        """,
        "- {name: beings}\n- {name: heroes}\n- {name: quests}",
        (
            "SELECT count(*) = 2 FROM beings b JOIN heroes h ON h.id = b.id JOIN quests q ON q.hero_id = h.id"
            " WHERE world_id = $1"
        ),
    ),
    "required references in a circle, between numbers": (
        """
        CREATE TABLE chickens (
            id serial PRIMARY KEY, world_id uuid NOT NULL REFERENCES worlds, egg_id integer NOT NULL);
        CREATE TABLE eggs (id serial PRIMARY KEY, chicken_id integer NOT NULL REFERENCES chickens);
        INSERT INTO chickens (world_id, egg_id) SELECT id, row_number() OVER () FROM worlds;
        INSERT INTO eggs (chicken_id) SELECT id FROM chickens;
        ALTER TABLE chickens ADD FOREIGN KEY (egg_id) REFERENCES eggs;
        """,
        "- {name: chickens}\n- {name: eggs}",
        "SELECT count(*) = 1 FROM chickens c JOIN eggs e ON e.id = egg_id AND chicken_id = c.id WHERE world_id = $1",
    ),
    "types and defaults of another schema": (
        """
        CREATE SCHEMA kinds;
        CREATE TYPE kinds.mood AS ENUM ('glad', 'sad');
        CREATE DOMAIN kinds.code AS text CHECK (VALUE <> '');
        CREATE FUNCTION kinds.fresh() RETURNS text LANGUAGE sql AS $$ SELECT 'c' || pg_catalog.gen_random_uuid() $$;
        CREATE TABLE heroes (code kinds.code PRIMARY KEY DEFAULT kinds.fresh(), mood kinds.mood,
            world_id uuid NOT NULL REFERENCES worlds, friend kinds.code REFERENCES heroes);
        INSERT INTO heroes (mood, world_id) SELECT 'sad', id FROM worlds;
        UPDATE heroes SET friend = code;
        """,
        "- {name: heroes}",
        "SELECT count(*) = 1 FROM heroes WHERE world_id = $1 AND friend = code AND mood = 'sad'",
    ),
    "a reference to a unique column": (
        """
        CREATE TABLE heroes (
            id bigserial PRIMARY KEY, tag uuid NOT NULL UNIQUE, world_id uuid NOT NULL REFERENCES worlds,
            number integer NOT NULL, UNIQUE (world_id, number));
        CREATE TABLE badges (tag uuid NOT NULL REFERENCES heroes (tag));
        CREATE TABLE ranks (world_id uuid NOT NULL, number integer NOT NULL,
            FOREIGN KEY (world_id, number) REFERENCES heroes (world_id, number));
        INSERT INTO heroes (tag, world_id, number) SELECT gen_random_uuid(), id, 7 FROM worlds;
        INSERT INTO badges SELECT tag FROM heroes;
        INSERT INTO ranks SELECT world_id, number FROM heroes;
        """,
        "- {name: heroes}\n- {name: badges}\n- {name: ranks}",
        (
            "SELECT count(*) = 1 FROM heroes h JOIN badges USING (tag) JOIN ranks USING (world_id, number)"
            " WHERE world_id = $1"
        ),
    ),
    "tables that inherit": (
        """
        CREATE TABLE heroes (id serial PRIMARY KEY, world_id uuid NOT NULL REFERENCES worlds, name text);
        CREATE TABLE kings (crown text, PRIMARY KEY (id)) INHERITS (heroes);
        CREATE TABLE emperors (realm text, PRIMARY KEY (id)) INHERITS (kings);
        CREATE TABLE pets (id serial PRIMARY KEY, hero_id integer NOT NULL REFERENCES heroes ON DELETE CASCADE);
        CREATE TABLE jewels (id serial PRIMARY KEY, king_id integer NOT NULL REFERENCES kings);
        INSERT INTO heroes (world_id, name) SELECT id, 'h' || n FROM worlds, generate_series(1, 3) n;
        INSERT INTO kings (world_id, name, crown) SELECT id, 'k' || n, 'c' || n FROM worlds, generate_series(1, 2) n;
        INSERT INTO emperors (world_id, name, crown, realm) SELECT id, 'e', 'c', 'r' FROM worlds;
        INSERT INTO pets (hero_id) SELECT id FROM ONLY heroes;
        INSERT INTO jewels (king_id) SELECT id FROM ONLY kings;
        """,
        """- {name: heroes}
- {name: kings, references: {world_id: worlds}}
- {name: emperors, references: {world_id: worlds}}
- {name: pets}
- {name: jewels}""",
        """
        SELECT (SELECT count(*) FROM ONLY heroes WHERE world_id = $1) = 3
           AND (SELECT count(DISTINCT crown) FROM ONLY kings WHERE world_id = $1) = 2
           AND (SELECT count(realm) FROM emperors WHERE world_id = $1) = 1
           AND (SELECT count(*) FROM heroes WHERE world_id = $1) = 6
           AND (SELECT count(*) FROM pets p JOIN ONLY heroes h ON h.id = hero_id WHERE world_id = $1) = 3
           AND (SELECT count(*) FROM jewels j JOIN ONLY kings k ON k.id = king_id WHERE world_id = $1) = 2
        """,
    ),
    "one of several owners, by foreign keys of which the others are NULL": (
        """
        CREATE TABLE heroes (id serial PRIMARY KEY, world_id uuid NOT NULL REFERENCES worlds);
        CREATE TABLE places (id uuid PRIMARY KEY, world_id uuid NOT NULL REFERENCES worlds);
        CREATE TABLE comments (
            id serial PRIMARY KEY, hero_id integer REFERENCES heroes, place_id uuid REFERENCES places, body text,
            reply_id integer REFERENCES comments, CHECK (num_nonnulls(hero_id, place_id) > 0));
        CREATE TABLE votes (comment_id integer NOT NULL REFERENCES comments);
        INSERT INTO heroes (world_id) SELECT id FROM worlds, generate_series(1, 2);
        INSERT INTO places SELECT gen_random_uuid(), id FROM worlds;
        INSERT INTO comments (hero_id, body) SELECT id, 'hero' FROM heroes;
        INSERT INTO comments (place_id, body) SELECT id, 'place' FROM places;
        INSERT INTO comments (hero_id, place_id, body, reply_id)
            SELECT h.id, p.id, 'both', c.id
            FROM heroes h JOIN places p USING (world_id) JOIN comments c ON place_id = p.id;
        INSERT INTO votes SELECT id FROM comments;
        """,
        "- {name: heroes}\n- {name: places}\n- {name: comments}\n- {name: votes}",
        """
        SELECT array_agg(body ORDER BY c.id) = '{hero,hero,place,both,both}' AND count(c.reply_id) = 2
        FROM votes JOIN comments c ON c.id = comment_id
        LEFT JOIN heroes h ON h.id = hero_id LEFT JOIN places p ON p.id = place_id
        WHERE coalesce(h.world_id, $1) = $1 AND coalesce(p.world_id, $1) = $1
          AND coalesce(h.world_id, p.world_id) = $1
        """,
    ),
    "tables that refer to each other by nothing that is required": (
        """
        CREATE TABLE heroes (id serial PRIMARY KEY, world_id uuid NOT NULL REFERENCES worlds);
        CREATE TABLE teams (id serial PRIMARY KEY, hero_id integer REFERENCES heroes, camp_id integer);
        CREATE TABLE camps (id serial PRIMARY KEY, hero_id integer REFERENCES heroes,
                            team_id integer REFERENCES teams ON DELETE SET NULL);
        ALTER TABLE teams ADD FOREIGN KEY (camp_id) REFERENCES camps;
        INSERT INTO heroes (world_id) SELECT id FROM worlds;
        INSERT INTO teams (hero_id) SELECT id FROM heroes;
        INSERT INTO camps (hero_id, team_id) SELECT hero_id, id FROM teams;
        INSERT INTO camps (team_id) SELECT id FROM teams;
        UPDATE teams SET camp_id = (SELECT id FROM camps WHERE team_id = teams.id AND hero_id IS NOT NULL);
        """,
        "- {name: heroes}\n- {name: teams}\n- {name: camps}",
        """
        SELECT count(*) = 2 FROM heroes h JOIN teams t ON t.hero_id = h.id JOIN camps o ON o.id = t.camp_id
        JOIN camps c ON c.team_id = t.id WHERE h.world_id = $1
        """,
    ),
    "a reference to one partition": (
        """
        CREATE TABLE beings (
            id bigserial, kind text, world_id uuid NOT NULL REFERENCES worlds, PRIMARY KEY (id, kind)
        ) PARTITION BY LIST (kind);
        CREATE TABLE heroes PARTITION OF beings FOR VALUES IN ('hero');
        CREATE TABLE others PARTITION OF beings DEFAULT;
        CREATE TABLE pets (id serial PRIMARY KEY, world_id uuid NOT NULL REFERENCES worlds, hero_id bigint,
                           kind text DEFAULT 'hero', FOREIGN KEY (hero_id, kind) REFERENCES heroes (id, kind));
        INSERT INTO beings (kind, world_id) SELECT k, id FROM worlds, (VALUES ('hero'), ('ogre')) v (k);
        INSERT INTO pets (world_id, hero_id) SELECT world_id, id FROM heroes;
        """,
        "- {name: beings}\n- {name: pets}",
        "SELECT count(*) = 1 FROM pets p JOIN heroes h ON h.id = hero_id WHERE p.world_id = $1 AND h.world_id = $1",
    ),
    "references that a check or a domain requires, to a row left out": (
        """
        CREATE DOMAIN required AS integer NOT NULL;
        CREATE TABLE heroes (id serial PRIMARY KEY, world_id uuid NOT NULL REFERENCES worlds, open boolean);
        CREATE TABLE pets (id serial PRIMARY KEY, world_id uuid NOT NULL REFERENCES worlds,
            hero_id integer REFERENCES heroes, CONSTRAINT given CHECK (hero_id IS NOT NULL) NOT VALID);
        CREATE TABLE toys (id serial PRIMARY KEY, world_id uuid NOT NULL REFERENCES worlds,
            hero_id required REFERENCES heroes);
        INSERT INTO heroes (world_id, open) SELECT id, n = 1 FROM worlds, generate_series(1, 2) n;
        INSERT INTO pets (world_id, hero_id) SELECT world_id, id FROM heroes;
        INSERT INTO toys (world_id, hero_id) SELECT world_id, id FROM heroes;
        """,
        "- {name: heroes, where: open}\n- {name: pets}\n- {name: toys}",
        """
        SELECT count(*) = 1 FROM heroes h JOIN pets p ON p.hero_id = h.id JOIN toys t ON t.hero_id = h.id
        WHERE h.world_id = $1 AND p.world_id = $1 AND t.world_id = $1
        """,
    ),
    "a unique index that reads the row as a whole": (
        """
        CREATE TABLE "Heroes" (id serial PRIMARY KEY, world_id uuid NOT NULL REFERENCES worlds, name text);
        CREATE FUNCTION named(h "Heroes") RETURNS text IMMUTABLE LANGUAGE sql AS $$ SELECT h.world_id || h.name $$;
        CREATE UNIQUE INDEX ON "Heroes" (named("Heroes"));
        INSERT INTO "Heroes" (world_id, name) SELECT id, 'h' FROM worlds;
        """,
        "- {name: '\"Heroes\"'}",
        "SELECT count(*) = 1 FROM \"Heroes\" WHERE world_id = $1 AND name = 'h'",
    ),
    "a trigger that numbers rows": (
        """
        CREATE TABLE heroes (id uuid PRIMARY KEY, world_id uuid NOT NULL REFERENCES worlds, seen integer);
        CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.seen := 1; RETURN NEW; END $$;
        CREATE TRIGGER see BEFORE INSERT ON heroes FOR EACH ROW EXECUTE FUNCTION see();
        INSERT INTO heroes (id, world_id) SELECT gen_random_uuid(), id FROM worlds;
        """,
        "- {name: heroes}",
        "SELECT count(*) = 1 FROM heroes WHERE world_id = $1 AND seen = 1",
    ),
}


async def everything(connection: Connection) -> dict[str, list[str]]:
    """All rows of all tables."""
    query = "SELECT quote_ident(tablename) AS name FROM pg_tables WHERE schemaname = 'public'"
    names = [row["name"] for row in await connection.fetch(query)]
    return {
        name: sorted(row["row"] for row in await connection.fetch(f"SELECT t::text AS row FROM {name} t"))
        for name in names
    }


@pytest.mark.parametrize("form", FORMS)
async def test_a_form_is_cloned_and_deleted(connection: Connection, form: str) -> None:
    schema, tables, query = FORMS[form]
    await connection.execute(ROOT + TWO + schema)
    before = await everything(connection)
    await installed(connection, HEAD + tables)
    keys = await ledgers.filled(connection, "", 2)
    for key in keys:
        assert await connection.fetchval(query, key)
    assert not set(before["worlds"]) - set((await everything(connection))["worlds"])
    await retiring.retire(connection, ledgers.POOL, 2)
    assert await retiring.remove(connection, ledgers.POOL, 2) == 2
    assert await everything(connection) == before

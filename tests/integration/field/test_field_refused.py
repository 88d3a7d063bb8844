"""What a clone cannot be made of is refused before the first clone, with one sentence that says what to do."""

import pytest

from campaignpool.errors import BlueprintError
from campaignpool.ledger.database import Connection
from tests.support import field, ledgers

pytestmark = pytest.mark.integration

HEROES = (
    "CREATE TABLE heroes (id serial PRIMARY KEY, campaign_id uuid NOT NULL REFERENCES campaigns,"
    " name text, file oid);"
    "INSERT INTO heroes (campaign_id, name, file) SELECT id, 'h' || n, 0 FROM campaigns, generate_series(1, 3) n;"
)
UNLINK = (
    "CREATE FUNCTION unlink() RETURNS trigger LANGUAGE plpgsql AS "
    "$$ BEGIN PERFORM lo_unlink(OLD.file); RETURN OLD; END $$;"
    "CREATE TRIGGER unlink BEFORE DELETE ON heroes FOR EACH ROW EXECUTE FUNCTION unlink();"
)
PARTS = (
    "CREATE TABLE heroes (id serial, campaign_id uuid NOT NULL REFERENCES campaigns, PRIMARY KEY (id))"
    " PARTITION BY HASH (id);"
    "CREATE UNLOGGED TABLE part PARTITION OF heroes FOR VALUES WITH (MODULUS 1, REMAINDER 0);"
)
CASES = {
    "unlogged": (f"{HEROES} ALTER TABLE heroes SET UNLOGGED", r"heroes is UNLOGGED, .* ALTER TABLE .* SET LOGGED"),
    "a partition that is unlogged": (
        PARTS,
        r"heroes is UNLOGGED: public.part, .* ALTER TABLE public.part SET LOGGED",
    ),
    "inheritance": (
        f"{HEROES} CREATE TABLE kings () INHERITS (heroes)",
        r"child tables by inheritance \(public.kings\), .* add them, with their `references`",
    ),
    "inheritance by many": (
        f"""
        {HEROES} DO $$ BEGIN FOR n IN 1 .. 9 LOOP
            EXECUTE format('CREATE TABLE kings_%s () INHERITS (heroes)', n); END LOOP; END $$
        """,
        r"by inheritance \(.*kings_.* and 4 others\), .* add them",
    ),
    "a hypertable of TimescaleDB": (
        f"""
        {HEROES} CREATE SCHEMA _timescaledb_internal;
        CREATE TABLE _timescaledb_internal.chunk () INHERITS (heroes)
        """,
        "heroes is a hypertable of TimescaleDB, whose rows are in 1 chunks, .* leave public.heroes out",
    ),
    "a view": (
        "CREATE VIEW heroes AS SELECT * FROM campaigns",
        "heroes is a view, .* name the table that holds them",
    ),
    "a materialized view": (
        "CREATE MATERIALIZED VIEW heroes AS SELECT * FROM campaigns",
        "heroes is a materialized view",
    ),
    "a foreign table": (
        """
        CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w;
        CREATE FOREIGN TABLE heroes (id integer) SERVER s
        """,
        "heroes is a foreign table",
    ),
    "a rule of INSERT": (
        f"{HEROES} CREATE RULE gone AS ON INSERT TO heroes WHERE NEW.name = 'h2' DO INSTEAD NOTHING",
        r"rules of public.heroes rewrite INSERT \(gone\)",
    ),
    "a partition": (
        f"""
        {PARTS} ALTER TABLE part SET LOGGED;
        ALTER TABLE heroes RENAME TO all_heroes; ALTER TABLE part RENAME TO heroes
        """,
        r"heroes is a partition of public.all_heroes, .* name public.all_heroes, with a `where`",
    ),
    "a foreign key of one partition": (
        f"""
        {PARTS} ALTER TABLE part SET LOGGED;
        ALTER TABLE heroes ADD leader integer; ALTER TABLE part ADD FOREIGN KEY (leader) REFERENCES heroes
        """,
        r"key part_leader_fkey of a partition of public.heroes .* under `references` \(leader: public.heroes\)",
    ),
    "a table that the search path does not have": (
        "CREATE SCHEMA game; CREATE TABLE game.heroes (id integer)",
        "heroes is not in the search path of the role in the URL, .* name it as game.heroes, or grant USAGE",
    ),
    "an exclusion that two campaigns would violate": (
        """
        CREATE TABLE heroes (id serial PRIMARY KEY, campaign_id uuid NOT NULL REFERENCES campaigns, slot int4range,
                             EXCLUDE USING gist (slot WITH &&) WHERE (id > 1));
        INSERT INTO heroes (campaign_id, slot) SELECT id, '[1,2)' FROM campaigns;
        """,
        r"exclusion constraint .*heroes_slot_excl.* one have: set one of slot, or leave the table out",
    ),
    "large objects that a trigger deletes": (
        HEROES + UNLINK,
        "column file of public.heroes holds large objects, and trigger unlink",
    ),
}


MEMBER = "insert: [{table: members, values: {user_id: $claimant, role: \"'%s'\"}}]"
CLAIMS = {
    "set: {up: \"'x'\"}": "column up of public.campaigns is GENERATED ALWAYS: remove it from `set`",
    "set: {id: gen_random_uuid()}": "column id of public.campaigns is the campaign's key",
    "insert: [{table: members, values: {id: '7', user_id: '1'}}]": "column id of public.members is GENERATED ALWAYS",
    "set: {short: \"'too long'\"}": r"every claim would be refused: value too long .*\(5\): correct `onClaim`",
    "set: {level: '-1'}": "every claim would be refused: .* violates check constraint",
    "set: {title: \"nullif(title, 'Master')\"}": 'every claim would be refused: null value in column "title"',
    MEMBER % "boss": "every claim would be refused: .*members_role_check",
    "set: {locked: 'true'}": "the row of public.campaigns cannot be changed; triggers of it fire: locks",
    f"set: {{title: \"'t' || $claimant\"}}, {MEMBER % 'gm'}": None,
}
CLAIMED = f"""
{field.CAMPAIGNS}
ALTER TABLE campaigns ADD up text GENERATED ALWAYS AS (upper(name)) STORED, ADD short varchar(5), ADD locked boolean,
    ADD level integer CHECK (level >= 0), ADD title text NOT NULL DEFAULT 'Master';
CREATE TABLE users (id integer PRIMARY KEY);
INSERT INTO users VALUES (42);
CREATE TABLE members (id integer GENERATED ALWAYS AS IDENTITY, user_id integer REFERENCES users,
                      role text CHECK (role IN ('gm', 'player')));
CREATE FUNCTION locks() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN IF NEW.locked THEN RETURN NULL; END IF; RETURN NEW; END $$;
CREATE TRIGGER locks BEFORE UPDATE ON campaigns FOR EACH ROW EXECUTE FUNCTION locks();
"""


@pytest.mark.parametrize("rules", CLAIMS)
async def test_what_no_claim_can_write_is_refused_before_the_first_clone(connection: Connection, rules: str) -> None:
    await connection.execute(CLAIMED)
    text, message = f"{field.ROOT}onClaim: {{{rules}}}", CLAIMS[rules]
    if message is None:
        await field.made(connection, text)
        assert (await ledgers.claim(connection, "42"))["source"] == "master"
        return
    with pytest.raises(BlueprintError, match=message):
        await field.put(connection, text)


PERIODS = f"""
{field.CAMPAIGNS}
CREATE TABLE rooms (id int4range, open daterange, campaign_id uuid REFERENCES campaigns NOT NULL,
                    PRIMARY KEY (id, open WITHOUT OVERLAPS));
CREATE TABLE stays (id serial PRIMARY KEY, campaign_id uuid NOT NULL REFERENCES campaigns, room int4range,
                    at daterange, FOREIGN KEY (room, PERIOD at) REFERENCES rooms (id, PERIOD open));
INSERT INTO rooms SELECT '[1,2)', daterange(day::date, (day + interval '6 mons')::date), id
FROM campaigns, generate_series('2026-01-01'::timestamp, '2026-07-01', '6 mons') day;
INSERT INTO stays (campaign_id, room, at) SELECT id, '[1,2)', '[2026-05-01,2026-07-01)' FROM campaigns;
"""


async def test_a_reference_by_a_period_is_set_or_refused(connection: Connection) -> None:
    if connection.get_server_version().major < 18:
        pytest.skip("periods come with Postgres 18")
    await connection.execute(PERIODS)
    number = "int4range(hashtext($campaign::text), NULL)"
    text = f"tables: [{{name: rooms, set: {{id: '{number}'}}}}, {{name: stays%s}}]"
    with pytest.raises(BlueprintError, match="by a period, so room names no single row: set room, or declare"):
        await field.put(connection, field.ROOT + text % "")
    (key,) = await field.made(connection, field.ROOT + text % f", set: {{room: '{number}'}}", count=1)
    query = "SELECT count(*) FROM stays s JOIN rooms r ON r.id = room WHERE s.campaign_id = $1 AND r.campaign_id = $1"
    assert await connection.fetchval(query, key) == 2
    await field.removed(connection, [key])


COMMENTS = """
CREATE TABLE comments (id serial PRIMARY KEY, on_type text, on_id text, body text);
INSERT INTO comments (on_type, on_id, body) SELECT 'Campaign', id::text, 'first' FROM campaigns;
INSERT INTO comments (on_type, on_id, body) VALUES ('Comment', '1', 'reply');
"""
PAIR = "tables: [{name: comments, polymorphic: [{type: on_type, id: on_id, targets: {%s}}]}]"


@pytest.mark.parametrize("targets", ["Campaign: campaigns, Comment: comments", "Comment: comments"])
async def test_replies_to_rows_of_their_own_table_are_named(connection: Connection, targets: str) -> None:
    await connection.execute(field.CAMPAIGNS + COMMENTS)
    message = r"comments: on_id makes its rows part of a campaign, and may point at the table itself \(type Comment\)"
    with pytest.raises(BlueprintError, match=message):
        await field.put(connection, field.ROOT + PAIR % targets)
    (key,) = await field.made(connection, field.ROOT + PAIR % "Campaign: campaigns", count=1)
    assert await connection.fetchval("SELECT count(*) FROM comments WHERE on_id = $1", key) == 1


UNIQUE = {
    "no two NULLs": ("UNIQUE NULLS NOT DISTINCT (code)", "code: code || '-' || $campaign"),
    "one of all": ("", "main: a value that leaves the row out of heroes_expr_idx"),
}


@pytest.mark.parametrize("case", UNIQUE)
async def test_the_way_out_of_a_unique_index_is_one(connection: Connection, case: str) -> None:
    constraint, remedy = UNIQUE[case]
    await connection.execute(f"""
        {field.CAMPAIGNS}
        CREATE TABLE heroes (id serial PRIMARY KEY, campaign_id uuid NOT NULL REFERENCES campaigns, code text,
            main boolean NOT NULL {", " + constraint if constraint else ""});
        INSERT INTO heroes (campaign_id, main) SELECT id, true FROM campaigns;
        {"" if constraint else "CREATE UNIQUE INDEX ON heroes ((true)) WHERE main"}
    """)
    with pytest.raises(BlueprintError) as refused:
        await field.put(connection, field.ROOT + "tables: [{name: heroes}]")
    assert f"such as `{remedy}`" in refused.value.message


@pytest.mark.parametrize("case", CASES)
async def test_a_table_that_cannot_be_cloned_is_named(connection: Connection, case: str) -> None:
    schema, message = CASES[case]
    await connection.execute(field.CAMPAIGNS + schema)
    with pytest.raises(BlueprintError, match=message):
        await field.put(connection, field.ROOT + "tables: [{name: heroes}]")


async def test_large_objects_that_are_set_are_no_fault(connection: Connection) -> None:
    await connection.execute(field.CAMPAIGNS + HEROES + UNLINK)
    assert await field.put(connection, field.ROOT + 'tables: [{name: heroes, set: {file: "NULL"}}]')


ROLE = """
CREATE ROLE hidden_reader;
CREATE SCHEMA campaign_pool AUTHORIZATION hidden_reader;
GRANT SELECT, INSERT, DELETE, UPDATE ON campaigns, heroes TO hidden_reader;
GRANT USAGE ON SEQUENCE heroes_id_seq TO hidden_reader;
"""
SECURED = {
    "a policy that hides rows": (
        "CREATE POLICY own ON heroes USING (campaign_id::text = current_setting('app.campaign', true))",
        "SELECT, INSERT and DELETE every row",
    ),
    "no policy": ("", "SELECT, INSERT and DELETE every row"),
    "a policy that shows rows and takes none": (
        "CREATE POLICY see ON heroes FOR SELECT USING (true); CREATE POLICY go ON heroes FOR DELETE USING (true)",
        "lets it INSERT every row",
    ),
    "a restrictive policy beside a wide one": (
        """
        CREATE POLICY wide ON heroes USING (true);
        CREATE POLICY less ON heroes AS RESTRICTIVE FOR SELECT USING (name <> 'h3')
        """,
        "lets it SELECT every row",
    ),
    "a wide policy for another role": ("CREATE POLICY wide ON heroes TO pg_monitor USING (true)", "SELECT, INSERT"),
    "a wide policy": ("CREATE POLICY wide ON heroes TO hidden_reader USING (true)", None),
    "an owner whom it is forced on": (
        "ALTER TABLE heroes OWNER TO hidden_reader; ALTER TABLE heroes FORCE ROW LEVEL SECURITY",
        "SELECT, INSERT and DELETE every row",
    ),
    "an owner": ("ALTER TABLE heroes OWNER TO hidden_reader", None),
}


@pytest.mark.parametrize("case", SECURED)
async def test_row_level_security_never_hides_rows(connection: Connection, case: str) -> None:
    statements, message = SECURED[case]
    await connection.execute(
        f"{field.CAMPAIGNS} {HEROES} {ROLE} ALTER TABLE heroes ENABLE ROW LEVEL SECURITY; {statements}"
    )
    try:
        await connection.execute("SET ROLE hidden_reader")
        text = field.ROOT + 'tables: [{name: heroes, set: {file: "NULL"}}]'
        if message is None:
            (key,) = await field.made(connection, text, count=1)
            assert await connection.fetchval("SELECT count(*) FROM heroes WHERE campaign_id = $1", key) == 3
        else:
            with pytest.raises(BlueprintError, match=f"row level security of public.heroes .*{message}.*BYPASSRLS"):
                await field.put(connection, text)
    finally:
        await connection.execute("RESET ROLE; DROP OWNED BY hidden_reader CASCADE; DROP ROLE hidden_reader")

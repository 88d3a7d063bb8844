"""A clone is compared with the plan before the first campaign: what triggers and constraints do to it is named."""

import pytest

from campaignpool.blueprint import check
from campaignpool.errors import BlueprintError
from campaignpool.ledger.database import Connection
from tests.support import field, ledgers

pytestmark = pytest.mark.integration


async def refused(connection: Connection, text: str, message: str) -> None:
    """Expect that installing is refused, with nothing left behind."""
    before = await connection.fetchval("SELECT count(*) FROM campaigns")
    with pytest.raises(BlueprintError, match=message):
        await field.put(connection, text)
    assert await connection.fetchval("SELECT count(*) FROM campaigns") == before


COUNTERS = """
CREATE TABLE campaigns (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name text, total integer NOT NULL DEFAULT 0,
                        is_master_template boolean NOT NULL DEFAULT false);
CREATE TABLE decks ({key}, campaign_id uuid NOT NULL REFERENCES campaigns, cards integer NOT NULL DEFAULT 0);
CREATE TABLE cards (id serial PRIMARY KEY, deck_id {type} NOT NULL REFERENCES decks);
CREATE FUNCTION count_cards() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE decks SET cards = cards + 1 WHERE id = NEW.deck_id;
    UPDATE campaigns SET total = total + 1 WHERE id = (SELECT campaign_id FROM decks WHERE id = NEW.deck_id);
    RETURN NULL;
END $$;
CREATE TRIGGER count_cards AFTER INSERT ON cards FOR EACH ROW EXECUTE FUNCTION count_cards();
INSERT INTO campaigns (name, is_master_template) VALUES ('Master', true);
INSERT INTO decks (campaign_id) SELECT id FROM campaigns, generate_series(1, 2);
INSERT INTO cards (deck_id) SELECT id FROM decks, generate_series(1, 3);
"""


@pytest.mark.parametrize(
    ("key", "kind"), [("id uuid PRIMARY KEY DEFAULT gen_random_uuid()", "uuid"), ("id serial PRIMARY KEY", "integer")]
)
async def test_counters_that_triggers_keep_are_restored(connection: Connection, key: str, kind: str) -> None:
    await connection.execute(COUNTERS.format(key=key, type=kind))
    text = field.ROOT + "tables: [{name: decks}, {name: cards}]"
    message = "column cards of public.decks is not what the template has in 2 of 2 rows of a clone, made by trigger"
    await refused(connection, text, f"{message} count_cards of public.cards: name it under `restore`")
    await refused(connection, text, "column total of public.campaigns")
    root = 'root: {table: campaigns, set: {is_master_template: "false"}, restore: [total]}\n'
    keys = await field.made(connection, root + "tables: [{name: decks, restore: [cards]}, {name: cards}]")
    query = "SELECT array_agg(cards), min(total) FROM decks JOIN campaigns c ON c.id = campaign_id WHERE c.id = $1"
    for one in keys:
        assert list(await connection.fetchrow(query, one) or ()) == [[3, 3], 6]
    await field.removed(connection, keys)


DEFAULTS = f"""
{field.CAMPAIGNS}
CREATE TABLE settings (id {{}}, campaign_id uuid NOT NULL REFERENCES campaigns, key text, value text);
CREATE FUNCTION default_settings() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN INSERT INTO settings (campaign_id, key, value) VALUES (NEW.id, 'theme', 'light'); RETURN NULL; END $$;
CREATE TRIGGER default_settings AFTER INSERT ON campaigns FOR EACH ROW EXECUTE FUNCTION default_settings();
INSERT INTO settings (campaign_id, key, value) SELECT id, 'theme', 'dark' FROM campaigns;
"""


@pytest.mark.parametrize("key", ["serial PRIMARY KEY", "uuid PRIMARY KEY DEFAULT gen_random_uuid()"])
async def test_rows_that_a_trigger_adds_are_replaced_or_kept(connection: Connection, key: str) -> None:
    await connection.execute(DEFAULTS.format(key))
    text = field.ROOT + "tables: [{name: settings%s}]"
    await refused(
        connection,
        text % "",
        "a clone has 2 rows of public.settings instead of 1, made by trigger default_settings of public.campaigns",
    )
    query = "SELECT array_agg(value) FROM settings WHERE campaign_id = $1"
    keys = await field.made(connection, text % ", triggerRows: Replace", count=1)
    assert await connection.fetchval(query, keys[0]) == ["dark"]
    await field.removed(connection, keys)
    await field.put(connection, text % ", triggerRows: Keep")
    (kept,) = await ledgers.filled(connection, "", 1, job="kept")
    assert await connection.fetchval(query, kept) == ["light"]
    await field.removed(connection, [kept])
    assert await connection.fetchval("SELECT count(*) FROM settings") == 1


CLOSURE = f"""
{field.CAMPAIGNS}
CREATE TABLE nodes (id serial PRIMARY KEY, campaign_id uuid NOT NULL REFERENCES campaigns);
CREATE TABLE paths (above integer REFERENCES nodes, below integer REFERENCES nodes, PRIMARY KEY (above, below));
INSERT INTO nodes (campaign_id) SELECT id FROM campaigns, generate_series(1, 2);
INSERT INTO paths SELECT a.id, b.id FROM nodes a, nodes b;
CREATE FUNCTION own_path() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN INSERT INTO paths VALUES (NEW.id, NEW.id); RETURN NULL; END $$;
CREATE TRIGGER own_path AFTER INSERT ON nodes FOR EACH ROW EXECUTE FUNCTION own_path();
"""
QUOTA = """
CREATE FUNCTION quota() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN IF (SELECT count(*) FROM campaigns) > 2 THEN RAISE 'three are too many'; END IF; RETURN NEW; END $$;
CREATE TRIGGER quota BEFORE INSERT ON campaigns FOR EACH ROW EXECUTE FUNCTION quota();
"""


async def test_a_check_clones_as_a_run_does(connection: Connection) -> None:
    await connection.execute(CLOSURE)
    closure = field.spec(field.ROOT + "tables: [{name: nodes}, {name: paths, triggerRows: Replace}]")
    assert closure.blueprint.inline
    result = await check.check(connection, closure, closure.blueprint.inline, campaigns=2, explain=True)
    assert result.rehearsal
    assert [timing.positions for timing in result.rehearsal.timings] == [(0,), (1,), (2,)]
    await connection.execute(QUOTA)
    # One campaign at a time, however often it is cloned.
    assert await check.check(connection, closure, closure.blueprint.inline, campaigns=1, explain=True)
    with pytest.raises(BlueprintError, match=r"three are too many: raised by function quota\(\).*trigger quota"):
        await check.check(connection, closure, closure.blueprint.inline, campaigns=3, explain=False)


def before(table: str, body: str) -> str:
    """A trigger `change` that runs before each insert."""
    return (
        f"CREATE FUNCTION change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} END $$;"
        f"CREATE TRIGGER change BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION change();"
    )


DEFERRED = """
CREATE FUNCTION change() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE 'no member' USING ERRCODE = '23514'; END $$;
CREATE CONSTRAINT TRIGGER change AFTER INSERT ON campaigns DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION change()
"""
MAKERS = """
CREATE TABLE makers (id bigint PRIMARY KEY);
ALTER TABLE notes ADD COLUMN maker_id bigint;
UPDATE notes SET maker_id = 9 WHERE id = 2;
ALTER TABLE notes ADD CONSTRAINT made FOREIGN KEY (maker_id) REFERENCES makers NOT VALID DEFERRABLE INITIALLY DEFERRED
"""
CHANGES = {
    "the root's key": (
        before("campaigns", "NEW.id := gen_random_uuid(); RETURN NEW;"),
        "the key of public.campaigns is not the one that the clone gave .* trigger change of public.campaigns",
    ),
    "a child's key": (
        before("notes", "NEW.id := gen_random_uuid(); RETURN NEW;"),
        "column id of public.notes is not what the clone gave it in 2 of 2 rows, made by trigger change",
    ),
    "a copied column": (
        before("notes", "NEW.body := lower(NEW.body); RETURN NEW;"),
        "column body of public.notes is not what the template has in 2 of 2 rows .* trigger change of public.notes",
    ),
    "rows that are kept from being inserted": (
        before("notes", "RETURN NULL;"),
        "a clone has 0 rows of public.notes instead of 2, made by trigger change of public.notes",
    ),
    "a trigger that refuses": (
        before("notes", "RAISE 'not like this';"),
        (
            "for the template's row 1 of public.notes: not like this: raised by function change.. at line 1 .fired: "
            "trigger change of public.notes"
        ),
    ),
    "a deferred constraint trigger": (DEFERRED, "refused for the template's row .* of public.campaigns: no member"),
    "a constraint that is not valid": (
        "ALTER TABLE notes ADD CONSTRAINT short CHECK (length(body) < 5) NOT VALID",
        r"refused for the template's row 2: .*check constraint .short.: table notes, constraint short",
    ),
    "a foreign key that is not valid": (
        MAKERS,
        r"refused for the template's row 2: .*table notes, constraint made",
    ),
}
NOTES = """
CREATE TABLE notes (id {key}, campaign_id uuid, body text);
INSERT INTO notes (campaign_id, body) SELECT id, b FROM campaigns, unnest(ARRAY['One', 'Longer']) b;
"""


@pytest.mark.parametrize("change", CHANGES)
async def test_what_changes_a_clone_is_named(connection: Connection, change: str) -> None:
    statements, message = CHANGES[change]
    key = "uuid PRIMARY KEY DEFAULT gen_random_uuid()" if change == "a child's key" else "serial PRIMARY KEY"
    await connection.execute(f"{field.CAMPAIGNS} {NOTES.format(key=key)} {statements}")
    text = "tables: [{name: notes, references: {campaign_id: campaigns}, via: [campaign_id]}]"
    await refused(connection, field.ROOT + text, message)


async def test_a_time_that_a_trigger_writes_is_no_fault(connection: Connection) -> None:
    await connection.execute(f"""
        {field.CAMPAIGNS} {NOTES.format(key="serial PRIMARY KEY")}
        ALTER TABLE notes ADD COLUMN updated_at timestamptz DEFAULT '2020-01-01';
        CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN NEW.updated_at := now(); RETURN NEW; END $$;
        CREATE TRIGGER touch BEFORE INSERT ON notes FOR EACH ROW EXECUTE FUNCTION touch();
    """)
    text = "tables: [{name: notes, references: {campaign_id: campaigns}, via: [campaign_id]}]"
    assert await field.put(connection, field.ROOT + text)


async def test_a_condition_that_clones_match_is_refused_and_clones_are_no_templates(connection: Connection) -> None:
    await connection.execute(field.CAMPAIGNS)
    await refused(connection, "root: {table: campaigns}", "spec.template.where holds for a clone too")
    await field.made(connection, field.ROOT)
    # What an older blueprint may have left: campaigns of the pool that match.
    await connection.execute("UPDATE campaigns SET is_master_template = true")
    await ledgers.claim(connection, "me")
    assert not await field.put(connection, field.ROOT)

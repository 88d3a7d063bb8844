"""Keys that the application makes as text, and keys inside of arrays, documents and expressions."""

import json
from collections.abc import Callable

import pytest

from campaignpool.errors import BlueprintError
from campaignpool.ledger.database import Connection
from tests.support import field, ledgers

pytestmark = pytest.mark.integration


PRISMA = """
CREATE TABLE "Campaign" (id {kind} PRIMARY KEY, name text NOT NULL, "isTemplate" boolean NOT NULL DEFAULT false);
CREATE TABLE "Weapon" (id {kind} PRIMARY KEY, "campaignId" {kind} NOT NULL REFERENCES "Campaign", name text);
CREATE TABLE "Skill" (id {kind} PRIMARY KEY, "weaponId" {kind} NOT NULL REFERENCES "Weapon");
CREATE TABLE "Note" (id uuid PRIMARY KEY, "onType" text NOT NULL, "onId" text NOT NULL);
INSERT INTO "Campaign" VALUES ('cl0a1b2c3d4e5f6g7h8i9j0k', 'Master', true);
INSERT INTO "Weapon" SELECT 'clw' || substr(md5(n::text), 1, 20), 'cl0a1b2c3d4e5f6g7h8i9j0k', 'w' || n
FROM generate_series(1, 30) n;
INSERT INTO "Skill" SELECT 'cls' || substr(md5(id), 1, 20), id FROM "Weapon";
INSERT INTO "Note" SELECT gen_random_uuid(), 'Weapon', id FROM "Weapon";
CREATE TABLE "Thing" (id uuid PRIMARY KEY, "campaignId" {kind} NOT NULL REFERENCES "Campaign");
INSERT INTO "Thing" SELECT gen_random_uuid(), id FROM "Campaign", generate_series(1, 3);
INSERT INTO "Note" SELECT gen_random_uuid(), 'Thing', id::text FROM "Thing";
"""
NOTE = "{type: onType, id: onId, targets: {Weapon: '\"Weapon\"', Thing: '\"Thing\"'}}"


@pytest.mark.parametrize("kind", ["text", "varchar(36)", "char(26)", "varchar(25)", "varchar(40)"])
@pytest.mark.parametrize("own", ["", ", id: \"'camp_' || left(replace($id, '-', ''), 16)\""])
async def test_text_keys_without_a_default_are_made(connection: Connection, kind: str, own: str) -> None:
    await connection.execute(PRISMA.format(kind=kind))
    text = f"""
        root: {{table: '"Campaign"', set: {{isTemplate: "false"{own}}}}}
        tables:
        - {{name: '"Weapon"'}}
        - {{name: '"Skill"'}}
        - {{name: '"Thing"'}}
        - {{name: '"Note"', polymorphic: [{NOTE}]}}
    """
    keys = await field.made(connection, text, '"isTemplate"')
    query = """
        SELECT array_agg(w.name ORDER BY w.id) FROM "Campaign" c JOIN "Weapon" w ON w."campaignId" = c.id
        JOIN "Skill" s ON s."weaponId" = w.id JOIN "Note" n ON n."onType" = 'Weapon' AND n."onId" = w.id
        WHERE c.id = $1
    """
    template = await connection.fetchval(query, "cl0a1b2c3d4e5f6g7h8i9j0k")
    assert len(template) == 30
    for key in keys:
        assert await connection.fetchval(query, key) == template
        assert key.startswith("camp_" if own else ("c" if kind in ("text", "varchar(40)") else "0"))
    both = """SELECT count(*) FROM "Note" n JOIN "Thing" o ON n."onType" = 'Thing' AND n."onId" = o.id::text"""
    assert await connection.fetchval(both) == 9
    await field.removed(connection, keys)
    assert await connection.fetchval('SELECT count(*) FROM "Note"') == 33


@pytest.mark.parametrize(
    ("expression", "message"),
    [("id || '-' || $id", "remove id from its expression"), ("'x' || $campaign", "remove .campaign from")],
)
async def test_a_roots_key_is_set_from_variables_alone(connection: Connection, expression: str, message: str) -> None:
    await connection.execute(PRISMA.format(kind="text"))
    text = f"""root: {{table: '"Campaign"', set: {{isTemplate: "false", id: "{expression}"}}}}"""
    with pytest.raises(BlueprintError, match=message):
        await field.put(connection, text, '"isTemplate"')


@pytest.mark.parametrize(
    ("kind", "spellings"),
    [
        ("uuid PRIMARY KEY DEFAULT gen_random_uuid()", [str.upper, "{{{}}}".format]),
        ("serial PRIMARY KEY", [" {}".format, "+{}".format, "00{}".format]),
        ("char(40) PRIMARY KEY DEFAULT gen_random_uuid()", ["{}  ".format]),
    ],
)
async def test_a_campaign_is_known_by_any_spelling_of_its_key(
    connection: Connection, kind: str, spellings: list[Callable[[str], str]]
) -> None:
    await connection.execute(field.CAMPAIGNS.replace("uuid PRIMARY KEY DEFAULT gen_random_uuid()", kind))
    await field.made(connection, field.ROOT)
    claim = await ledgers.claim(connection, "me")
    for spelling in (str, *spellings):
        key = spelling(claim["campaign_id"])
        assert await connection.fetchval("SELECT campaign_pool.extend($1, interval '2 hours')", key)
    await connection.execute("SELECT campaign_pool.release($1)", key)
    assert await connection.fetchval("SELECT released_at IS NOT NULL FROM campaign_pool.claimed")


SCENES = f"""
{field.CAMPAIGNS}
ALTER TABLE campaigns ADD start uuid, ADD first uuid, ADD options jsonb;
CREATE TABLE scenes (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), campaign_id uuid NOT NULL REFERENCES campaigns,
                     title text, layout jsonb, raw json, members uuid[], names text[], body text);
CREATE TABLE steps (id serial PRIMARY KEY, campaign_id uuid NOT NULL REFERENCES campaigns,
                    after integer[], layout jsonb);
INSERT INTO scenes (campaign_id, title) SELECT id, 's' || n FROM campaigns, generate_series(1, 3) n;
INSERT INTO steps (campaign_id) SELECT id FROM campaigns, generate_series(1, 30) n;
UPDATE campaigns SET start = (SELECT id FROM scenes WHERE title = 's1');
UPDATE campaigns SET first = start, options = jsonb_build_object('open', jsonb_build_array(start));
UPDATE scenes SET layout = jsonb_build_object(
        'next', (SELECT id FROM scenes n WHERE n.title = 's2'), 'out', gen_random_uuid(), 'none', NULL,
        'exits', (SELECT jsonb_agg(jsonb_build_object('to', id, 'label', title) ORDER BY title) FROM scenes)),
    raw = json_build_array((SELECT id FROM scenes n WHERE n.title = 's3'), 'x'),
    members = ARRAY(SELECT id FROM scenes ORDER BY title) || gen_random_uuid(),
    names = ARRAY(SELECT id::text FROM scenes ORDER BY title) || ARRAY['none', NULL],
    body = '[link](/scenes/' || (SELECT id FROM scenes n WHERE n.title = 's3') || ')';
UPDATE steps SET after = ARRAY[1 + id % 30, 1 + (id + 7) % 30, 4711],
    layout = jsonb_build_object('next', 1 + id % 30);
"""
DECLARED = """
    root:
      table: campaigns
      set: {is_master_template: "false", start: "$clone_of(scenes, start)"}
      references: {first: scenes, "options.open[*]": scenes}
    tables:
    - name: scenes
      references: {layout.next: scenes, "layout.exits[*].to": scenes, layout.none: scenes, layout.no.such: scenes,
                   "raw[*]": scenes, members: scenes, names: scenes}
      set: {body: "replace(body, substr(body, 16, 36), $clone_of(scenes, substr(body, 16, 36))::text)"}
    - name: steps
      references: {after: steps, layout.next: steps}
"""


async def test_keys_in_arrays_documents_and_texts_are_those_of_the_clone(connection: Connection) -> None:
    await connection.execute(SCENES)
    keys = await field.made(connection, DECLARED)
    template = str(await connection.fetchval("SELECT id FROM campaigns WHERE is_master_template"))
    results = [await content(connection, key) for key in (template, *keys)]
    assert results[1] == results[2] == results[0]
    await field.removed(connection, keys)


ROOT_KEYS = "start::text, first::text, options::text"


async def content(connection: Connection, campaign: str) -> object:
    """All that a campaign holds, with its own keys named after their rows."""
    scenes = await connection.fetch("SELECT * FROM scenes WHERE campaign_id = $1 ORDER BY title", campaign)
    steps = await connection.fetch("SELECT * FROM steps WHERE campaign_id = $1 ORDER BY id", campaign)
    numbers = {row["id"]: n for n, row in enumerate(steps)}
    text = json.dumps([
        [dict(row) | {"id": "", "campaign_id": ""} for row in scenes],
        await connection.fetchval(f"SELECT ARRAY[{ROOT_KEYS}] FROM campaigns WHERE id = $1", campaign),
    ], default=str)  # fmt: skip
    for row in scenes:
        text = text.replace(str(row["id"]), row["title"])
    links = [[numbers.get(key, key) for key in (*row["after"], json.loads(row["layout"])["next"])] for row in steps]
    return text, links


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("$clone_of(heroes, id)", r"\$clone_of: table heroes does not exist"),
        ("$clone_of(scenes", "write .clone_of.table, key."),
        ("$clone_of(scenes)", "write .clone_of.table, key."),
        ("$clone_of(scenes, nothing)", "column .nothing. does not exist"),
    ],
)
async def test_a_wrong_call_is_refused(connection: Connection, expression: str, message: str) -> None:
    await connection.execute(SCENES)
    root = f'root: {{table: campaigns, set: {{is_master_template: "false", start: "{expression}"}}}}'
    text = f"{root}\ntables: [{{name: scenes}}]"
    with pytest.raises(BlueprintError, match=message):
        await field.put(connection, text)

"""The examples of frameworks: discovery proposes the blueprint of the folder, and campaigns equal the template."""

from pathlib import Path

import pytest

from campaignpool.api.spec import Template
from campaignpool.blueprint.discover import MARK, discover
from campaignpool.ledger.database import Connection
from tests.support import field, ledgers

pytestmark = pytest.mark.integration

EXAMPLES = Path(__file__).parents[3] / "examples/frameworks"
ROOTS = {
    "django": ("game_campaign", "is_master_template"),
    "prisma": ('"Campaign"', '"isTemplate"'),
    "laravel": ("campaigns", "is_template"),
    "rails": ("campaigns", "master"),
    "supabase": ("campaigns", "is_template"),
    "hasura": ("campaigns", "is_template"),
}
"""Of each example: the table of the campaigns, and the condition of the template."""

CONTENT = {
    "django": """
        SELECT f.name, f.position, c.name AS character, m.name AS mentor, h.level, s.names, a.allies, t.tag, n.text,
               (SELECT count(*) FROM game_taggeditem i JOIN django_content_type y ON y.id = i.content_type_id
                WHERE y.model = 'character' AND i.object_id = c.id::text) AS tags
        FROM game_faction f JOIN game_character c ON c.faction_id = f.id AND c.campaign_id = f.campaign_id
        LEFT JOIN game_character m ON m.id = c.mentor_id AND m.campaign_id = f.campaign_id
        LEFT JOIN game_hero h ON h.character_ptr_id = c.id
        JOIN django_content_type y ON y.model = 'faction'
        JOIN game_taggeditem t ON t.content_type_id = y.id AND t.object_id = f.id::text
        JOIN game_note n ON n.target_type_id = y.id AND n.target_id = f.id
        JOIN LATERAL (SELECT string_agg(s.name, ' ' ORDER BY s.id) AS names FROM game_character_skills j
                      JOIN game_skill s ON s.id = j.skill_id AND s.campaign_id = f.campaign_id
                      WHERE j.character_id = c.id) s ON true
        JOIN LATERAL (SELECT string_agg(o.name, ' ' ORDER BY o.name) AS allies FROM game_character_allies j
                      JOIN game_character o ON o.id = j.to_character_id AND o.campaign_id = f.campaign_id
                      WHERE j.from_character_id = c.id) a ON true
        WHERE f.campaign_id::text = $1 ORDER BY f.id
    """,
    "prisma": """
        SELECT s.title, s."order", p.title AS parent, i.rarity::text, i.tags, i.price, t.names, n.body,
               c.settings ->> 'dice' AS dice
        FROM "Campaign" c JOIN "Scene" s ON s."campaignId" = c.id
        LEFT JOIN "Scene" p ON p.id = s."parentId" AND p."campaignId" = s."campaignId"
        JOIN "Item" i ON i."sceneId" = s.id JOIN "Note" n ON n."notableType" = 'Scene' AND n."notableId" = s.id
        JOIN LATERAL (SELECT string_agg(t.label, ' ' ORDER BY t.id) AS names FROM "_ItemToTag" j
                      JOIN "Tag" t ON t.id = j."B" AND t."campaignId" = s."campaignId" WHERE j."A" = i.id) t ON true
        WHERE s."campaignId" = $1 AND s."deletedAt" IS NULL ORDER BY s.id, i.id
    """,
    "laravel": """
        SELECT h.name, h.country, h.position, l.name AS leader, i.names, p.path, t.count AS tags, o.path AS cover
        FROM heroes h LEFT JOIN heroes l ON l.id = h.leader_id AND l.campaign_id = h.campaign_id
        JOIN images p ON p.imageable_type = 'App\\Models\\Hero' AND p.imageable_id = h.id::text
        JOIN images o ON o.imageable_type = 'App\\Models\\Campaign' AND o.imageable_id = h.campaign_id
        JOIN LATERAL (SELECT string_agg(name, ' ' ORDER BY id) AS names FROM items WHERE hero_id = h.id) i ON true
        JOIN LATERAL (SELECT count(*) FROM taggables WHERE taggable_type = 'hero' AND taggable_id = h.id) t ON true
        WHERE h.campaign_id = $1 ORDER BY h.id
    """,
    "rails": """
        SELECT c.name, c.type, c.position, r.body, a.name AS attachment, b.key, j.skills, c.ancestry,
               rtrim(left(f.slug, 4), '-') AS slug
        FROM characters c JOIN action_text_rich_texts r ON r.record_type = 'Character' AND r.record_id = c.id
        JOIN active_storage_attachments a ON a.record_type = 'Character' AND a.record_id = c.id
        JOIN active_storage_blobs b ON b.id = a.blob_id
        JOIN friendly_id_slugs f ON f.sluggable_type = 'Character' AND f.sluggable_id = c.id
        JOIN LATERAL (SELECT string_agg(s.name, ' ' ORDER BY s.id) AS skills FROM characters_skills j
                      JOIN skills s ON s.id = j.skill_id AND s.campaign_id = c.campaign_id
                      WHERE j.character_id = c.id) j ON true
        WHERE c.campaign_id::text = $1 ORDER BY c.id
    """,
    "supabase": """
        SELECT m.title, m.image_path, m.data, t.x, t.y FROM maps m JOIN tokens t ON t.map_id = m.id
        WHERE m.campaign_id::text = $1 ORDER BY m.id, t.id
    """,
    "hasura": """
        SELECT q.title, p.title AS parent, q.rewards, s.step, s.text, c.status FROM quests q
        JOIN campaigns c ON c.id = q.campaign_id
        LEFT JOIN quests p ON p.id = q.parent_id AND p.campaign_id = q.campaign_id
        JOIN quest_steps s ON s.quest_id = q.id WHERE q.campaign_id::text = $1 ORDER BY q.id, s.step
    """,
}
"""What a campaign holds, in the order of its keys, without the keys."""

MEMBERS = {
    "django": ("4", "SELECT user_id, role FROM game_membership WHERE campaign_id::text = $1", (4, "player")),
    "prisma": (
        "clu00000000000000000004",
        """SELECT "userId", role::text FROM "CampaignMember" WHERE "campaignId" = $1""",
        ("clu00000000000000000004", "PLAYER"),
    ),
    "laravel": ("4", "SELECT user_id, role FROM campaign_user WHERE campaign_id = $1", (4, "gm")),
    "rails": ("4", "SELECT user_id, role FROM memberships WHERE campaign_id::text = $1", (4, 0)),
    "supabase": (
        "00000000-0000-4000-8000-000000000004",
        "SELECT user_id::text, role FROM campaign_members WHERE campaign_id::text = $1",
        ("00000000-0000-4000-8000-000000000004", "player"),
    ),
    "hasura": (
        "auth0|a87ff679a2f3e71d9181a67b7542122c",
        "SELECT user_id, role FROM campaign_users WHERE campaign_id::text = $1",
        ("auth0|a87ff679a2f3e71d9181a67b7542122c", "gamemaster"),
    ),
}
"""The fourth user, what says that a campaign is theirs, and the row that a claim inserts."""


@pytest.mark.parametrize("name", ROOTS)
async def test_discovery_proposes_the_blueprint_of_the_folder(connection: Connection, name: str) -> None:
    root, where = ROOTS[name]
    await connection.execute((EXAMPLES / name / "schema.sql").read_text())
    text = await discover(connection, root, Template(where=where))
    assert f"{MARK}: it does not compile" not in text
    assert text == (EXAMPLES / name / "blueprint.yaml").read_text()


@pytest.mark.parametrize("name", ROOTS)
async def test_campaigns_are_the_template_again(connection: Connection, name: str) -> None:
    root, where = ROOTS[name]
    await connection.execute((EXAMPLES / name / "schema.sql").read_text())
    before = await counts(connection)
    template = await connection.fetchval(f"SELECT id::text FROM {root} WHERE {where}")
    keys = await field.made(connection, (EXAMPLES / name / "blueprint.yaml").read_text(), where)
    wanted = await connection.fetch(CONTENT[name], template)
    assert len(wanted) > 3
    for key in keys:
        assert await connection.fetch(CONTENT[name], key) == wanted
    user, members, row = MEMBERS[name]
    claim = await ledgers.claim(connection, user, "request-1")
    assert claim["campaign_id"] in keys
    assert [tuple(member) for member in await connection.fetch(members, claim["campaign_id"])] == [row]
    await connection.execute("SELECT campaign_pool.release($1)", claim["campaign_id"])
    await field.removed(connection, keys)
    assert await counts(connection) == before


async def counts(connection: Connection) -> dict[str, int]:
    """Return the number of rows of every table of the application."""
    names = await connection.fetch("""
        SELECT c.oid::regclass::text AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE relkind = 'r' AND nspname NOT IN ('pg_catalog', 'information_schema', 'campaign_pool', 'pg_toast')
          AND c.oid::regclass::text <> 'hdb_catalog.event_log'
    """)
    return {row["name"]: await connection.fetchval(f"SELECT count(*) FROM {row['name']}") for row in names}


async def test_a_materialized_path_is_that_of_the_clone(connection: Connection) -> None:
    root, where = ROOTS["rails"]
    await connection.execute((EXAMPLES / "rails/schema.sql").read_text())
    step = "unnest(string_to_array(ancestry, '/')) WITH ORDINALITY AS u (step, n)"
    path = f"(SELECT string_agg($clone_of(characters, step)::text, '/' ORDER BY n) FROM {step})"
    text = (EXAMPLES / "rails/blueprint.yaml").read_text()
    line = next(line for line in text.splitlines() if "ancestry" in line)
    keys = await field.made(connection, text.replace(line, f'    set: {{ancestry: "{path}"}}'), where)
    query = """
        SELECT c.name, a.name AS ancestor FROM characters c
        LEFT JOIN characters a ON a.campaign_id = c.campaign_id AND a.id::text = c.ancestry
        WHERE c.campaign_id::text = $1 ORDER BY c.id
    """
    wanted = await connection.fetch(query, await connection.fetchval(f"SELECT id::text FROM {root} WHERE {where}"))
    assert [row["ancestor"] for row in wanted] == [None, "c1", "c1", "c1"]
    assert [await connection.fetch(query, key) for key in keys] == [wanted, wanted]

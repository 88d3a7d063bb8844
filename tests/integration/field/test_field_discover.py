"""Discovery lists whatever may belong to a campaign: in the proposal, left out with the reason, or marked."""

import pytest

from campaignpool.api import blueprint
from campaignpool.api.spec import Template
from campaignpool.blueprint import compilation, install
from campaignpool.blueprint.discover import MARK, discover
from campaignpool.ledger.database import Connection
from tests.support import field, ledgers

pytestmark = pytest.mark.integration


NO_KEYS = """
CREATE TABLE campaigns (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name text,
                        is_master_template boolean NOT NULL DEFAULT false);
INSERT INTO campaigns (name, is_master_template) VALUES ('Master', true), ('Other', false);
CREATE TABLE heroes (id serial PRIMARY KEY, campaign_id uuid NOT NULL, name text);
INSERT INTO heroes (campaign_id, name) SELECT id, 'h' || n FROM campaigns, generate_series(1, 30) n;
CREATE TABLE weapons (id serial PRIMARY KEY, hero_id integer NOT NULL, name text);
INSERT INTO weapons (hero_id, name) SELECT id, 'w' || id FROM heroes;
CREATE TABLE people (id serial PRIMARY KEY, hero_id integer);
CREATE TABLE "Scene" (id serial PRIMARY KEY, "campaignId" uuid NOT NULL, title text);
INSERT INTO "Scene" ("campaignId", title) SELECT id, 's' || n FROM campaigns, generate_series(1, 5) n;
CREATE TABLE "Picture" (id serial PRIMARY KEY, "recordType" text NOT NULL, "recordId" uuid NOT NULL, url text);
INSERT INTO "Picture" ("recordType", "recordId", url) SELECT 'Campaign', id, 'u' FROM campaigns;
CREATE TABLE comments (id serial PRIMARY KEY, commentable_type text, commentable_id uuid);
CREATE TABLE tagged (id serial PRIMARY KEY, content_type_id integer, object_id integer);
"""


async def test_tables_without_foreign_keys_are_proposed_and_cloned(connection: Connection) -> None:
    await connection.execute(NO_KEYS)
    text = await discover(connection, "campaigns", Template(where="is_master_template"))
    result = blueprint.parse(text, "text")
    tables = {table.name: table for table in result.tables}
    assert set(tables) == {"heroes", "weapons", '"Scene"', '"Picture"'}
    assert tables["heroes"].references == {"campaign_id": "campaigns"}
    assert tables["weapons"].references == {"hero_id": "heroes"}
    assert tables['"Scene"'].references == {"campaignId": "campaigns"}
    assert tables['"Picture"'].polymorphic[0].targets == {"Campaign": "campaigns"}
    assert f"{MARK}: no foreign key: matched by its name and its ids" in text
    for name, pair in (
        ("comments", "commentable_type and commentable_id"),
        ("tagged", "content_type_id and object_id"),
    ):
        (line,) = [line for line in text.splitlines() if line.startswith(f"#   {name} ")]
        assert f"{MARK}: it may belong to campaigns by {pair}" in line
    keys = await field.made(connection, text)
    query = "SELECT count(*) FROM weapons w JOIN heroes h ON h.id = w.hero_id WHERE h.campaign_id = $1"
    assert await connection.fetchval(query, keys[0]) == 30
    assert await connection.fetchval("SELECT count(*) FROM campaign_pool.campaign WHERE state = 'ready'") == 2


LARAVEL = """
CREATE TABLE users (id bigserial PRIMARY KEY, name varchar(255));
CREATE TABLE campaigns (id bigserial PRIMARY KEY, uuid uuid NOT NULL UNIQUE, user_id bigint REFERENCES users,
                        name varchar(255) NOT NULL, is_template boolean NOT NULL DEFAULT false);
CREATE TABLE heroes (id bigserial PRIMARY KEY, campaign_id bigint NOT NULL REFERENCES campaigns, options json,
                     number serial, after integer[]);
CREATE TABLE people (id bigserial PRIMARY KEY, campaign_id bigint NOT NULL REFERENCES campaigns);
CREATE TABLE images (id bigserial PRIMARY KEY, url text, imageable_type varchar(255) NOT NULL,
                     imageable_id bigint NOT NULL);
CREATE TABLE campaign_members (id bigserial PRIMARY KEY, campaign_id bigint NOT NULL REFERENCES campaigns,
                               user_id bigint NOT NULL REFERENCES users, role text);
INSERT INTO users (name) VALUES ('a');
INSERT INTO campaigns (uuid, user_id, name, is_template) SELECT gen_random_uuid(), 1, n, n = 'Master'
FROM unnest(ARRAY['Other', 'Master', 'Third']) n;
INSERT INTO heroes (campaign_id, options, after)
SELECT c.id, '{"a": 1}', '{1}' FROM campaigns c, generate_series(1, 5);
INSERT INTO people (campaign_id) SELECT c.id FROM campaigns c, generate_series(1, 5);
INSERT INTO images (url, imageable_type, imageable_id)
SELECT 'u', 'App\\Models\\Hero', id FROM heroes UNION ALL SELECT 'u', 'App\\Models\\Person', id FROM people;
"""


async def test_class_names_irregular_plurals_and_what_may_hold_keys(connection: Connection) -> None:
    await connection.execute(LARAVEL)
    text = await discover(connection, "campaigns", Template(where="is_template"))
    result = blueprint.parse(text, "text")
    (pair,) = next(table for table in result.tables if table.name == "images").polymorphic
    assert pair.targets == {"App\\Models\\Hero": "heroes", "App\\Models\\Person": "people"}
    assert [row.table for row in result.on_claim.insert] == ["campaign_members"]
    for column in ("options", "after"):
        assert f"{MARK}: {column} is copied: where it holds keys of the campaign's rows, say so" in text
    assert f"{MARK}: number gets a new value from its default in every clone" in text
    await field.put(connection, text, "is_template")
    await ledgers.filled(connection, "", 1)


SHAPES = """
CREATE TABLE heroes (id serial PRIMARY KEY, campaign_id uuid NOT NULL REFERENCES campaigns, email text,
                     code text GENERATED ALWAYS AS (campaign_id || 'x') STORED UNIQUE);
CREATE TABLE items (id serial PRIMARY KEY, hero_id integer NOT NULL REFERENCES heroes,
                    campaign_id uuid REFERENCES campaigns, name text);
CREATE TABLE notes (id serial PRIMARY KEY, hero_id integer REFERENCES heroes, item_id integer REFERENCES items);
CREATE TABLE replies (id serial PRIMARY KEY, campaign_id uuid REFERENCES campaigns,
                      reply_id integer REFERENCES replies);
CREATE TABLE tags (id serial PRIMARY KEY, campaign_id uuid REFERENCES campaigns);
INSERT INTO replies (campaign_id) SELECT id FROM campaigns;
INSERT INTO replies (reply_id) SELECT id FROM replies;
INSERT INTO tags (campaign_id) SELECT id FROM campaigns;
ALTER TABLE heroes ADD tag_id integer REFERENCES tags;
INSERT INTO heroes (campaign_id, tag_id) SELECT campaign_id, id FROM tags;
INSERT INTO items (hero_id, campaign_id, name) SELECT id, campaign_id, 'new' FROM heroes;
INSERT INTO items (hero_id, name) SELECT id, 'old' FROM heroes;
INSERT INTO notes (hero_id) SELECT id FROM heroes;
INSERT INTO notes (item_id) SELECT id FROM items WHERE name = 'new';
"""


async def test_rows_that_a_null_keeps_out_are_counted_and_the_way_out_copies_them(connection: Connection) -> None:
    await connection.execute(field.CAMPAIGNS + SHAPES)
    text = await discover(connection, "campaigns", Template(where="is_master_template"))
    assert f"{MARK}: it does not compile" not in text
    assert (
        f"{MARK}: 1 row with campaign_id NULL left out, though other columns say whose: `via: [hero_id]` copies"
        in text
    )
    assert f"{MARK}: 1 row with campaign_id NULL left out, though other columns say whose: fill campaign_id" in text
    assert (
        "the campaign's own tables refer to it: it stands beside campaigns; 1 row of it refer to the template" in text
    )
    assert f"{MARK}: belongs to the campaign by hero_id or item_id alone, which may be NULL" in text
    wanted = field.spec(text)
    assert wanted.blueprint.inline
    compiled = await compilation.compile_blueprint(connection, wanted, wanted.blueprint.inline)
    items, replies = [text for text in await install.warnings(connection, compiled) if "is NULL" in text]
    assert "rows of public.items that refer to the template by one of hero_id" in items
    assert "rows of public.replies that refer to the template by one of reply_id" in replies
    (key,) = await field.made(connection, text.replace("- name: items", "- via: [hero_id]\n    name: items"), count=1)
    query = (
        "SELECT array_agg(i.name ORDER BY i.id) FROM items i JOIN heroes h ON h.id = hero_id WHERE h.campaign_id = $1"
    )
    assert await connection.fetchval(query, key) == ["new", "old"]
    assert await connection.fetchval("SELECT count(*) FROM notes") == 4

"""SQL of images that are copied after the rows: the queue that a clone fills, and what a copied file becomes.

A clone writes, in place of the attachments, one row of the queue for each file, which holds the attachments to come
with all their references made; `settle_r<id>` inserts the blob and those attachments once the file is there.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from campaignpool.blueprint.compile.expressions import substitute
from campaignpool.blueprint.compile.plan import ClonePlan, ImagePlan, TablePlan
from campaignpool.blueprint.quote import ident, literal
from campaignpool.blueprint.sql.naming import snapshot
from campaignpool.blueprint.sql.values import CAMPAIGNS

if TYPE_CHECKING:
    from campaignpool.blueprint.sql.functions import Revision


def blobs(revision: int) -> str:
    """Table of a revision that holds the template's blobs: `original` (key), `path` of the file, the whole `row`."""
    return f"campaign_pool.r{revision}_blobs"


def freeze(images: ImagePlan, revision: int) -> Iterator[str]:
    """Return statements that store the template's blobs; after the attachments were stored."""
    name, key = blobs(revision), ident(images.key.name)
    used = f"SELECT a.{ident(images.blob)} FROM {snapshot(revision, images.position)} a"
    yield (
        f"CREATE TABLE {name} AS SELECT t.{key}::text AS original, CAST(({images.path}) AS text) AS path, "
        f"to_jsonb(t) AS row FROM {images.blobs.name} t WHERE t.{key} IN ({used})"
    )
    yield f"ALTER TABLE {name} ADD PRIMARY KEY (original)"
    yield f"ANALYZE {name}"


def queue(revision: "Revision", images: ImagePlan) -> Iterator[str]:
    """Return the statements of a clone that stand in place of the attachments' insert.

    Blobs whose file is not in the store are shared: their attachments are inserted at once.
    """
    table = revision.plan.tables[images.position]
    columns = revision.values.columns(table)
    targets = ", ".join(ident(name) for name in columns)
    campaigns = f"unnest($1, $2, campaignpool_prefixes) WITH ORDINALITY AS c {CAMPAIGNS}"
    source = (
        f"{revision.frozen(table)} s JOIN {blobs(revision.number)} b ON b.original = s.{ident(images.blob)}::text"
    )
    yield (
        f"INSERT INTO {table.facts.name} ({targets}){_overriding(table, columns)}\n"
        f"SELECT {', '.join(columns.values())}\nFROM {source} AND b.path IS NULL CROSS JOIN {campaigns};"
    )
    row = ", ".join(f"{value} AS {ident(name)}" for name, value in columns.items() if name != images.blob)
    yield (
        "INSERT INTO campaign_pool.image (campaign, original, source, attachments)\n"
        f"SELECT c.campaignpool_id, b.original, b.path, jsonb_agg(to_jsonb(a))\nFROM {source} AND b.path IS NOT NULL "
        f"CROSS JOIN {campaigns} CROSS JOIN LATERAL (SELECT {row}) a GROUP BY 1, 2, 3;"
    )
    yield f"PERFORM campaign_pool.queue_images({revision.number}, $1);"


def settle(revision: "Revision", images: ImagePlan) -> list[str]:
    """Return the body of `settle_r<id>(campaign uuid, root key text, files jsonb) → how many images were new`.

    -1 where the campaign's own row is gone. What the application has put in a place meanwhile stays alone there, and
    records that it has deleted get no image.
    """
    plan = revision.plan
    root, table = plan.root.facts, plan.tables[images.position]
    root_key = root.column[root.primary_key[0]]
    campaign = f"CAST($2 AS {root_key.base})"
    mine = "i.campaign = $1 AND i.original = ANY (_done)"
    marked = (
        "UPDATE campaign_pool.image i SET state = 'copied', cause = NULL, file = f.file, "
        f"blob = {_new_key(images)} FROM jsonb_array_elements($3) AS f (file) "
        "WHERE i.campaign = $1 AND i.original = f.file ->> 'original' AND i.state <> 'copied' RETURNING i.original"
    )
    return [
        f"PERFORM 1 FROM {root.name} t WHERE t.{ident(root_key.name)} = {campaign} FOR KEY SHARE;",
        "IF NOT FOUND THEN RETURN -1; END IF;",
        f"WITH marked AS ({marked}) SELECT array_agg(original) INTO _done FROM marked;",
        "IF _done IS NULL THEN RETURN 0; END IF;",
        _insert_blobs(revision.number, images, campaign, mine),
        _insert_attachments(plan, table, images, list(revision.values.columns(table)), mine),
        "RETURN cardinality(_done);",
    ]


def _new_key(images: ImagePlan) -> str:
    """Return the key of a new blob, as text; NULL where `set` gives it."""
    key = images.key
    if key.name in images.sets:
        return "NULL"
    return f"(CAST(({key.default or 'gen_random_uuid()'}) AS {key.base}))::text"


def _insert_blobs(revision: int, images: ImagePlan, campaign: str, mine: str) -> str:
    values = {
        "campaign": campaign,
        "file_id": "(campaignpool_file ->> 'file_id')",
        "path": "(campaignpool_file ->> 'path')",
        "url": "(campaignpool_file ->> 'url')",
        "size": "CAST(campaignpool_file ->> 'size' AS bigint)",
    }
    result = {column.name: f"t.{ident(column.name)}" for column in images.blobs.columns if not column.generated}
    result |= {name: f"({substitute(expression, values)})" for name, expression in images.sets.items()}
    if images.key.name not in images.sets:
        result[images.key.name] = "campaignpool_blob"
    typed = [f"CAST({value} AS {images.blobs.column[name].base})" for name, value in result.items()]
    always = any(images.blobs.column[name].identity == "a" for name in result)
    rows = (
        "SELECT i.blob AS campaignpool_blob, i.file AS campaignpool_file, r.* FROM campaign_pool.image i "
        f"JOIN {blobs(revision)} b ON b.original = i.original "
        f"CROSS JOIN LATERAL jsonb_populate_record(NULL::{images.blobs.name}, b.row) r WHERE {mine}"
    )
    return (
        f"INSERT INTO {images.blobs.name} ({', '.join(ident(name) for name in result)})"
        f"{' OVERRIDING SYSTEM VALUE' if always else ''} SELECT {', '.join(typed)} FROM ({rows}) t;"
    )


def _insert_attachments(plan: ClonePlan, table: TablePlan, images: ImagePlan, columns: list[str], mine: str) -> str:
    name, kind = table.facts.name, table.facts.column[images.blob].base
    values = [f"CAST(i.blob AS {kind})" if column == images.blob else f"r.{ident(column)}" for column in columns]
    slot = " AND ".join(f"o.{ident(item)} = r.{ident(item)}" for item in images.slot)
    others = (
        f"SELECT FROM {name} o WHERE {slot} AND NOT EXISTS (SELECT FROM campaign_pool.image n "
        f"WHERE n.campaign = $1 AND n.blob = o.{ident(images.blob)}::text)"
    )
    conditions = [mine, f"NOT EXISTS ({others})", *_records(plan, table)]
    return (
        f"INSERT INTO {name} ({', '.join(ident(column) for column in columns)}){_overriding(table, columns)} "
        f"SELECT {', '.join(values)} FROM campaign_pool.image i "
        "CROSS JOIN LATERAL jsonb_array_elements(i.attachments) AS e (attachment) "
        f"CROSS JOIN LATERAL jsonb_populate_record(NULL::{name}, e.attachment) r WHERE {' AND '.join(conditions)};"
    )


def _records(plan: ClonePlan, table: TablePlan) -> Iterator[str]:
    """Return conditions that what an attachment refers to is still there."""
    for reference in table.references:
        if len(reference.columns) == 1:
            target = plan.tables[reference.target].facts
            own, theirs = ident(reference.columns[0]), ident(reference.target_columns[0])
            yield f"(r.{own} IS NULL OR EXISTS (SELECT FROM {target.name} x WHERE x.{theirs} = r.{own}))"
    for pair in table.polymorphic:
        cases = []
        for kind, position in pair.targets.items():
            target = plan.tables[position].facts
            key = target.column[pair.keys[position]]
            cases.append(
                f"WHEN {literal(kind)} THEN EXISTS (SELECT FROM {target.name} x "
                f"WHERE x.{ident(key.name)} = CAST(r.{ident(pair.column)} AS {key.base}))"
            )
        if cases:
            yield f"CASE r.{ident(pair.type_column)} {' '.join(cases)} ELSE true END"


def remove(images: ImagePlan) -> Iterator[str]:
    """Return the statements that delete the blobs that were copied for campaigns, after their attachments."""
    name, key = images.blobs.name, images.key
    rows = f"t.{ident(key.name)} = CAST(i.blob AS {key.base}) AND i.campaign = ANY ($1)"
    yield f"IF campaign_pool.cascades(ARRAY[{literal(name)}]::regclass[]) THEN"
    yield (
        "    SELECT array_agg(r.tableoid), array_agg(r.ctid) INTO _tables, _places FROM (SELECT t.tableoid, t.ctid "
        f"FROM {name} t, campaign_pool.image i WHERE {rows} FOR UPDATE OF t) r;"
    )
    yield f"    PERFORM campaign_pool.refuse_cascade(ARRAY[{literal(name)}]::regclass[], _tables, _places);"
    yield "END IF;"
    yield f"DELETE FROM {name} t USING campaign_pool.image i WHERE {rows};"


def _overriding(table: TablePlan, columns: object) -> str:
    names = list(columns)  # type: ignore[call-overload]
    return " OVERRIDING SYSTEM VALUE" if any(table.facts.column[name].identity == "a" for name in names) else ""

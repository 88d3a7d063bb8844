"""SQL of a revision's functions that compare ready campaigns with what was cloned; they change nothing."""

from campaignpool.blueprint.quote import ident, literal
from campaignpool.blueprint.sql import functions, retirement
from campaignpool.blueprint.sql.functions import PREFIXES, Revision, written


def missing(revision: Revision) -> str:
    """Write `missing_r<id>(root keys text[])`, which returns those keys whose row is not in the root table."""
    root = revision.plan.root
    key = root.facts.column[root.facts.primary_key[0]]
    query = (
        "RETURN QUERY SELECT k.key FROM unnest($1) AS k (key) "
        f"WHERE NOT EXISTS (SELECT FROM {root.facts.name} t WHERE t.{ident(key.name)} = CAST(k.key AS {key.base}));"
    )
    body = [f"IF {retirement.is_there(root)} THEN", query, "END IF;"]
    return written(revision, "missing", "text[]", "SETOF text", [], body)


def lacking(revision: Revision) -> str:
    """Write `lacking_r<id>(ids uuid[], root keys text[])`.

    It returns which table has fewer rows of these campaigns than were cloned; NULL: none. Rows that triggers make and
    attachments of images, which come later, are not counted.
    """
    declared = [PREFIXES, "_campaigns bigint := cardinality($1);", "_rows bigint;"]
    keys, body = retirement.found_again(revision)
    images = functions.copied(revision)
    for table in revision.plan.tables:
        rows = revision.surveys[table.position].rows
        if not rows or table.trigger_rows == "Keep" or (images is not None and images.position == table.position):
            continue
        counts = " + ".join(f"(SELECT count(*) FROM {source})" for source in retirement.sources(revision, table))
        cause = literal(f"table {table.facts.name} has %s of its %s rows: the others were deleted or changed")
        body += [
            f"IF {retirement.is_there(table)} THEN",
            f"    _rows := {counts};",
            f"    IF _rows < _campaigns * {rows} THEN RETURN format({cause}, _rows, _campaigns * {rows}); END IF;",
            "END IF;",
        ]
    body.append("RETURN NULL;")
    return written(revision, "lacking", "uuid[], text[]", "text", [*declared, *keys], body)

"""SQL of a rehearsal: a revision's inserts, each run under EXPLAIN ANALYZE. For transactions that are rolled back."""

from campaignpool.blueprint.sql import functions
from campaignpool.blueprint.sql.functions import Revision


def measured(revision: Revision, *, text: bool) -> str:
    """Write a function like `functions.clone` that gives, for each statement, its tables and what it took.

    Args:
        revision: The revision.
        text: Whether the plans are for people, a line a row; else they are JSON, one row a statement.
    """
    declared, body = functions.drawn(revision)
    declared.append(f"_plan {'text' if text else 'json'};")
    for tables in functions.groups(revision):
        for table in (item for item in tables if item.trigger_rows == "Replace"):
            body += functions.delete_hanging(revision, table)
        positions = ", ".join(str(table.position) for table in tables)
        explain = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT {'TEXT' if text else 'JSON'})"
        body += [
            f"FOR _plan IN {explain} {functions.insert(revision, tables)} LOOP",
            f"    positions := ARRAY[{positions}]; plan := _plan::text; RETURN NEXT;",
            "END LOOP;",
        ]
    returns = "TABLE (positions integer[], plan text)"
    return functions.written(revision, kind(text=text), "uuid[], text[]", returns, declared, body)


def kind(*, text: bool) -> str:
    """Return the kind of the function, for `naming.function`."""
    return "explained" if text else "measured"

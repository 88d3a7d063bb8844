"""SQL that finds the row the data refuses: `probe_r<id>` inserts up to one table, and of that a part of the rows.

The ledger's `diagnose` calls it again and again in transactions that are rolled back, with half of the rows each
time, until one is left. Only a refusal by the same constraint counts: a part of a table may lack rows that others
refer to, and that is another refusal.
"""

from campaignpool.blueprint.sql.functions import Revision, drawn, groups, insert, written
from campaignpool.blueprint.sql.naming import KEY, ORD, snapshot

_HEARD = "SET CONSTRAINTS ALL IMMEDIATE;"
"""What waits for the commit refuses here."""


def probe(revision: Revision) -> str:
    """Write `probe_r<id>(ids uuid[], owners text[], place integer, first bigint, count bigint)`.

    It inserts the tables that come before the one at `place`, then `count` rows of that from the `first` on. A table
    in a circle with others is inserted whole with them: no part of it could be.
    """
    declared, body = drawn(revision)
    for tables in groups(revision):
        if len(tables) == 1:
            table = tables[0]
            window = "OFFSET $4 LIMIT $5"
            body.append(f"IF $3 = {table.position} THEN {insert(revision, tables, window)}; {_HEARD} RETURN; END IF;")
            body.append(f"{insert(revision, tables)};")
        else:
            declared.append("_made bigint[];")
            body.append(f"{insert(revision, tables)} INTO _made;")
            places = ", ".join(str(item.position) for item in tables)
            body.append(f"IF $3 IN ({places}) THEN {_HEARD} RETURN; END IF;")
    declared = list(dict.fromkeys(declared))
    return written(revision, "probe", "uuid[], text[], integer, bigint, bigint", "void", declared, body)


def key(revision: Revision) -> str:
    """Write `key_r<id>(place integer, nth bigint) → the template's key of that row, as text`."""
    body = []
    for table in revision.plan.tables:
        if not revision.surveys[table.position].rows:
            continue
        row = f"SELECT s.{KEY} FROM {snapshot(revision.number, table.position)} s ORDER BY s.{ORD} OFFSET $2 LIMIT 1"
        body.append(f"IF $1 = {table.position} THEN RETURN ({row}); END IF;")
    body.append("RETURN NULL;")
    return written(revision, "key", "integer, bigint", "text", [], body)

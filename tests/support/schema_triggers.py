"""What random schemas do beside the rows that are inserted: triggers, policies, and what makes a table unfit."""

from collections.abc import Callable

from tests.support.schema_model import Column, Ref, Table, q


def add(one_in: Callable[[int], bool], table: Table, name: str) -> None:
    """Add triggers to a table: some change the parent or the row itself, one checks at the end of a transaction."""
    anchor = table.refs[table.anchors[0]] if table.anchors and table.anchors[0] is not None else None
    if anchor and one_in(4):
        parent = anchor.target
        if "counter" not in parent.restore:
            parent.columns.append(Column("counter", "integer", "NOT NULL DEFAULT 0"))
            parent.restore.append("counter")
        body = f"UPDATE {parent.sql} o SET counter = o.counter + 1 WHERE {_joined(anchor)}; RETURN NULL;"
        table.triggers += _trigger("TRIGGER x AFTER", table, f"{name}_count", body)
    if one_in(5):
        table.columns += [Column("stamped", "timestamptz"), Column("loud", "text")]
        body = "NEW.stamped := clock_timestamp(); NEW.loud := upper(NEW.token); RETURN NEW;"
        table.triggers += _trigger("TRIGGER y BEFORE", table, f"{name}_set", body)
    if anchor and not table.partitioned and one_in(5):
        missing = f"NOT EXISTS (SELECT FROM {anchor.target.sql} o WHERE {_joined(anchor)})"
        given = " AND ".join(f"NEW.{q(column)} IS NOT NULL" for column in anchor.columns)
        body = f"IF {given} AND {missing} THEN RAISE 'nothing to belong to'; END IF; RETURN NULL;"
        when = "DEFERRABLE INITIALLY DEFERRED "
        table.triggers += _trigger("CONSTRAINT TRIGGER z AFTER", table, f"{name}_check", body, when)
    if one_in(5):
        table.triggers += [_secured(table), f"CREATE POLICY every ON {table.sql} USING (true) WITH CHECK (true)"]


def fill(table: Table, ref: Ref, name: str) -> list[str]:
    """Return the trigger of the root that inserts a row of a table."""
    columns = f"{q(ref.columns[0])}, token"
    body = f"INSERT INTO {table.sql} ({columns}) VALUES (NEW.{q(ref.target_columns[0])}, 'made'); RETURN NULL;"
    return _trigger("TRIGGER w AFTER", ref.target, name, body)


def refusals(tables: list[Table]) -> list[tuple[str, str]]:
    """Return statements that make a table unfit to be cloned, and what the refusal says."""
    results = []
    for table in tables:
        policy = f"CREATE POLICY tokens ON {table.sql} AS RESTRICTIVE USING (token <> '')"
        results.append((f"CREATE RULE also AS ON INSERT TO {table.sql} DO ALSO NOTIFY x", "rewrite INSERT"))
        results.append((f"{_secured(table)}; {policy}", "row level security of"))
        if not table.partitioned:
            heir = f"CREATE TABLE {q(table.schema)}.heir () INHERITS ({table.sql})"
            results.append((heir, "has child tables by inheritance"))
    return results


def _trigger(kind: str, table: Table, name: str, body: str, when: str = "") -> list[str]:
    return [
        f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $body$ BEGIN {body} END $body$",
        f"CREATE {kind} INSERT ON {table.sql} {when}FOR EACH ROW EXECUTE FUNCTION {name}()",
    ]


def _secured(table: Table) -> str:
    return f"ALTER TABLE {table.sql} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY"


def _joined(ref: Ref) -> str:
    pairs = zip(ref.columns, ref.target_columns, strict=True)
    return " AND ".join(f"o.{q(held)} = NEW.{q(column)}" for column, held in pairs)

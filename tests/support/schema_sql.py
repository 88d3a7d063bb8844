"""A random schema as SQL and as a blueprint."""

from collections.abc import Iterator
from typing import Any

from tests.support.schema_model import PLAIN, Column, Row, Schema, Table, q, text, value


def describe(schema: Schema) -> str:
    """Return the SQL and the blueprint of a schema, for the report of a failed test."""
    return "\n".join([*ddl(schema), *inserts(schema), *constraints(schema), str(blueprint(schema))])


def ddl(schema: Schema) -> Iterator[str]:
    """Yield the statements that create the tables, without foreign keys."""
    own = q(schema.name)
    yield f"CREATE SCHEMA {own}"
    yield f"CREATE DOMAIN {own}.key AS uuid"
    yield f"CREATE DOMAIN {own}.percent AS integer CHECK (VALUE BETWEEN 0 AND 100)"
    yield f"CREATE DOMAIN {own}.code AS char(4)"
    yield f"CREATE TYPE {own}.place AS (x integer, day date)"
    yield f"CREATE TYPE {own}.mood AS ENUM ('glad', 'so so')"
    yield f"CREATE SEQUENCE {own}.numbers"
    yield f"CREATE TABLE {own}.base (note text)"
    for table in schema.tables:
        columns = [f"{q(column.name)} {column.type} {column.rest}" for column in table.columns]
        if table.primary:
            columns.append(f"PRIMARY KEY ({_list(table.primary)})")
        parts = f" PARTITION BY HASH ({q(table.primary[0])})" if table.partitioned else ""
        parts += f" INHERITS ({own}.base)" if table.inherits else ""
        yield f"CREATE TABLE {table.sql} ({', '.join(columns)}){parts}"
        for n in range(2) if table.partitioned else ():
            part = f"{own}.{q(f'{table.name} part {n}')}"
            yield f"CREATE TABLE {part} PARTITION OF {table.sql} FOR VALUES WITH (MODULUS 2, REMAINDER {n})"


def inserts(schema: Schema) -> Iterator[str]:
    """Yield the statements that fill the tables and advance their sequences."""
    for table in schema.tables:
        columns = [column for column in table.columns if not column.generated]
        for number, row in enumerate(table.rows):
            values = ", ".join(_cell(schema, table, row, column, number) for column in columns)
            names = _list(tuple(column.name for column in columns))
            yield f"INSERT INTO {table.sql} ({names}) OVERRIDING SYSTEM VALUE VALUES ({values})"
        if table.key in ("bigserial", "serial", "smallint always", "bigint by default"):
            name = next((c.name for c in table.columns if c.name in table.primary and _uses_sequence(c)), None)
            if name:
                yield f"SELECT setval(pg_get_serial_sequence({text(table.sql)}, {text(name)}), 1000)"
    yield f"SELECT setval({text(f'{q(schema.name)}.numbers')}, 1000)"


def _uses_sequence(column: Column) -> bool:
    return "serial" in column.type or "IDENTITY" in column.rest


def _cell(schema: Schema, table: Table, row: Row, column: Column, number: int) -> str:
    if column.name == "token":
        return text(row.token)
    if column.name == "keep it":
        return str(row.keep).lower()
    if column.name == "counter":
        return "7"
    if column.name == "loud":
        return text(row.token.upper())
    if column.name == "note":
        return text(f"note {row.token}")
    if column.name == "label":
        return text(f"label {row.token}")
    for kind, values in PLAIN.items():
        if column.type == kind.format(schema=q(schema.name)) and column.name not in reference_columns(table):
            return [*values, "NULL"][number % (len(values) + 1)]
    return value(table, row, column.name)


def reference_columns(table: Table) -> set[str]:
    """Return the columns that are keys or references."""
    columns = {*table.primary, *(name for ref in table.refs for name in ref.columns)}
    columns |= {table.alternative} if table.alternative else set()
    return columns | ({table.pair.id, table.pair.type} if table.pair else set())


def constraints(schema: Schema) -> Iterator[str]:
    """Yield the statements that add foreign keys and indexes."""
    for table in schema.tables:
        for ref in table.refs:
            if ref.foreign_key:
                yield (
                    f"ALTER TABLE {table.sql} ADD FOREIGN KEY ({_list(ref.columns)}) "
                    f"REFERENCES {ref.target.sql} ({_list(ref.target_columns)}) {ref.action} {ref.deferred}"
                )
        yield from table.indexes
    for table in schema.tables:
        yield from table.triggers


def blueprint(schema: Schema) -> dict[str, Any]:
    """Return the blueprint that declares the schema."""
    return {
        "root": {"table": schema.tables[0].sql, "set": schema.tables[0].sets, "restore": schema.tables[0].restore},
        "tables": [_declared(table) for table in reversed(schema.tables[1:])],
    }


def _declared(table: Table) -> dict[str, Any]:
    declaration: dict[str, Any] = {"name": table.sql, "set": table.sets, "restore": table.restore}
    if table.filled:
        declaration["triggerRows"] = "Replace"
    if table.where:
        declaration["where"] = '"keep it"'
    references = {ref.columns[0]: ref.target.sql for ref in table.refs if not ref.foreign_key}
    if references:
        declaration["references"] = references
    if table.pair:
        targets = {name: target.sql for name, target in table.pair.targets.items()}
        declaration["polymorphic"] = [{"type": table.pair.type, "id": table.pair.id, "targets": targets}]
    if table.via and table.refs:
        columns = [name for n in table.anchors if n is not None for name in table.refs[n].columns]
        declaration["via"] = (
            list(dict.fromkeys(columns)) or [table.pair.id] if table.pair else list(dict.fromkeys(columns))
        )
    return declaration


def _list(names: tuple[str, ...]) -> str:
    return ", ".join(q(name) for name in names)

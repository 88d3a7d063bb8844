"""Other ways in which an application might create campaigns: a mapping table, executemany, an ORM."""

from collections import deque
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Engine, create_engine, inspect, select, text
from sqlalchemy.ext.automap import automap_base
from sqlalchemy.orm import Session
from typing_extensions import override

from bench.shape import RECORDS, Shape, shapes
from bench.strategies import OnAsyncpg, OwnConnection
from campaignpool.ledger.database import Connection
from chiwar.ids import TEMPLATE_ID


class MappingTable(OnAsyncpg):
    """Set-based: a temporary table maps old keys to new ones, and joins with it remap references."""

    name, label = "mapping_table", "set-based with a temporary mapping table"
    _map: list[str]
    _inserts: list[str]

    @override
    async def open(self, connection: Connection) -> None:
        await super().open(connection)
        tables = await shapes(self.connection)
        self._map = [
            f"INSERT INTO pg_temp.map SELECT n, t.id, gen_random_uuid()"
            f" FROM {shape.table} t, generate_series(1, $2::int) n WHERE {shape.where}"
            for shape in tables
            if shape.table in RECORDS
        ]
        self._inserts = [_insert_by_map(shape) for shape in tables]

    @override
    async def make(self, campaigns: int) -> None:
        execute = self.connection.execute
        await execute("CREATE TEMPORARY TABLE map (n int, old uuid, new uuid) ON COMMIT DROP")
        for statement in self._map:
            await execute(statement, TEMPLATE_ID, campaigns)
        await execute("CREATE INDEX ON pg_temp.map (old, n); ANALYZE pg_temp.map")
        for statement in self._inserts:
            await execute(statement, TEMPLATE_ID)


def _insert_by_map(shape: Shape) -> str:
    """Return the INSERT of a table for all campaigns; `c` are the campaigns, `r…` the targets of references."""
    values = {name: f"t.{name}" for name in shape.columns} | dict(shape.sets)
    joins = []
    if shape.table in RECORDS:
        values["id"] = "own.new"
        joins.append("JOIN pg_temp.map own ON own.old = t.id AND own.n = c.n")
    elif shape.keyed:
        values["id"] = "gen_random_uuid()"
    for number, name in enumerate(shape.references):
        values[name] = f"r{number}.new"
        joins.append(f"LEFT JOIN pg_temp.map r{number} ON r{number}.old = t.{name} AND r{number}.n = c.n")
    campaigns = "(SELECT n, new AS id FROM pg_temp.map WHERE old = $1) c"
    return (
        f"INSERT INTO {shape.table} ({', '.join(values)}) SELECT {', '.join(values.values())}"
        f" FROM {campaigns} CROSS JOIN {shape.table} t {' '.join(joins)} WHERE {shape.where}"
    )


class ExecuteMany(OnAsyncpg):
    """Reads the template's rows by table, remaps them in Python, and writes them with one executemany per table."""

    name, label = "executemany", "executemany per table, asyncpg"
    _shapes: list[Shape]

    @override
    async def open(self, connection: Connection) -> None:
        await super().open(connection)
        self._shapes = await shapes(self.connection)

    @override
    async def make(self, campaigns: int) -> None:
        new_keys: list[dict[UUID, UUID]] = [{} for _ in range(campaigns)]
        now = datetime.now(UTC).replace(tzinfo=None)
        for shape in self._shapes:
            names = ", ".join(shape.columns)
            rows = await self.connection.fetch(
                f"SELECT {names} FROM {shape.table} t WHERE {shape.where}", TEMPLATE_ID
            )
            copies = [
                tuple(copy_row(dict(row), shape, mapping, now).values())
                for mapping in new_keys
                for row in prerequisites_first(rows)
            ]
            parameters = ", ".join(f"${number}" for number in range(1, len(shape.columns) + 1))
            await self.connection.executemany(f"INSERT INTO {shape.table} ({names}) VALUES ({parameters})", copies)


def copy_row(row: dict[str, Any], shape: Shape, new_keys: dict[UUID, UUID], now: datetime) -> dict[str, Any]:
    """Return the copy of a row with new keys, and add its key to `new_keys`."""
    for name in shape.references:
        row[name] = new_keys.get(row[name]) if row[name] else None
    if shape.keyed:
        row["id"] = new_keys.setdefault(row["id"], uuid4())
    for name, expression in shape.sets.items():
        constants: dict[str, object] = {"now()": now, "false": False, "NULL": None}
        row[name] = constants[expression] if expression in constants else f"Copy {row['id']}"
    return row


def prerequisites_first(rows: list[Any]) -> list[Any]:
    """Return the rows sorted so that schticks follow their prerequisites."""
    if not rows or "prerequisite_id" not in rows[0]:
        return rows
    ids = {row["id"] for row in rows}
    done: set[UUID] = set()
    ordered: list[Any] = []
    waiting = deque(rows)
    while waiting:
        row = waiting.popleft()
        prerequisite = row["prerequisite_id"]
        if prerequisite is None or prerequisite in done or prerequisite not in ids:
            done.add(row["id"])
            ordered.append(row)
        else:
            waiting.append(row)
    return ordered


class Orm(OwnConnection):
    """SQLAlchemy's ORM on psycopg, with models reflected from the database: one INSERT per object.

    It reads the template as objects with a query per table, creates a copy of every object, and flushes after every
    one, as an application does that saves each record before the next. It runs no validations.
    """

    name, label = "orm", "row by row, SQLAlchemy ORM, psycopg"
    flushes_every_row = True
    _engine: Engine
    _session: Session
    _models: dict[str, Any]
    _shapes: list[Shape]

    @override
    async def open(self, connection: Connection) -> None:
        self._shapes = await shapes(connection)
        self._engine = create_engine(self.url.replace("postgresql://", "postgresql+psycopg://", 1))
        base = automap_base()
        base.metadata.reflect(self._engine, only=[shape.table for shape in self._shapes] + ["active_storage_blobs"])
        base.prepare()
        self._models = {shape.table: base.classes[shape.table] for shape in self._shapes}

    @override
    async def begin(self, campaigns: int) -> None:
        self._session = Session(self._engine, autoflush=False)
        self._session.execute(text("SELECT 1"))

    @override
    async def make(self, campaigns: int) -> None:
        for _ in range(campaigns):
            self._clone()

    def _clone(self) -> None:
        new_keys: dict[UUID, UUID] = {}
        now = datetime.now(UTC).replace(tzinfo=None)
        for shape in self._shapes:
            model = self._models[shape.table]
            columns = [column.key for column in inspect(model).column_attrs]
            query = select(model).from_statement(
                text(f"SELECT t.* FROM {shape.table} t WHERE {shape.where.replace('$1', ':template')}")
            )
            objects = self._session.scalars(query, {"template": TEMPLATE_ID}).all()
            rows = [{name: getattr(row, name) for name in columns if name in shape.columns} for row in objects]
            for row in prerequisites_first(rows):
                self._session.add(model(**copy_row(row, shape, new_keys, now)))
                if self.flushes_every_row:
                    self._session.flush()
            self._session.flush()

    @override
    async def end(self, *, keep: bool) -> None:
        if keep:
            self._session.commit()
        self._session.close()

    @override
    async def close(self) -> None:
        self._engine.dispose()


class OrmBatched(Orm):
    """The same with one flush per table, which SQLAlchemy turns into multi-row INSERTs."""

    name, label = "orm_batched", "SQLAlchemy ORM, one flush per table, psycopg"
    flushes_every_row = False

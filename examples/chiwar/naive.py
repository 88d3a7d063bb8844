"""Clones the template row by row, as an application does through its ORM: the baseline of the benchmarks.

Every row takes the queries of its model's validations (referenced rows exist, unique values are new) and one INSERT.
A second pass of UPDATEs sets the prerequisites; images come last. The baseline is fair: an ORM already holds the
campaign, its owner and the blobs, so they are not loaded again; everything is one transaction; and the overhead of
the ORM's objects and callbacks is excluded.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from chiwar import ids
from chiwar.load import Connection


@dataclass
class _Copy:
    """The state of one clone: the connection, and the new keys of the template's rows."""

    conn: Connection
    campaign: UUID
    new_keys: dict[UUID, UUID] = field(default_factory=dict)
    statements: int = 0

    async def rows(self, sql: str, template: UUID | str) -> list[dict[str, Any]]:
        self.statements += 1
        return [dict(row) for row in await self.conn.fetch(sql, template)]

    async def insert(self, table: str, row: dict[str, Any], **changed: object) -> UUID | int:
        """Insert a row of the template with some columns changed, and return its new key."""
        now = datetime.now(UTC).replace(tzinfo=None)
        timestamps = {name: now for name in ("created_at", "updated_at") if name in row}
        values = row | timestamps | changed
        old = values.pop("id")
        if isinstance(old, UUID):
            values["id"] = uuid4()
        parameters = ", ".join(f"${number}" for number in range(1, len(values) + 1))
        self.statements += 1
        new: UUID | int = await self.conn.fetchval(
            f"INSERT INTO {table} ({', '.join(values)}) VALUES ({parameters}) RETURNING id",  # noqa: S608 (our names)
            *values.values(),
        )
        if isinstance(old, UUID) and isinstance(new, UUID):
            self.new_keys[old] = new
        return new

    async def check_exists(self, table: str, row_id: object) -> None:
        """Check that a row exists, as `belongs_to` does.

        Raises:
            LookupError: The row does not exist.
        """
        if row_id is None:
            return
        self.statements += 1
        if await self.conn.fetchval(f"SELECT 1 FROM {table} WHERE id = $1", row_id) is None:  # noqa: S608 (our names)
            raise LookupError(f"{table} has no row {row_id}")

    async def check_unique(self, table: str, **values: object) -> None:
        """Check that no row has these values, as `validates_uniqueness_of` does.

        Raises:
            ValueError: Another row has these values.
        """
        where = " AND ".join(f"{name} = ${number}" for number, name in enumerate(values, start=1))
        self.statements += 1
        sql = f"SELECT 1 FROM {table} WHERE {where} LIMIT 1"  # noqa: S608 (our names)
        if await self.conn.fetchval(sql, *values.values()) is not None:
            raise ValueError(f"{table} has such a row already: {values}")

    def new_id(self, old: UUID | None) -> UUID | None:
        """Return the new key of a template row; None if the row was not copied or `old` is None."""
        return self.new_keys.get(old) if old is not None else None


@dataclass(frozen=True)
class NaiveClone:
    """The id of the clone, and the number of statements that created it."""

    campaign_id: UUID
    statements: int


async def clone(
    conn: Connection,
    owner: UUID | str,
    name: str,
    *,
    template_id: UUID | str = ids.TEMPLATE_ID,
) -> NaiveClone:
    """Clone the template row by row in one transaction.

    Args:
        conn: A connection to the sample application.
        owner: The user who owns the clone and its characters.
        name: The name of the clone.
        template_id: The campaign to clone.

    Raises:
        LookupError: The template or the owner does not exist.
    """
    async with conn.transaction():
        copy = _Copy(conn, uuid4())
        templates = await copy.rows("SELECT * FROM campaigns WHERE id = $1", template_id)
        if not templates:
            raise LookupError(f"campaigns has no row {template_id}")
        await copy.check_exists("users", owner)
        now = datetime.now(UTC).replace(tzinfo=None)
        changed = {"user_id": owner, "name": name, "is_master_template": False, "seeded_at": now}
        new = await copy.insert("campaigns", templates[0], **changed)
        copy = _Copy(conn, UUID(str(new)), copy.new_keys, copy.statements)
        await _schticks(copy, template_id)
        await _children(copy, template_id, owner)
        await _joins(copy, template_id)
        await _images(copy)
        return NaiveClone(copy.campaign, copy.statements)


async def _schticks(copy: _Copy, template: UUID | str) -> None:
    schticks = await copy.rows("SELECT * FROM schticks WHERE campaign_id = $1 AND active", template)
    for row in schticks:
        key = {"category": row["category"], "name": row["name"], "campaign_id": copy.campaign}
        await copy.check_unique("schticks", **key)
        await copy.insert("schticks", row, campaign_id=copy.campaign, prerequisite_id=None)
    for row in schticks:
        prerequisite = copy.new_id(row["prerequisite_id"])
        if prerequisite is not None:
            copy.statements += 1
            sql = "UPDATE schticks SET prerequisite_id = $2 WHERE id = $1"
            await copy.conn.execute(sql, copy.new_id(row["id"]), prerequisite)


async def _children(copy: _Copy, template: UUID | str, owner: UUID | str) -> None:
    """Copy the rows that refer to the campaign directly: weapons, factions, junctures and characters."""
    for row in await copy.rows("SELECT * FROM weapons WHERE campaign_id = $1 AND active", template):
        await copy.check_unique("weapons", campaign_id=copy.campaign, name=row["name"])
        await copy.insert("weapons", row, campaign_id=copy.campaign)
    for row in await copy.rows("SELECT * FROM factions WHERE campaign_id = $1 AND active", template):
        await copy.insert("factions", row, campaign_id=copy.campaign)
    for row in await copy.rows("SELECT * FROM junctures WHERE campaign_id = $1 AND active", template):
        await _insert_with(copy, "junctures", row, {"faction_id": "factions"})
    parents = {"faction_id": "factions", "juncture_id": "junctures", "equipped_weapon_id": "weapons"}
    sql = "SELECT * FROM characters WHERE campaign_id = $1 AND is_template AND active"
    for row in await copy.rows(sql, template):
        await _insert_with(copy, "characters", row, parents, user_id=owner, notion_page_id=None)


async def _insert_with(
    copy: _Copy, table: str, row: dict[str, Any], parents: dict[str, str], **changed: object
) -> None:
    """Insert a row whose optional `parents` (column → table) become the rows of the clone."""
    for column, parent in parents.items():
        changed[column] = copy.new_id(row[column])
        await copy.check_exists(parent, changed[column])
    await copy.insert(table, row, campaign_id=copy.campaign, **changed)


async def _joins(copy: _Copy, template: UUID | str) -> None:
    for table, column, parent in (
        ("character_schticks", "schtick_id", "schticks"),
        ("carries", "weapon_id", "weapons"),
    ):
        sql = (
            f"SELECT x.* FROM {table} x JOIN characters c ON c.id = x.character_id"  # noqa: S608 (our names)
            " WHERE c.campaign_id = $1 AND c.is_template AND c.active"
        )
        for row in await copy.rows(sql, template):
            character, other = copy.new_id(row["character_id"]), copy.new_id(row[column])
            if character is None or other is None:
                continue
            pair = {"character_id": character, column: other}
            await copy.check_exists("characters", character)
            await copy.check_exists(parent, other)
            if table == "character_schticks":
                await copy.check_unique(table, **pair)
            await copy.insert(table, row, **pair)


async def _images(copy: _Copy) -> None:
    """Copy the image positions and the attachments of all copied rows; attachments share the template's blobs."""
    for old, new in list(copy.new_keys.items()):
        positions = "SELECT * FROM image_positions WHERE positionable_id = $1"
        for row in await copy.rows(positions, old):
            key = {name: row[name] for name in ("positionable_type", "context")} | {"positionable_id": new}
            await copy.check_unique("image_positions", **key)
            await copy.insert("image_positions", row, positionable_id=new)
        attachments = "SELECT * FROM active_storage_attachments WHERE record_id = $1"
        for row in await copy.rows(attachments, old):
            await copy.insert("active_storage_attachments", row, record_id=new)

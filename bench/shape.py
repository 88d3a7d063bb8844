"""The rows of a clone of the sample application, for strategies that do not read the blueprint."""

from dataclasses import dataclass, field

from campaignpool.ledger.database import Connection

RECORDS = ("campaigns", "factions", "junctures", "weapons", "schticks", "characters")
"""Tables whose rows other rows refer to, including polymorphic references."""

_OF_COPIED_CHARACTER = (
    "EXISTS (SELECT FROM characters c"
    " WHERE c.id = t.character_id AND c.campaign_id = $1 AND c.is_template AND c.active)"
)


def _of_records(kind: str, column: str) -> str:
    """Return the condition that a polymorphic reference, which is indexed, refers to a copied row."""
    parts = [f"SELECT '{_TYPES[table]}', t.id FROM {table} t WHERE {_WHERE[table]}" for table in RECORDS]
    return f"(t.{kind}, t.{column}) IN ({' UNION ALL '.join(parts)})"


_TYPES = {table: table.removesuffix("s").capitalize() for table in RECORDS}
_WHERE = {
    "campaigns": "t.id = $1",
    **dict.fromkeys(("factions", "junctures", "weapons", "schticks"), "t.campaign_id = $1 AND t.active"),
    "characters": "t.campaign_id = $1 AND t.is_template AND t.active",
    "character_schticks": (
        f"{_OF_COPIED_CHARACTER} AND EXISTS (SELECT FROM schticks s WHERE s.id = t.schtick_id AND s.active)"
    ),
    "carries": f"{_OF_COPIED_CHARACTER} AND EXISTS (SELECT FROM weapons w WHERE w.id = t.weapon_id AND w.active)",
}
_WHERE["image_positions"] = _of_records("positionable_type", "positionable_id")
_WHERE["active_storage_attachments"] = _of_records("record_type", "record_id")

_REFERENCES = {
    "campaigns": (),
    "factions": ("campaign_id",),
    "junctures": ("campaign_id", "faction_id"),
    "weapons": ("campaign_id",),
    "schticks": ("campaign_id", "prerequisite_id"),
    "characters": ("campaign_id", "faction_id", "juncture_id", "equipped_weapon_id"),
    "character_schticks": ("character_id", "schtick_id"),
    "carries": ("character_id", "weapon_id"),
    "image_positions": ("positionable_id",),
    "active_storage_attachments": ("record_id",),
}
_SETS = {
    "campaigns": {
        "name": "'Copy ' || c.id",
        "is_master_template": "false",
        "active": "false",
        "seeded_at": "now()",
        "created_at": "now()",
        "updated_at": "now()",
    },
    "characters": {"notion_page_id": "NULL"},
}


@dataclass(frozen=True)
class Shape:
    """How the rows of one table are copied.

    Attributes:
        table: Its name.
        where: The condition on the rows `t` to copy; `$1` is the template.
        columns: The columns to insert, without a bigint key, which the database draws.
        references: The columns among them that refer to copied rows; all are uuids.
        sets: The columns among them that get a new value, as SQL in which `c.id` is the new campaign.
    """

    table: str
    where: str
    columns: tuple[str, ...]
    references: tuple[str, ...]
    sets: dict[str, str] = field(default_factory=dict)

    @property
    def keyed(self) -> bool:
        """Whether the key is a uuid, which the strategy draws."""
        return "id" in self.columns


async def shapes(connection: Connection) -> list[Shape]:
    """Return the tables in the order of insertion, with the columns they have in the database."""
    rows = await connection.fetch(
        "SELECT table_name AS table, array_agg(column_name::text ORDER BY ordinal_position) AS columns"
        " FROM information_schema.columns"
        " WHERE table_schema = 'public' AND NOT (column_name = 'id' AND data_type = 'bigint') GROUP BY 1"
    )
    columns = {row["table"]: tuple(row["columns"]) for row in rows}
    return [
        Shape(table, _WHERE[table], columns[table], references, _SETS.get(table, {}))
        for table, references in _REFERENCES.items()
    ]

"""Creates the sample application's tables and fills them."""

from dataclasses import dataclass
from importlib import resources
from random import Random
from typing import TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from chiwar import ids, words
from chiwar.rows import COLUMNS, Rows, Size, add_campaign, add_people

# Quoted because these classes are generic in the stubs only.
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"

# Tables whose keys the generator draws instead of their sequence.
_SEQUENCES = ("active_storage_blobs",)


class AlreadyThereError(RuntimeError):
    """The database already has tables of the sample application; it was not changed."""


@dataclass(frozen=True)
class Counts:
    """The numbers of rows.

    Attributes:
        loaded: Loaded rows by table, of all campaigns.
        clone: Rows by table of a clone of the template.
    """

    loaded: dict[str, int]
    clone: dict[str, int]


async def load(conn: Connection, *, scale: float = 1.0, campaigns: int = 0, seed: int = 1) -> Counts:
    """Create the schema, the master template and other users' campaigns in one transaction, then ANALYZE.

    Args:
        conn: A connection; the tables are created in the first schema of its search path.
        scale: The size of every campaign; 1.0 is the size of a real one (1,978 rows in a clone).
        campaigns: The number of other users' campaigns, each as large as the template.
        seed: The same seed creates the same rows, including ids and times. The ids of `chiwar.ids` do not
            depend on it.

    Raises:
        AlreadyThereError: One of the tables exists.
        ValueError: `scale` is not positive or `campaigns` is negative.
    """
    if scale <= 0 or campaigns < 0:
        raise ValueError("scale must be greater than 0, and campaigns 0 or more")
    existing = await conn.fetchval(
        "SELECT string_agg(name, ', ') FROM unnest($1::text[]) AS name WHERE to_regclass(name) IS NOT NULL",
        list(COLUMNS),
    )
    if existing:
        raise AlreadyThereError(f"the database already has these tables: {existing}")
    size = Size.of(scale)
    rows = Rows(Random(seed))  # noqa: S311 (sample data must be reproducible)
    players = add_people(rows, campaigns)
    add_campaign(rows, ids.TEMPLATE_ID, ids.TEMPLATE_OWNER_ID, "Master Template", size, players[:4], template=True)
    for number, name in enumerate(words.names(rows.rng, campaigns), start=1):
        owner, party = ids.other_owner_id(number), rows.rng.sample(players, 4)
        add_campaign(rows, ids.other_campaign_id(number), owner, name, size, party, template=False)
    async with conn.transaction():
        await conn.execute(resources.files("chiwar").joinpath("schema.sql").read_text())
        for table, columns in COLUMNS.items():
            await conn.copy_records_to_table(table, records=rows.tables[table], columns=columns.split())
        for table in _SEQUENCES:
            last = len(rows.tables[table])
            await conn.fetchval("SELECT setval(pg_get_serial_sequence($1, 'id'), $2)", table, last)
        await conn.execute(
            "UPDATE users SET current_campaign_id = (SELECT campaign_id FROM campaign_memberships m"
            " WHERE m.user_id = users.id ORDER BY campaign_id LIMIT 1)"
        )
    # Without statistics Postgres plans for empty tables.
    await conn.execute("ANALYZE")
    return Counts({table: len(table_rows) for table, table_rows in rows.tables.items()}, _clone(size))


def _clone(size: Size) -> dict[str, int]:
    imaged = 1 + size.schticks + size.weapons + size.factions + size.junctures + size.templates
    return {
        "campaigns": 1,
        "schticks": size.schticks,
        "weapons": size.weapons,
        "factions": size.factions,
        "junctures": size.junctures,
        "characters": size.templates,
        "character_schticks": min(size.known, size.templates * size.schticks),
        "carries": min(size.carries, size.templates * size.weapons),
        "image_positions": min(size.positions, 4 * imaged),
        "active_storage_attachments": imaged,
    }

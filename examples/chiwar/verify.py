"""Checks in plain SQL whether a campaign is a complete and correct clone of the template."""

from importlib import resources
from uuid import UUID

from chiwar import ids
from chiwar.load import Connection


async def check_clone(
    conn: Connection, campaign_id: UUID | str, *, template_id: UUID | str = ids.TEMPLATE_ID, images: bool = True
) -> list[str]:
    """Compare a campaign with the current template by natural keys, table by table.

    A clone has the template's active schticks (with prerequisites among them), weapons, factions, junctures and
    template characters, with the schticks they know and the weapons they carry or have equipped; the positions of
    their images; and attachments of the template's blobs or of copies of them. Its name, its user, the users of its
    characters and all times may differ. It has no other rows, and no row refers to another campaign.

    `images=False` ignores attachments, because copied images follow the other rows later.

    Returns:
        A sentence for each kind of fault, which starts with the table or column; empty if the clone is complete.
    """
    if not await conn.fetchval("SELECT EXISTS (SELECT 1 FROM campaigns WHERE id = $1)", template_id):
        return [f"campaigns: there is no template {template_id}"]
    if not await conn.fetchval("SELECT EXISTS (SELECT 1 FROM campaigns WHERE id = $1)", campaign_id):
        return [f"campaigns: there is no campaign {campaign_id}"]
    faults = [str(row["fault"]) for row in await conn.fetch(_sql("verify"), campaign_id, template_id)]
    return [fault for fault in faults if images or not fault.startswith("active_storage_attachments:")]


async def half_campaigns(conn: Connection, *, template_id: UUID | str = ids.TEMPLATE_ID) -> list[str]:
    """Return the campaigns that have fewer or more rows than a clone of the template.

    Ignores the template and the campaigns that `load` created for other users. Also finds positions and attachments
    whose record is deleted, which a partly deleted campaign would leave behind.

    Returns:
        A line for each such campaign with its actual and expected rows, and a line for each kind of orphaned row;
        empty if every campaign is complete.
    """
    campaigns = await conn.fetchval("SELECT count(*) FROM campaigns")
    sample = [ids.other_campaign_id(number) for number in range(1, campaigns)]
    return [str(row[0]) for row in await conn.fetch(_sql("half"), template_id, sample)]


def _sql(name: str) -> str:
    return resources.files("chiwar").joinpath(f"{name}.sql").read_text()

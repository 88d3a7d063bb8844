"""Is a campaign a whole and correct clone of the template? Says so in plain SQL, whatever made the clone."""

from importlib import resources
from uuid import UUID

from chiwar import ids
from chiwar.load import Connection


async def check_clone(
    conn: Connection, campaign_id: UUID | str, *, template_id: UUID | str = ids.TEMPLATE_ID, images: bool = True
) -> list[str]:
    """Compare a campaign with the template as it is now, by natural keys, table by table.

    A clone has the template's active schticks (with the prerequisites among them), weapons, factions,
    junctures and template characters with what these know, carry and have equipped; the positions of their
    images, and attachments of the template's blobs, or of copies of them. It is free in its name, its user, the
    users of its characters, and all times. It has nothing else, and no row ties it to another campaign.

    With `images=False` attachments are left out: where images are copied, they follow the other rows.

    Returns:
        A sentence for each kind of fault, the table or column first; empty when the clone is whole.
    """
    if not await conn.fetchval("SELECT EXISTS (SELECT 1 FROM campaigns WHERE id = $1)", template_id):
        return [f"campaigns: there is no template {template_id}"]
    if not await conn.fetchval("SELECT EXISTS (SELECT 1 FROM campaigns WHERE id = $1)", campaign_id):
        return [f"campaigns: there is no campaign {campaign_id}"]
    faults = [str(row["fault"]) for row in await conn.fetch(_sql("verify"), campaign_id, template_id)]
    return [each for each in faults if images or not each.startswith("active_storage_attachments:")]


async def half_campaigns(conn: Connection, *, template_id: UUID | str = ids.TEMPLATE_ID) -> list[str]:
    """Find campaigns that have only a part of the template's rows, or more than these.

    Looks at all campaigns but the template and those that `load` made for other people; and at positions and
    attachments whose record is gone, as a campaign that was deleted in part would leave them.

    Returns:
        A line for each such campaign with what it has and should have, and one for each kind of row left
        behind; empty when every campaign is whole.
    """
    campaigns = await conn.fetchval("SELECT count(*) FROM campaigns")
    sample = [ids.other_campaign_id(number) for number in range(1, campaigns)]
    return [str(row[0]) for row in await conn.fetch(_sql("half"), template_id, sample)]


def _sql(name: str) -> str:
    return resources.files("chiwar").joinpath(f"{name}.sql").read_text()

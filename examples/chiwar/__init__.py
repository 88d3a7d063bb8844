"""The sample application: a game with campaigns, in the schema of a typical Rails application.

counts = await chiwar.load(connection, campaigns=3)
faults = await chiwar.check_clone(connection, campaign_id)
"""

from chiwar.ids import NEW_USER_ID, NEW_USERS, RETURNING_USERS, TEMPLATE_ID, TEMPLATE_OWNER_ID
from chiwar.load import AlreadyThereError, Counts, load
from chiwar.verify import check_clone, half_campaigns

__all__ = [
    "NEW_USERS",
    "NEW_USER_ID",
    "RETURNING_USERS",
    "TEMPLATE_ID",
    "TEMPLATE_OWNER_ID",
    "AlreadyThereError",
    "Counts",
    "check_clone",
    "half_campaigns",
    "load",
]

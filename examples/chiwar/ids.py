"""The fixed ids of the sample application, which documentation, manifests and tests refer to."""

from uuid import UUID

TEMPLATE_ID = UUID("7e3f1a2b-0c4d-4e5f-8a6b-9c0d1e2f3a4b")
"""The master template: the only campaign with `is_master_template`."""

TEMPLATE_OWNER_ID = UUID("a1d0c7e5-5b1e-4b0a-9d53-0f6e2c8b4a10")
"""The owner of the template and of every campaign in the master pool."""

RETURNING_USERS = (
    UUID("b2a1f0c4-17d3-4c6e-8f29-5d40e7a3c921"),
    UUID("b2d9e836-62c0-4f71-a5b8-31c70f9e4d22"),
)
"""Gamemasters who return for another campaign and have their own pools."""

NEW_USERS = (
    UUID("c3f46a91-8e05-4d2b-b7c6-2a9d51e0f831"),
    UUID("c3187d5e-40b9-4a6c-9e13-6f82c4d7b032"),
    UUID("c35c92e0-d71f-4b84-8a50-e3b6097f1c33"),
    UUID("c3e07b48-2f96-4c1d-a6d4-80f5ae13b934"),
    UUID("c39ad3f7-b562-4e08-92cb-174e60dc8f35"),
)
"""Gamemasters who signed up and have no campaign yet."""

NEW_USER_ID = NEW_USERS[0]
"""The new gamemaster of the demo."""


def other_campaign_id(number: int) -> UUID:
    """Return the id of another user's campaign; `number` starts at 1."""
    return UUID(f"{0x0CA30000 + number:08x}-5b1d-4c2e-9f60-7a8b9c0d1e2f")


def other_owner_id(number: int) -> UUID:
    """Return the id of that campaign's owner; `number` starts at 1, and the first two are the returning users."""
    if number <= len(RETURNING_USERS):
        return RETURNING_USERS[number - 1]
    return UUID(f"{0x0E5E0000 + number:08x}-3c4d-4b5a-8e6f-1a2b3c4d5e6f")

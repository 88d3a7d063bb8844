"""The client for Python applications: import everything from here."""

from campaignpool.client.client import Claim, Client, Health, Peek
from campaignpool.client.errors import (
    ClaimantMissing,
    ClaimError,
    InvalidArgument,
    KeyConflict,
    NotReleasable,
    PoolEmpty,
    PoolPaused,
    PoolUnknown,
    SchemaOutdated,
    Unreachable,
)

__all__ = [
    "Claim",
    "ClaimError",
    "ClaimantMissing",
    "Client",
    "Health",
    "InvalidArgument",
    "KeyConflict",
    "NotReleasable",
    "Peek",
    "PoolEmpty",
    "PoolPaused",
    "PoolUnknown",
    "SchemaOutdated",
    "Unreachable",
]

"""The errors that `campaignpool.client` raises.

ClaimError                    what was refused, with a hint
├── PoolUnknown               CP001  no such pool, or it is being deleted
├── PoolEmpty                 CP002  nothing is ready
├── ClaimantMissing           CP003  no claimant
├── KeyConflict               CP004  the key belongs to another claim
├── PoolPaused                CP005  nothing is ready, and the pool is paused
├── NotReleasable             CP006  the claim cannot be taken back, or is none
├── InvalidArgument           CP007  another argument is invalid
├── SchemaOutdated            the schema campaign_pool is of an older release
└── Unreachable               no connection, or too busy, for as long as `patience` lasts
"""

from typing import ClassVar

import asyncpg

from campaignpool.errors import CampaignPoolError


class ClaimError(CampaignPoolError):
    """A call was refused.

    Attributes:
        hint: How to fix it.
        key: The key of the failed claim; None for other calls. The same key is safe to use again.
        sqlstate: The database's code.
        retry: Whether the same thing may succeed later.
    """

    default_reason = "ClaimFailed"
    retry = False
    sqlstate: ClassVar[str | None] = None

    def __init__(self, message: str, *, hint: str | None = None, key: str | None = None) -> None:
        super().__init__(message, reason=type(self).__name__)
        self.hint = hint
        self.key = key


class PoolUnknown(ClaimError):
    """There is no such pool, or it is being deleted."""

    sqlstate = "CP001"


class PoolEmpty(ClaimError):
    """No campaign is ready, and the pool makes none on demand."""

    sqlstate = "CP002"
    retry = True


class ClaimantMissing(ClaimError):
    """The claimant is empty."""

    sqlstate = "CP003"


class KeyConflict(ClaimError):
    """The key belongs to a claim of another claimant or pool, or to one that was released."""

    sqlstate = "CP004"


class PoolPaused(ClaimError):
    """No campaign is ready, and none will be as long as the pool is paused."""

    sqlstate = "CP005"
    retry = True


class NotReleasable(ClaimError):
    """The campaign was not claimed from a pool, or its claim can no longer be taken back."""

    sqlstate = "CP006"


class InvalidArgument(ClaimError):
    """An argument is invalid: the message says which."""

    sqlstate = "CP007"


class SchemaOutdated(ClaimError):
    """The schema `campaign_pool` is of an older release that lacks this function."""

    sqlstate = "42883"


class Unreachable(ClaimError):
    """The database was not reached, or was too busy, for as long as the client's patience lasts.

    Whether a claim came through is not known: `key` gives its campaign if it did, and claims one if it did not.
    """

    retry = True


_KINDS = {
    str(kind.sqlstate): kind
    for kind in (
        PoolUnknown,
        PoolEmpty,
        ClaimantMissing,
        KeyConflict,
        PoolPaused,
        NotReleasable,
        InvalidArgument,
    )
}


def typed(error: asyncpg.PostgresError, key: str | None) -> ClaimError | None:
    """Return our error for one of the database's; None for one that is not about claims."""
    message, hint = str(error.args[0]), getattr(error, "hint", None)
    # An error with a context was raised inside a function, by an expression of the blueprint, not by this call.
    if error.sqlstate == SchemaOutdated.sqlstate and getattr(error, "context", None) is None:
        return SchemaOutdated(message, hint="The operator upgrades the schema: run its latest release.", key=key)
    kind = _KINDS.get(error.sqlstate or "")
    return kind(message, hint=hint, key=key) if kind else None

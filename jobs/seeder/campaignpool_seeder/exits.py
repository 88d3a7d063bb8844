"""Exit codes of the Jobs' containers, with the names of sysexits.h."""

from campaignpool.errors import CampaignPoolError, SeedingError

EX_DATAERR, EX_TEMPFAIL, EX_CONFIG = 65, 75, 78


def exit_code(error: CampaignPoolError) -> int:
    """Return the exit code for an error, which decides whether the Job retries its pod."""
    if isinstance(error, SeedingError):
        return EX_DATAERR
    return EX_TEMPFAIL if error.retry else EX_CONFIG

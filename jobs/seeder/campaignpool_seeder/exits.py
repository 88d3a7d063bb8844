"""What the exit code of a Job tells the one who looks after it; the names are those of sysexits.h."""

from campaignpool.errors import CampaignPoolError, SeedingError

EX_DATAERR, EX_TEMPFAIL, EX_CONFIG = 65, 75, 78


def exit_code(error: CampaignPoolError) -> int:
    """Give the code that tells the Job whether a retry can help."""
    if isinstance(error, SeedingError):
        return EX_DATAERR
    return EX_TEMPFAIL if error.retry else EX_CONFIG

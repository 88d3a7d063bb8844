"""Delays between retries, between looks at a bulk job, and before listings that lag behind copies. Pure."""

import random

from campaignpool.backoff import retry_delay

FIRST_SECONDS, LONGEST_SECONDS = 1.0, 300.0
"""Bounds of the delay before the second attempt, and of any delay."""

POLL_SECONDS = (2.0, 5.0, 15.0, 45.0, 135.0)
"""Delays before each look at a bulk job. With a listing of the source (one or two pages), the copy, and one or two
listings of the result, a folder costs at most 10 calls. A job of up to 3 minutes is awaited; a longer one is looked
at again under the image set's next lease."""

LIST_SECONDS = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0)
"""Delays before each listing of copied files: ImageKit does not document how far listings lag."""

BULK_LIST_SECONDS = (0.0, 5.0)
"""The same after a bulk job, which does not report its failures: a file that is missing then was not copied."""

UNKNOWN_SECONDS = 3.0
"""Least delay before repeating a copy whose outcome is unknown: by then a listing should show the copy."""


def full_jitter(failures: int, rng: random.Random, first: float = FIRST_SECONDS) -> float:
    """Return a random delay in seconds after so many failures, between 0 and a bound that doubles each time.

    Clients that failed together retry apart: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter
    """
    return rng.uniform(0, retry_delay(failures + 1, first, LONGEST_SECONDS))

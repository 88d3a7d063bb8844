"""How long to wait: between tries, between looks at a bulk job, and after a copy that is not listed yet. Pure."""

import random

FIRST_SECONDS, LONGEST_SECONDS = 1.0, 300.0
"""Bounds of the pause before the second try, and of any."""

POLL_SECONDS = (2.0, 5.0, 15.0, 45.0, 135.0)
"""Pauses before each look at a bulk job. With a listing of the source (one or two pages), the copy, and one or two
listings of the result, a folder costs at most 10 calls. A job of 3 minutes is waited for; a longer one is looked at
again with the album's next lease."""

LOOK_SECONDS = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0)
"""Pauses before each listing for files that were copied: nobody says how far lists are behind."""

BULK_LOOK_SECONDS = (0.0, 5.0)
"""The same after a bulk job: what is not there then was not copied, for a job does not tell of its failures."""

UNKNOWN_SECONDS = 3.0
"""Least pause before repeating a copy whose outcome is unknown: by then a list should show it, if it was made."""


def jittered(failures: int, chance: random.Random, first: float = FIRST_SECONDS) -> float:
    """Give the pause after so many failures, in seconds: anything from 0 to twice as long each time ("full jitter").

    Those that failed together come back apart: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter
    """
    return chance.uniform(0, min(LONGEST_SECONDS, first * 2.0 ** min(failures, 30)))

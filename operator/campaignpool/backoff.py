"""Exponential backoff, shared by the operator and the Jobs."""


def retry_delay(count: int, first: float, limit: float) -> float:
    """Return the seconds to wait after `count` failures in a row: `first`, doubled each time, at most `limit`.

    No failures, no delay.
    """
    return min(first * 2.0 ** min(count - 1, 60), limit) if count > 0 else 0.0

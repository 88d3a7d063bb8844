"""From claims to demand: retries and bursts of one claimant count once, so that they do not decide the size."""

from collections.abc import Iterable
from typing import NamedTuple

# Claims of one claimant within this many seconds that count as demand.
CLAIMANT_CLAIMS, CLAIMANT_SECONDS = 5, 600.0


class Claim(NamedTuple):
    """A claim, or a try to claim that met an empty pool.

    Attributes:
        at: seconds since 1970.
        claimant: whom the campaign is for.
        key: the idempotency key: the tries with one key are one demand.
        released: whether the claimant gave the campaign back.
    """

    at: float
    claimant: str
    key: str
    released: bool = False


def demand(claims: Iterable[Claim]) -> list[float]:
    """Return when campaigns were needed, sorted, for `History`.

    The first try with a key counts, and not the later ones. A claim that was released is no demand. Of one claimant,
    CLAIMANT_CLAIMS within CLAIMANT_SECONDS count: a script or a double click is not a reason to keep campaigns ready.
    """
    keys: set[tuple[str, str]] = set()
    recent: dict[str, list[float]] = {}
    times: list[float] = []
    for claim in sorted(claims):
        if claim.released or (claim.claimant, claim.key) in keys:
            continue
        keys.add((claim.claimant, claim.key))
        of_claimant = [at for at in recent.get(claim.claimant, ()) if at > claim.at - CLAIMANT_SECONDS]
        if len(of_claimant) < CLAIMANT_CLAIMS:
            recent[claim.claimant] = [*of_claimant, claim.at]
            times.append(claim.at)
    return times

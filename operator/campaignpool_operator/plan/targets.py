"""How many campaigns each owner is to have; pure."""

from campaignpool.api.spec import CampaignPoolSpec


def shares(spec: CampaignPoolSpec) -> dict[str, int]:
    """Return how many campaigns each owner is to have within `maxSize`; the same spec gives the same shares.

    Targets that do not fit are scaled down: each owner gets its part of `maxSize`, rounded down, and what is left
    goes to the largest remainders, then by owner id.
    """
    targets = spec.targets()
    total = sum(targets.values())
    if total <= spec.max_size:
        return targets
    result = {owner: target * spec.max_size // total for owner, target in targets.items()}
    left = spec.max_size - sum(result.values())
    for owner in sorted(targets, key=lambda owner: (-(targets[owner] * spec.max_size % total), owner))[:left]:
        result[owner] += 1
    return result

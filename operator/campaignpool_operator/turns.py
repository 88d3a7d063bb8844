"""The seeding Jobs of all pools together: how many more a pool may create, and which pool is next.

What is counted here was observed by loops; after a restart it grows with the first loop of each pool.
"""

from collections.abc import Callable
from dataclasses import replace

from campaignpool_operator.facts import Observed
from campaignpool_operator.plan.actions import CreateJob
from campaignpool_operator.plan.plan import Plan


class Turns:
    """Which pools may create how many Jobs, in turns.

    Args:
        most: Most Jobs of all pools together.
        request: Called with the key of a pool whose loop is needed: its turn has come, or its idle Jobs are to end.
    """

    def __init__(self, most: int, request: Callable[[str], None]) -> None:
        self._most, self._request = most, request
        self._jobs: dict[str, int] = {}
        self._idle: set[str] = set()
        self._waiting: dict[str, None] = {}

    def take(self, observed: Observed) -> Observed:
        """Return what was observed with the number of Jobs that the pool may create; they are its own until `settle`.

        Pools that have waited for longer are left one Job each.
        """
        if observed.ledger is None:
            return observed
        key, active = observed.pool.key, sum(job.active for job in observed.jobs)
        waiting = list(self._waiting)
        ahead = waiting.index(key) if key in self._waiting else len(waiting)
        self._jobs[key] = active
        free = max(0, self._most - sum(self._jobs.values()) - ahead)
        self._jobs[key] += free
        return replace(observed, free_jobs=free, others_wait=any(other != key for other in waiting))

    def settle(self, observed: Observed, todo: Plan) -> None:
        """Record which Jobs a pool has after its loop, and ask for the loops of the pools that are next."""
        if observed.ledger is None:
            return
        key = observed.pool.key
        created = sum(isinstance(action, CreateJob) for action in todo.actions)
        idle = todo.idle > 0 and not observed.others_wait  # else they are ending
        self._set(key, sum(job.active for job in observed.jobs) + created, waits=todo.waits, idle=idle)

    def forget(self, key: str) -> None:
        """Forget a pool that is gone."""
        self._set(key, 0, waits=False, idle=False)
        del self._jobs[key]

    def _set(self, key: str, jobs: int, *, waits: bool, idle: bool) -> None:
        self._jobs[key] = jobs
        (self._idle.add if idle else self._idle.discard)(key)
        if waits:
            self._waiting.setdefault(key)
        else:
            self._waiting.pop(key, None)
        waiting, free = list(self._waiting), self._most - sum(self._jobs.values())
        following = waiting[:free] if free > 0 else sorted(self._idle)[: len(waiting)]
        for other in following:
            if other != key:
                self._request(other)

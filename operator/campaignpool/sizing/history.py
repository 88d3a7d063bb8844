"""Past demand: when campaigns were claimed, and how often within a window."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import accumulate, repeat
from operator import sub
from zoneinfo import ZoneInfo

MINUTE = 60.0
DAY = 86_400.0
WEEK = 7 * DAY


class History:
    """Claims by time, in seconds since 1970. Every count ends before the moment that the caller names.

    Args:
        times: when claims came, sorted.
        counts: how many came at each of the times; 1 by default.
        zone: name of the local clock's time zone, as in the IANA database.
        gaps: periods (since, until) in which demand is not known, because the pool was paused or broken.
    """

    def __init__(
        self,
        times: Sequence[float] = (),
        counts: Iterable[int] | None = None,
        *,
        zone: str = "UTC",
        gaps: Iterable[tuple[float, float]] = (),
    ) -> None:
        self._times: list[float] = []
        self._before = [0]
        self._minutes = [0]
        self._first = 0
        self._zone = ZoneInfo(zone)
        self._offsets: dict[int, float] = {}
        self._gaps = sorted(gaps)
        self.start = float("inf")
        self.extend(times, counts)

    def extend(self, times: Sequence[float], counts: Iterable[int] | None = None) -> None:
        """Add claims that are not earlier than those there are."""
        if not times:
            return
        if not self._times:
            self.start, self._first = times[0], int(times[0] // MINUTE)
        self._times.extend(times)
        self._before.extend(accumulate(counts or repeat(1, len(times)), initial=self._before.pop()))
        # Claims before each whole minute, so that counts of whole minutes need no search.
        index = bisect_left(self._times, (self._first + len(self._minutes)) * MINUTE)
        for minute in range(self._first + len(self._minutes), int(self._times[-1] // MINUTE) + 1):
            while self._times[index] < minute * MINUTE:
                index += 1
            self._minutes.append(self._before[index])

    def replace(self, since: float, times: Sequence[float], counts: Iterable[int] | None = None) -> None:
        """Replace the claims from `since` on: some were recorded late, others were released."""
        index = bisect_left(self._times, since)
        del self._times[index:], self._before[index + 1 :]
        if not index:
            self.start, self._minutes = float("inf"), [0]
        del self._minutes[max(1, int(since // MINUTE) - self._first + 1) :]
        self.extend(times, counts)

    def set_gaps(self, gaps: Iterable[tuple[float, float]]) -> None:
        """Replace the periods in which demand is not known."""
        self._gaps = sorted(gaps)

    def count(self, since: float, until: float) -> int:
        """Return the number of claims in [since, until)."""
        times = self._times
        return self._before[bisect_left(times, until)] - self._before[bisect_left(times, since)]

    def count_minutes(self, since: float, until: float) -> int:
        """Return the number of claims in [since, until), both whole minutes."""
        return self._before_minute(int(until // MINUTE)) - self._before_minute(int(since // MINUTE))

    def by_minute(self, since: float, until: float) -> list[int]:
        """Return the number of claims in each minute of [since, until), both whole minutes."""
        first, last = int(since // MINUTE) - self._first, int(until // MINUTE) - self._first + 1
        inside = self._minutes[max(first, 0) : max(last, 0)]
        before = [*[0] * (min(last, 0) - min(first, 0)), *inside]
        before += [self._before[-1]] * (last - first - len(before))
        return list(map(sub, before[1:], before))

    def _before_minute(self, minute: int) -> int:
        position = minute - self._first
        if position <= 0:
            return 0
        return self._minutes[position] if position < len(self._minutes) else self._before[-1]

    def between(self, since: float, until: float) -> Iterator[tuple[float, int]]:
        """Return the claims in [since, until): when, and how many at that moment."""
        for index in range(bisect_left(self._times, since), bisect_left(self._times, until)):
            yield self._times[index], self._before[index + 1] - self._before[index]

    def is_known(self, since: float, until: float) -> bool:
        """Return whether no gap overlaps [since, until]."""
        if not self._gaps:
            return True
        latest = bisect_right(self._gaps, (until, float("inf"))) - 1
        return latest < 0 or max(end for _, end in self._gaps[: latest + 1]) <= since

    def known_seconds(self, since: float, until: float) -> float:
        """Return how much of [since, until) demand is known of, in seconds. Overlapping gaps count once."""
        known, reached = until - since, since
        for start, end in self._gaps:
            lost = min(end, until) - max(start, reached)
            if lost > 0:
                known -= lost
                reached = max(reached, min(end, until))
        return known

    def same_local_time(self, moment: float, *, days: int) -> float:
        """Return the moment `days` days earlier that has the same time on the local clock."""
        earlier = moment - days * DAY
        return earlier + self._offset(moment) - self._offset(earlier)

    def _offset(self, moment: float) -> float:
        """Return the local clock's offset from UTC, in seconds. Offsets change at full quarters of an hour."""
        quarter = int(moment // 900)
        if quarter not in self._offsets:
            offset = datetime.fromtimestamp(quarter * 900, UTC).astimezone(self._zone).utcoffset()
            self._offsets[quarter] = offset.total_seconds() if offset else 0.0
        return self._offsets[quarter]

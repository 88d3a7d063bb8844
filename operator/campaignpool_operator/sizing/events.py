"""Known events of `spec.sizing.schedules`: when each begins and ends."""

from datetime import datetime, timedelta
from itertools import takewhile
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from campaignpool.api.sizing import Schedule, Sizing
from campaignpool.errors import ConfigurationError
from campaignpool.sizing.sizer import Event

HORIZON = timedelta(hours=25)
"""Events that begin later than this are not of interest yet."""


def zone_of(sizing: Sizing) -> ZoneInfo:
    """Return the time zone. Raise ConfigurationError for a name that is not in the IANA database."""
    try:
        return ZoneInfo(sizing.time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ConfigurationError(
            f"spec.sizing.timeZone: {sizing.time_zone} is no time zone of the IANA database: write a name such as "
            "Europe/Berlin",
            reason="SizingInvalid",
        ) from None


def events_of(sizing: Sizing, now: datetime) -> tuple[Event, ...]:
    """Return the events that last now or begin within HORIZON.

    Raises:
        ConfigurationError: A schedule or the time zone is invalid.
    """
    zone = zone_of(sizing)
    return tuple(
        Event(start.timestamp(), start.timestamp() + schedule.seconds, schedule.min_size)
        for schedule in sizing.schedules
        for start in _starts(schedule, now.astimezone(zone))
    )


def _starts(schedule: Schedule, now: datetime) -> list[datetime]:
    try:
        starts = CronSim(schedule.schedule, now - timedelta(seconds=schedule.seconds))
        return list(takewhile(lambda start: start <= now + HORIZON, starts))
    except CronSimError as error:
        raise ConfigurationError(
            f"spec.sizing.schedules, {schedule.name}: {schedule.schedule!r} is no cron expression ({error}): write "
            "five fields, such as 0 16 * * 5",
            reason="SizingInvalid",
        ) from None

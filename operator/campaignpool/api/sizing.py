"""The models of `spec.sizing`: the size of the master pool, found from the demand."""

from typing import Literal

from pydantic import ConfigDict, Field

from campaignpool.api.model import Model
from campaignpool.api.resource import FILLED, Duration, rules, seconds


class Schedule(Model):
    """A known event, such as a release or a class: from each time that the schedule names, the minimum is higher."""

    name: str = Field(min_length=1, max_length=63)
    """Name of the event."""
    schedule: str = Field(min_length=6, max_length=100)
    """When it starts, as a cron expression of five fields, in `timeZone`."""
    duration: Duration
    """How long it lasts."""
    min_size: int = Field(ge=1, le=1000)
    """Least size of the master pool from one lead time before its start to its end. A smaller one changes nothing."""

    @property
    def seconds(self) -> int:
        """How long it lasts, in seconds."""
        return seconds(self.duration)


class ScaleDown(Model):
    """How the size falls."""

    stabilization_window_seconds: int = Field(default=300, ge=0, le=86400)
    """A surplus is retired only when the size was lower for this long; until then claims may use it up."""


class Behavior(Model):
    """How the size changes. It rises at once."""

    scale_down: ScaleDown = Field(default_factory=ScaleDown, json_schema_extra=FILLED)
    """How the size falls."""


class Sizing(Model):
    """The size of the master pool, found from its demand."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            ("!has(self.maxSize) || self.minSize <= self.maxSize", "minSize must not exceed maxSize"),
        )
    )

    mode: Literal["Off", "Recommend", "Auto"] = "Recommend"
    """`Off`: nothing is computed. `Recommend`: `status.sizing` says which size the demand needs; the pool is kept at
    `size`. `Auto`: the pool is kept at that size; until there is a day of demand, at `size` at least."""
    availability: str = Field(default="99.9%", pattern=r"^[5-9][0-9](\.[0-9]{1,3})?%$", max_length=7)
    """Share of claims that find a ready campaign, over a week; from `50%` to `99.999%`."""
    min_size: int = Field(default=1, ge=0, le=1000)
    """Least size."""
    max_size: int | None = Field(default=None, ge=1, le=1000)
    """Largest size; by default what `spec.maxSize` leaves beside the owners."""
    time_zone: str = Field(default="UTC", min_length=1, max_length=64)
    """The clock that the users live by, as a name of the IANA database such as `Europe/Berlin`."""
    schedules: list[Schedule] = Field(
        default_factory=list,
        max_length=32,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    """Known events. They raise the minimum and never lower it; where several overlap, the largest counts."""
    behavior: Behavior = Field(default_factory=Behavior, json_schema_extra=FILLED)
    """How the size changes."""

    @property
    def share(self) -> float:
        """The availability as a number."""
        return float(self.availability.removesuffix("%")) / 100

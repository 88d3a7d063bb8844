"""Pictures of a replay: the frontier, a week, the steepest day, calibration, sizes by hour, the cost of targets."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.util import find_spec
from math import log10
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from campaignpool.errors import ConfigurationError
from campaignpool.sizing.compare import Demand, Outcome
from campaignpool.sizing.history import DAY, WEEK, History

TARGETS = (0.99, 0.999, 0.9999)
"""Shares of claims of which one picture shows the price."""

NAMES = ("frontier", "week", "launch", "calibration", "hours", "targets")

# Parts of the period that a picture of the stock shows.
_PARTS = 500
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_COLORS = {
    "fixed": "#555555",
    "buffer": "#d98c00",
    "season": "#3a7d44",
    "recent": "#8e5ea2",
    "sizing": "#c0392b",
    "oracle": "#2471a3",
}


def require() -> None:
    """Raise ConfigurationError if pictures cannot be drawn here."""
    if find_spec("matplotlib") is None:
        raise ConfigurationError("pictures need matplotlib: pip install 'campaignpool[pictures]'")


def draw(
    demand: Demand,
    table: Sequence[Outcome],
    targets: Sequence[Outcome],
    to: Path,
    suffix: str,
    names: Sequence[str] = NAMES,
) -> list[Path]:
    """Draw pictures into a directory, and return their files. The same replays make the same bytes.

    Args:
        demand: what was replayed.
        table: an outcome of each policy.
        targets: outcomes of the sizer, one for each of TARGETS.
        to: the directory.
        suffix: svg or png.
        names: of the pictures, from NAMES.
    """
    try:
        to.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"{to} cannot be made a directory: {error.strerror}") from error
    sizing = next(outcome for outcome in table if outcome.policy == "sizing")
    fixed = next(outcome for outcome in table if outcome.policy == "fixed")
    drawings: dict[str, Callable[[Any], None]] = {
        "frontier": lambda axes: _frontier(axes, table),
        "week": lambda axes: _stock(axes, demand, sizing, max(demand.since, demand.until - WEEK), WEEK),
        "launch": lambda axes: _stock(axes, demand, sizing, _steepest(demand) - DAY / 4, DAY),
        "calibration": lambda axes: _calibration(axes, demand, sizing),
        "hours": lambda axes: _hours(axes, demand, sizing),
        "targets": lambda axes: _targets(axes, targets, fixed),
    }
    return [_save(to / f"{name}.{suffix}", drawing) for name, drawing in drawings.items() if name in names]


@contextmanager
def _axes(path: Path) -> Iterator[Any]:
    import matplotlib as mpl  # noqa: PLC0415 (half a second that other commands need not wait for)

    mpl.use("svg" if path.suffix == ".svg" else "agg")
    mpl.rcParams["svg.hashsalt"] = "campaignpool"
    from matplotlib import pyplot as plt  # noqa: PLC0415 (after the backend is chosen)

    figure, axes = plt.subplots(figsize=(9, 4), layout="constrained")
    try:
        yield axes
        metadata = {"Date": None} if path.suffix == ".svg" else {"Software": None}
        figure.savefig(path, metadata=metadata, dpi=110)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}") from error
    finally:
        plt.close(figure)


def _save(path: Path, drawing: Callable[[Any], None]) -> Path:
    with _axes(path) as axes:
        drawing(axes)
        axes.title.set_fontsize(11)
    return path


def _frontier(axes: Any, table: Sequence[Outcome]) -> None:  # noqa: ANN401 (matplotlib is optional)
    """Draw misses on a logarithmic axis against idle, a line for each policy and a dot for its choice."""
    least = 0.5 / max(outcome.replay.claims for outcome in table)
    for outcome in table:
        points = sorted((idle, max(1 - hits, least)) for hits, idle in outcome.frontier)
        color = _COLORS[outcome.policy]
        axes.plot(*zip(*points, strict=True), color=color, alpha=0.6, linewidth=1.2)
        chosen = outcome.replay
        axes.plot([chosen.idle], [max(1 - chosen.hit_rate, least)], "o", color=color, label=outcome.policy)
    ticks = [10.0**-exponent for exponent in range(1, 1 - int(log10(least)))]
    axes.set_yscale("log")
    axes.set_ylim(1, least)
    axes.set_yticks([1, *ticks], ["0 %", *(f"{100 * (1 - tick):.6g} %" for tick in ticks)])
    axes.set_xlabel("ready campaigns on average")
    axes.set_ylabel("claims served from the pool")
    axes.set_title("What a share of claims costs")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)


def _stock(axes: Any, demand: Demand, sizing: Outcome, since: float, seconds: float) -> None:  # noqa: ANN401 (untyped)
    """Draw size, stock, demand and misses of a period."""
    since = min(max(since, demand.since), max(demand.since, demand.until - seconds))
    until = min(since + seconds, demand.until)
    width = (until - since) / _PARTS
    parts: dict[int, list[tuple[int, int]]] = {}
    for at, stock, size in sizing.replay.stock:
        if since <= at < until:
            parts.setdefault(int((at - since) / width), []).append((stock, size))
    times = [_local(demand, since + width * part) for part in parts]
    sizes = [max(size for _, size in samples) for samples in parts.values()]
    ready = [min(stock for stock, _ in samples) for samples in parts.values()]
    minutes = width / 60
    axes.step(times, sizes, where="post", color="#c0392b", linewidth=0.9, label=f"size (most of {minutes:.0f} min)")
    label = f"ready (least of {minutes:.0f} min)"
    axes.fill_between(times, ready, step="post", color="#2471a3", alpha=0.35, linewidth=0, label=label)
    history = History(demand.times)
    starts = [since + width * number for number in range(_PARTS)]
    claims = [history.count(start, start + width) * demand.refills.lead / width for start in starts]
    axes.step(
        [_local(demand, start) for start in starts],
        claims,
        where="post",
        color="#222222",
        linewidth=0.8,
        label="claims in a lead time",
    )
    missed = [_local(demand, at) for at in sizing.replay.missed_at if since <= at < until]
    axes.plot(missed, [0] * len(missed), "|", color="#ff0000", markersize=14, label=f"misses: {len(missed)}")
    axes.set_ylabel("campaigns")
    axes.set_title(f"Size, stock and misses, from {_local(demand, since):%d %B %Y %H:%M} ({demand.zone})")
    axes.tick_params(axis="x", labelsize=8)
    axes.legend(fontsize=8)


def _calibration(axes: Any, demand: Demand, sizing: Outcome) -> None:  # noqa: ANN401 (untyped)
    """Draw expected beside counted misses, by week."""
    places = range(len(sizing.weeks))
    axes.bar([place - 0.2 for place in places], [week.expected for week in sizing.weeks], 0.4, label="expected")
    axes.bar([place + 0.2 for place in places], [week.counted for week in sizing.weeks], 0.4, label="counted")
    allowed = [(1 - demand.availability) * week.claims for week in sizing.weeks]
    axes.plot(places, allowed, "_", color="#222222", markersize=40, label="allowed")
    axes.set_xticks(places, [f"{_local(demand, week.start):%d %b}" for week in sizing.weeks])
    axes.set_ylabel("misses of the week")
    axes.set_title("Misses that the sizing expects, and that come")
    axes.legend(fontsize=8)


def _hours(axes: Any, demand: Demand, sizing: Outcome) -> None:  # noqa: ANN401 (untyped)
    """Draw the mean size of each hour of the local week."""
    sums = [[0.0] * 24 for _ in _WEEKDAYS]
    counts = [[0] * 24 for _ in _WEEKDAYS]
    for at, _, size in sizing.replay.stock:
        local = _local(demand, at)
        sums[local.weekday()][local.hour] += size
        counts[local.weekday()][local.hour] += 1
    means = [
        [total / max(1, count) for total, count in zip(*rows, strict=True)] for rows in zip(sums, counts, strict=True)
    ]
    image = axes.imshow(means, aspect="auto", cmap="YlOrRd")
    axes.figure.colorbar(image, ax=axes, label="campaigns")
    axes.set_yticks(range(7), _WEEKDAYS)
    axes.set_xticks(range(0, 24, 2), [f"{hour}:00" for hour in range(0, 24, 2)])
    axes.set_title(f"Size by weekday and hour ({demand.zone})")


def _targets(axes: Any, targets: Sequence[Outcome], fixed: Outcome) -> None:  # noqa: ANN401 (untyped)
    """Draw the idle of each target."""
    names = [f"{100 * target:g} %" for target in TARGETS]
    bars = axes.bar(names, [outcome.replay.idle for outcome in targets], color="#c0392b", width=0.5)
    labels = [f"{outcome.replay.idle:.2f}\n({outcome.replay.hit_rate:.2%} reached)" for outcome in targets]
    axes.bar_label(bars, labels, fontsize=8)
    axes.axhline(fixed.replay.idle, color="#555555", linestyle="--", label=f"fixed {fixed.setting}")
    axes.set_ylabel("ready campaigns on average")
    axes.set_title("What each target costs")
    axes.margins(y=0.15)
    axes.legend(fontsize=8)


def _local(demand: Demand, at: float) -> datetime:
    """Return the local time without its zone, which axes would convert to UTC."""
    return datetime.fromtimestamp(at, UTC).astimezone(ZoneInfo(demand.zone)).replace(tzinfo=None)


def _steepest(demand: Demand) -> float:
    """Return the start of the quarter of an hour whose claims exceed those of the hour before it by most."""
    history = History(demand.times)
    quarters = [demand.since + 900 * number for number in range(int((demand.until - demand.since) // 900))]
    return max(quarters, key=lambda at: history.count(at, at + 900) - history.count(at - 3600, at) / 4)

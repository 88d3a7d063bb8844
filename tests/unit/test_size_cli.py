"""The command `campaignpool size simulate` on traces: table, verdict, pictures, wrong usage."""

import xml.etree.ElementTree as ET
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from campaignpool.cli import main, pictures
from campaignpool.cli.common import USAGE
from campaignpool.sizing import compare
from campaignpool.sizing.compare import Demand
from campaignpool.sizing.simulation import Refills
from campaignpool.sizing.trace import Bucket


@pytest.fixture
def busy_days(tmp_path: Path) -> Path:
    """Return a trace of six days: 60 claims an hour from 8 to 16, else 2."""
    path, random, start = tmp_path / "busy.csv", Random(4), datetime(2026, 1, 5, tzinfo=UTC)
    lines = ["start,seconds,count"]
    for hour in range(6 * 24):
        rate = 60 if 8 <= hour % 24 < 16 else 2
        count = sum(random.random() < rate / 600 for _ in range(600))
        lines.append(f"{(start + timedelta(hours=hour)).isoformat()},3600,{count}")
    path.write_text("\n".join(lines))
    return path


def test_policies_are_compared_and_drawn(busy_days: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    to = tmp_path / "pictures"
    arguments = ["--trace", str(busy_days), "--target", "99", "--lead", "60", "--svg", str(to)]
    assert main.main(["size", "simulate", *arguments]) == 0
    lines = capsys.readouterr().out.splitlines()
    table = {line.split()[0]: line.split() for line in lines[4:10]}
    assert lines[3].split() == ["POLICY", "SETTING", "HITS", "MISSES", "IDLE", "CREATED", "RETIRED"]
    assert list(table) == ["fixed", "buffer", "season", "recent", "sizing", "oracle"]
    idle = {policy: float(cells[-3]) for policy, cells in table.items()}
    hits = {policy: float(cells[-5].removesuffix("%")) for policy, cells in table.items()}
    assert hits["sizing"] >= 99
    assert idle["oracle"] < idle["sizing"] < 0.8 * idle["fixed"]
    assert any(line.startswith("Cheapest for 99 %: ") and "less than the best fixed size" in line for line in lines)
    assert {path.name for path in to.iterdir()} == {f"{name}.svg" for name in pictures.NAMES}
    for path in to.glob("*.svg"):
        assert ET.parse(path).getroot().tag.endswith("svg")  # noqa: S314 (drawn a moment ago)


def test_a_picture_can_be_a_png(tmp_path: Path) -> None:
    start = datetime(2026, 1, 5, tzinfo=UTC).timestamp()
    demand = Demand.of([Bucket(start, 7200, 40)], availability=0.9, refills=Refills(30))
    outcomes = [compare.run(policy, demand) for policy in ("fixed", "sizing")]
    (path,) = pictures.draw(demand, outcomes, [], tmp_path, "png", ["week"])
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--trace", "no.csv"), "no.csv cannot be read"),
        (("--trace", "no.csv", "--target", "12"), "a percentage from 50 to below 100"),
        (("--trace", "no.csv", "--time-zone", "Middle/Earth"), "a time zone of the IANA database"),
        (("--trace", "no.csv", "--lead", "0"), "a number above 0"),
        (("--trace", "no.csv", "--jobs", "x"), "a number from 1 to 1000"),
        ((), "one of the arguments --trace --pool is required"),
    ],
)
def test_wrong_usage_is_named(arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        code = main.main(["size", "simulate", *arguments])
    except SystemExit as error:
        code = int(error.code or 0)
    assert code == USAGE
    assert message in capsys.readouterr().err


def test_pictures_without_their_library_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pictures, "find_spec", lambda _: None)
    assert main.main(["size", "simulate", "--trace", "no.csv", "--svg", "to"]) == USAGE
    assert "pip install 'campaignpool[pictures]'" in capsys.readouterr().err

"""`make demo ARGS=--once`: every step holds, and nothing is left running."""

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.support.clusters import limits

pytestmark = pytest.mark.integration


def processes_of(folder: Path) -> list[str]:
    """Return the command lines of processes that name the folder."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # it ended meanwhile
            continue
        lines.append(line)
    return [line for line in lines if str(folder) in line]


def test_demo_passes_and_leaves_no_process() -> None:
    # The server's unix user cannot enter pytest's tmp_path.
    with tempfile.TemporaryDirectory(prefix="campaignpool-demo-") as name:
        folder = Path(name) / "demo"
        command = [sys.executable, "-m", "chiwar.demo", "--once", "--scale", "0.2", "--campaigns", "2", "--folder"]
        shown = subprocess.run(
            [*command, name + "/demo"], capture_output=True, text=True, timeout=limits().timeout - 10, check=False
        )
        assert shown.returncode == 0, shown.stdout + shown.stderr
        assert "All checks passed." in shown.stdout
        assert "Traceback" not in (folder / "operator.log").read_text()
        assert processes_of(folder) == []


@pytest.mark.soak
@pytest.mark.timeout(420)
def test_the_size_follows_a_day_of_demand() -> None:
    with tempfile.TemporaryDirectory(prefix="campaignpool-demo-") as name:
        folder = Path(name) / "demo"
        command = [sys.executable, "-m", "chiwar.demo", "--sizing", "--day", "180", "--folder", str(folder)]
        shown = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
        assert shown.returncode == 0, shown.stdout + shown.stderr
        assert "ok: it grows before the peak" in shown.stdout
        assert (folder / "sizing.svg").read_text().count("<svg") == 1
        assert "Traceback" not in (folder / "operator.log").read_text()
        assert processes_of(folder) == []

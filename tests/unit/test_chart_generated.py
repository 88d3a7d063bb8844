"""What is generated of the chart is up to date."""

from pathlib import Path

import pytest

from tools import chart

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("path", chart.generated(ROOT), ids=str)
def test_generated_files_are_up_to_date(path: Path) -> None:
    assert (ROOT / path).read_text() == chart.generated(ROOT)[path], "run `make generate`"

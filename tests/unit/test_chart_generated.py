"""What is generated of the chart is up to date."""

import tomllib
from pathlib import Path

import pytest

from campaignpool_operator.runtime.config import DEFAULT_SEEDER_IMAGE, VERSION
from tools import chart

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("path", chart.generated(ROOT), ids=str)
def test_generated_files_are_up_to_date(path: Path) -> None:
    assert (ROOT / path).read_text() == chart.generated(ROOT)[path], "run `make generate`"


def test_wheel_images_and_chart_have_one_version() -> None:
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == VERSION
    assert f"campaignpool-seeder:{VERSION}" == DEFAULT_SEEDER_IMAGE
    for dockerfile in ("operator/Dockerfile", "jobs/seeder/Dockerfile"):
        assert f"ARG VERSION={VERSION}" in (ROOT / dockerfile).read_text()

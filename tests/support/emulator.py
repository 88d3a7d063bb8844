"""Fixtures: one Kubernetes API emulator per session, which the conformance suite runs against by default.

The files in `tests/conformance` are copied unchanged from another project. They read the address of the API from
the environment and import each other by bare names, so this module sets both up.

    pytest tests/conformance                            the essential tests, against the emulator
    pytest tests/conformance --all-conformance          all of them
    KUBE_API=http://... pytest tests/conformance        against another server (see the README there)
"""

import gc
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from campaignpool_local.emulator import Emulator, emulator_thread

SUITE = Path(__file__).parent.parent / "conformance"
_ESSENTIAL = SUITE / "essential.txt"
_BEYOND = {
    "TestPrinting::test_cells_of_a_suspended_job": "Jobs of several pods",
    "TestRunningJobs::test_indexed_job_gives_each_pod_its_index": "Jobs of several pods",
    "TestRunningJobs::test_running_pod_is_held_by_the_job": "the finalizer with which Jobs count their pods",
}
"""Tests of the suite that the emulator fails, and what it lacks; all others pass with `--all-conformance`."""
_IS_EXTERNAL = "KUBE_API" in os.environ

sys.path.append(str(SUITE))
if not _IS_EXTERNAL:
    os.environ.setdefault("KUBE_DEADLINE", "20")  # the suite reads it on import


@pytest.fixture(scope="session")
def emulator() -> Iterator[Emulator]:
    """Yield the API emulator; all tests share it, so a test that needs isolation creates its own namespace."""
    with emulator_thread(backoff=0.2) as running:
        yield running


@pytest.fixture(scope="session")
def conformance_server(request: pytest.FixtureRequest) -> None:
    """Point the suite at the emulator, unless the environment names another server."""
    if not _IS_EXTERNAL:
        running: Emulator = request.getfixturevalue("emulator")
        os.environ["KUBE_API"] = running.url


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    """Collect the clients that the suite leaves open, so that no later test gets their ResourceWarning."""
    if item.path.parent == SUITE and "TestAccess" in item.nodeid:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--all-conformance",
        action="store_true",
        help="run the whole conformance suite, not only the tests in tests/conformance/essential.txt",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the tests of the suite that are not essential, and start the server before the others' fixtures."""
    essential = set(_ESSENTIAL.read_text().split())
    selected, deselected = [], []
    for item in items:
        if item.path.parent == SUITE and isinstance(item, pytest.Function):
            item.fixturenames.insert(0, "conformance_server")
            item.add_marker(pytest.mark.filterwarnings("ignore::ResourceWarning"))
            name = f"{item.cls.__name__}::{item.originalname}"
            if name in _BEYOND and not _IS_EXTERNAL:
                item.add_marker(pytest.mark.xfail(reason=f"the emulator lacks {_BEYOND[name]}", strict=True))
            if item.path.name == "test_kube_api.py" and name not in essential:
                deselected.append(item)
                continue
        selected.append(item)
    if deselected and not config.getoption("all_conformance"):
        config.hook.pytest_deselected(items=deselected)
        items[:] = selected

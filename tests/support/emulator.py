"""Fixtures: one Kubernetes API emulator a session; and the conformance suite, run against it by default.

The files in `tests/conformance` are carried as they are, so what they need to run here is done from outside:
they read the address of the API from the environment, and import each other by bare names.

    pytest tests/conformance                            the essential tests, against the emulator
    pytest tests/conformance --all-conformance          all of them
    KUBE_API=http://... pytest tests/conformance        against this server (see the README there)
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
_IS_GIVEN = "KUBE_API" in os.environ

sys.path.append(str(SUITE))
if not _IS_GIVEN:
    os.environ.setdefault("KUBE_DEADLINE", "20")  # the suite reads it when it is imported


@pytest.fixture(scope="session")
def emulator() -> Iterator[Emulator]:
    """The API emulator; shared by all tests, so use a namespace of your own where others would be in the way."""
    with emulator_thread(backoff=0.2) as running:
        yield running


@pytest.fixture(scope="session")
def conformance_server(request: pytest.FixtureRequest) -> None:
    """What the suite is run against: the emulator, unless the environment names another server."""
    if not _IS_GIVEN:
        running: Emulator = request.getfixturevalue("emulator")
        os.environ["KUBE_API"] = running.url


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    """Clear away the clients that the suite leaves open, before they are taken for a fault of a later test."""
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
    """Keep the essential ones of the suite's tests, and start the server before their own fixtures."""
    essential = set(_ESSENTIAL.read_text().split())
    kept, left_out = [], []
    for item in items:
        if item.path.parent == SUITE and isinstance(item, pytest.Function):
            item.fixturenames.insert(0, "conformance_server")
            item.add_marker(pytest.mark.filterwarnings("ignore::ResourceWarning"))
            name = f"{item.cls.__name__}::{item.originalname}"
            if item.path.name == "test_kube_api.py" and name not in essential:
                left_out.append(item)
                continue
        kept.append(item)
    if left_out and not config.getoption("all_conformance"):
        config.hook.pytest_deselected(items=left_out)
        items[:] = kept

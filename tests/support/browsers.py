"""A real browser: Debian's Chromium, driven by Playwright. Tests that need it skip by name where there is none."""

import contextlib
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

_TIMEOUT = 60_000
"""Milliseconds that a page may take, on a busy machine."""


def chromium() -> str:
    """Return the path of Chromium, or skip the test."""
    pytest.importorskip("playwright", reason="Playwright is not installed: uv pip install playwright")
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("there is no Chromium: apt-get install chromium")
    return path


@contextlib.contextmanager
def page(**options: Any) -> Iterator[Any]:
    """Yield a page of a fresh browser, which fails on every error of its scripts and on every refused load."""
    path = chromium()
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 (after the check that it is there)

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        shown = browser.new_page(**options)
        shown.set_default_timeout(_TIMEOUT)
        errors: list[str] = []
        shown.on("pageerror", lambda error: errors.append(str(error)))
        shown.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        try:
            yield shown
        finally:
            browser.close()
        unexpected = [error for error in errors if "the server responded with a status of" not in error]
        assert not unexpected, unexpected


def barriers(shown: Any) -> list[str]:
    """Return what keeps people from using a page, as axe finds it: serious and critical faults, in both themes."""
    from axe_playwright_python.sync_playwright import Axe  # noqa: PLC0415 (only where Playwright is)

    faults = []
    for scheme in ("light", "dark"):
        shown.emulate_media(color_scheme=scheme)
        for fault in Axe().run(shown).response["violations"]:
            if fault["impact"] in ("serious", "critical"):
                places = [node["html"][:200] for node in fault["nodes"][:3]]
                faults.append(f"{scheme}: {fault['id']}: {fault['help']}: {places}")
    shown.emulate_media(color_scheme="light")
    return faults

"""Every reason that reaches a condition or an Event is in the list, and so in the page that is made from it."""

import re
from pathlib import Path

import pytest

from campaignpool.api import reasons
from campaignpool.api.reasons import HEADINGS, Reason

ROOT = Path(__file__).parent.parent.parent
PACKAGES = ("operator/campaignpool", "operator/campaignpool_operator", "jobs/seeder/campaignpool_seeder")
NAMED = re.compile(r'(?:default_reason|reason) ?= ?"([A-Za-z]+)"')
INTERNAL = {
    "AlreadyExists",
    "Conflict",
    "NotFound",
    "Error",
    "ClaimFailed",  # for applications
    "ClusterUnknown",  # before there is a cluster whose status could be written
    "LeaseLost",
    "Stopped",
    "CampaignDeleted",
}
"""Reasons that code reads and that no condition and no Event carries."""


def named() -> set[str]:
    """Every reason that is written out as a text somewhere."""
    paths = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    return {reason for path in paths for reason in NAMED.findall(path.read_text())}


def test_reasons_that_are_texts_are_in_the_list() -> None:
    texts = named()
    assert "TemplateNotFound" in texts
    assert {text for text in texts - INTERNAL if reasons.find(text) is None and not text.startswith(STORE)} == set()


STORE = ("Store", "Folder", "Images")
"""What the images worker says of its store stays in the ledger's causes."""


@pytest.mark.parametrize("reason", Reason)
def test_each_reason_says_what_it_means_and_what_to_do(reason: Reason) -> None:
    assert reason.group in HEADINGS
    assert reason.meaning.endswith(".")
    assert reason.remedy.endswith(".")
    assert re.fullmatch(r"[A-Z][A-Za-z]+", reason)
    assert f"| `{reason}` | {reason.meaning} |" in (ROOT / "docs" / "troubleshooting.md").read_text()

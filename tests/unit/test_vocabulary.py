"""The vocabulary check finds the words that the review lists, and leaves plain English alone."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))

import vocabulary


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("docs/a.md", "The message says what to mend."),
        ("docs/a.md", "Whoever holds the lock waits."),
        ("docs/a.md", "One Job works off the queue."),
        ("docs/a.md", "The claim was told so."),
        ("a.py", '    """Give the number of campaigns."""'),
        ("a.py", "    for each in campaigns:"),
        ("a.py", "    found = await connection.fetch(query)"),
        ("a.sql", "-- Tell the operator."),
        ("a.sql", "    nothing := campaign_pool.notify_operator(pool);"),
    ],
)
def test_words_of_a_private_language_are_refused(path: str, line: str) -> None:
    finding, *_ = vocabulary.check(path, f"fine\n{line}\n")
    assert (finding.path, finding.line) == (path, 2)
    assert "write" in str(finding)


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("docs/a.md", "The operator retries with exponential backoff; recommended values lie in the reference."),
        ("a.py", '    """Return the number of campaigns."""'),
        ("a.py", "    for campaign in campaigns:"),
        ("a.py", "# A figure of speech about mending  vocabulary: allow"),
        ("docs/a.md", "found = 3 is Python, not prose"),
        ("a.sql", "-- Return the pool's lock."),
    ],
)
def test_plain_english_passes(path: str, line: str) -> None:
    assert list(vocabulary.check(path, line)) == []


def test_no_file_of_ours_has_such_words() -> None:
    assert vocabulary.main([]) == 0

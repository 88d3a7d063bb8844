"""Refuse words that a reader would have to translate.

`python tools/vocabulary.py [FILE ...]` reads the files named, by default every tracked one. The words are those
of a review of the whole tree. Each rule names what to write instead. A standard concept has its standard name
(listener, lease, circuit breaker, backoff, debounce, quarantine), and a docstring starts with the verb of the
operation. The comment `vocabulary: allow` excuses a line.
"""

import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple


class Rule(NamedTuple):
    """A pattern, what to write instead, and the kinds of files it applies to."""

    pattern: re.Pattern[str]
    instead: str
    suffixes: frozenset[str]


PROSE = frozenset({".md", ".py", ".sql", ".yaml", ".toml", ".txt", ".tpl"})
PYTHON = frozenset({".py"})
SQL = frozenset({".sql"})


def _rule(pattern: str, instead: str, suffixes: frozenset[str] = PROSE) -> Rule:
    return Rule(re.compile(pattern, re.IGNORECASE if suffixes is PROSE else 0), instead, suffixes)


RULES = (
    _rule(r"\bmend(s|ed|ing)?\b", "fix"),
    _rule(r"\banew\b", "again, or new"),
    _rule(r"\bby all means\b", "at the latest"),
    _rule(r"\bwhoever\b", "a concrete subject: the role that, a client that"),
    _rule(r"\bmeanwhile[.;:]", "a time: during the copy, until then"),
    _rule(r"\bat work\b", "active, running"),
    _rule(r"\bwork(s|ed|ing)? off\b", "process"),
    _rule(
        r"\b(as|how) (it is|they are)\b(?! (a|an|the|in|on|not|used|read|called|needed|declared|written|stored))",
        "unchanged",
    ),
    _rule(r"\b(is|was|were|are|be|being|been) told\b", "notified, informed"),
    _rule(r"\bcomes? (or|and) goes?\b", "is created or deleted"),
    _rule(r"\bfor who\b", "for roles that"),
    _rule(r"\bhang(s|ing)? (on|off)\b", "reference, depend on"),
    _rule(r"\band the like\b|\bor the like\b", "name the others"),
    _rule(r"\b(what|who) runs along\b", "side effects: triggers, rules, policies"),
    _rule(r"\bfalls? asleep\b|\basleep\b", "waits, operator_waiting"),
    _rule(r"\bbell\b|\bsecond_ring\b|\bring\(", "notification"),
    _rule(r"\bbury\b|\bburied\b", "finish_deletion"),
    _rule(r"\balbums?\b", "image set"),
    _rule(r"\bset_aside\b|\bset aside\b", "quarantine"),
    _rule(r"\bthe one (who|of)\b", "name the thing"),
    _rule(r"\bnobody('s)? (comes|waits for it)\b", "a concrete subject"),
    _rule(
        r'^\s*[rf]?"""(Give|Say|Tell)s?\b',
        "Return, Raise, Create, Delete ... (PEP 257, with the operation's verb)",
        PYTHON,
    ),
    _rule(r"^\s*-- (Give|Say|Tell)s?\b", "Return, Raise, Create", SQL),
    _rule(
        r"\bfor (each|found|known|there|made|some|more|said)(,| in\b)", "a loop variable that names the thing", PYTHON
    ),
    _rule(r"^\s*(each|found|known|nothing|there|made|some|more|said)(: [^=]+)? :?= ", "a name for the thing", PYTHON),
    _rule(r"\b(nothing|found_it) :=", "PERFORM, or a name for the thing", SQL),
)
EXCUSE = "vocabulary: allow"
# This file holds the words; the others are written by programs, or carried over unchanged from another project.
SKIPPED = (
    "tools/vocabulary.py",
    "tests/unit/test_vocabulary.py",
    "uv.lock",
    "bench/results/",
    "tests/conformance/",
    "LICENSE",
)


class Finding(NamedTuple):
    """A word that a reader would stumble over, and where it is."""

    path: str
    line: int
    word: str
    instead: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.word.strip()!r}: write {self.instead}"


def check(path: str, text: str) -> Iterator[Finding]:
    """Return the findings of one file, line by line."""
    suffix = Path(path).suffix
    rules = [rule for rule in RULES if suffix in rule.suffixes]
    for number, line in enumerate(text.splitlines(), start=1):
        if EXCUSE not in line:
            for rule in rules:
                if match := rule.pattern.search(line):
                    yield Finding(path, number, match.group(), rule.instead)


def tracked_files() -> list[str]:
    """Return the paths of the files that the check reads, relative to the working directory."""
    listed = subprocess.run(["git", "ls-files"], check=True, capture_output=True, text=True).stdout.splitlines()  # noqa: S607 (git)
    return [path for path in listed if Path(path).suffix in PROSE and not path.startswith(SKIPPED)]


def main(paths: Iterable[str]) -> int:
    """Print the findings and return the exit code: 1 if there is one."""
    findings = [
        finding
        for path in (list(paths) or tracked_files())
        if Path(path).exists()
        for finding in check(path, Path(path).read_text(encoding="utf-8"))
    ]
    for finding in findings:
        print(finding)
    if findings:
        print(f"{len(findings)} words that a reader would have to translate; see tools/vocabulary.py.")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Build the docs site strictly into .local/site: `python tools/docs_site.py`.

The Markdown in docs/ works in the repository. On the site, a link that leaves docs/ would lead nowhere, so the copy
that the site is built from links to the repository's address instead. A link to a missing file is an error.
"""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
BUILD = ROOT / ".local" / "docs"
_LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)(#[^)\s]*)?\)")


class LinkError(Exception):
    """A page links to a file that does not exist."""


def rewritten(page: Path, docs: Path, repository: str) -> str:
    """Return the text of a page, with links out of `docs` replaced by addresses below `repository`."""

    def replaced(match: re.Match[str]) -> str:
        target = (page.parent / match[1]).resolve()
        if not target.exists():
            raise LinkError(f"{page.relative_to(docs.parent)} links to {match[1]}, which does not exist")
        if target.is_relative_to(docs):
            return match[0]
        kind = "tree" if target.is_dir() else "blob"
        return f"]({repository}/{kind}/main/{target.relative_to(docs.parent).as_posix()}{match[2] or ''})"

    return _LINK.sub(replaced, page.read_text(encoding="utf-8"))


def write_sources(docs: Path, build: Path, repository: str) -> None:
    """Create `build` from `docs`, with links that work on the site."""
    shutil.rmtree(build, ignore_errors=True)
    shutil.copytree(docs, build)
    for page in docs.rglob("*.md"):
        (build / page.relative_to(docs)).write_text(rewritten(page, docs, repository), encoding="utf-8")


def main() -> int:
    """Build the site and return the builder's exit code."""
    project = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]
    try:
        write_sources(ROOT / "docs", BUILD, project["repo_url"])
    except LinkError as error:
        print(error)
        return 1
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
    return subprocess.run(command, cwd=ROOT, check=False).returncode  # noqa: S603 (our own command)


if __name__ == "__main__":
    sys.exit(main())

"""The docs name files that exist, and link to pages that exist."""

import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))

import docs_site

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
READMES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "bench/README.md")]
SOURCES = ("", "operator/", "operator/campaignpool/", "operator/campaignpool_operator/", "jobs/seeder/")


@pytest.mark.parametrize("page", [*PAGES, *READMES], ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    docs_site.rewritten(page, ROOT if page in READMES else ROOT / "docs", "https://example.test")


@pytest.mark.parametrize("name", ["architecture.md", "contributing/how-to-change.md"])
def test_files_that_are_named_exist(name: str) -> None:
    text = (ROOT / "docs" / name).read_text()
    paths = re.findall(r"`([\w./-]+(?:\.py|\.sql|\.md|/))`", text)
    missing = [path for path in paths if not any((ROOT / source / path).exists() for source in SOURCES)]
    assert not missing


def test_a_link_out_of_the_docs_leads_to_the_repository(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (tmp_path / "pool.yaml").touch()
    page = docs / "page.md"
    page.write_text("[pool](../pool.yaml#top) [web](https://example.org)")
    assert (
        docs_site.rewritten(page, docs, "https://x")
        == "[pool](https://x/blob/main/pool.yaml#top) [web](https://example.org)"
    )
    page.write_text("[gone](gone.md)")
    with pytest.raises(docs_site.LinkError, match=r"gone\.md"):
        docs_site.rewritten(page, docs, "https://x")


def test_the_site_has_every_page() -> None:
    site = (ROOT / "zensical.toml").read_text()
    missing = [page for page in PAGES if f'"{page.relative_to(ROOT / "docs").as_posix()}"' not in site]
    assert not missing

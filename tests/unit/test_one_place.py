"""What deletes or retires a campaign stands in one place, under the row's lock: read from the SQL itself."""

import re
from collections.abc import Iterator
from pathlib import Path

import campaignpool
from campaignpool.ledger import sql

SOURCE = Path(campaignpool.__file__).parent.parent
DELETES = {
    "remove": "the operator's only way: of campaigns that retire, and nobody else has locked",
    "claim": "it takes the campaign out of the pool and writes its record",
    "prune": "what failed an hour ago was never made",
    "query cancel_runs": "what was reserved or failed was never made",
}
"""Whatever deletes from the table of campaigns, and why it may."""

RETIRES = {
    "retire": "a deleted pool's: of campaigns that are ready or wait for images, and no claim holds",
    "retire_surplus": "the operator's: of campaigns that are ready, and no claim holds",
    "quarantine_changed": "the operator's audit: of campaigns that are ready, and no claim holds",
    "release": "a claim that is taken back leaves the records, and is never given again",
}
"""Whatever makes a campaign one that retires, and why it may."""


def parts() -> dict[str, str]:
    """Return every function, and every query."""
    topics = ("auditing", "claims", "image_queue", "images", "pools", "retiring", "revisions", "seeding")
    result = {f"query {name}": text for topic in topics for name, text in sql.queries(topic).items()}
    for file in sql.schema().definitions:
        text = re.sub(r"--.*", "", file.text)
        function = r"CREATE OR REPLACE FUNCTION campaign_pool\.(\w+)\((.*?\n(?:END )?\$\$;|.*?\nRETURN .*?;)"
        result |= dict(re.findall(function, text, flags=re.DOTALL))
    return result


def statements(pattern: str) -> Iterator[tuple[str, str]]:
    for name, text in parts().items():
        for statement in text.split(";"):
            if re.search(pattern, statement, flags=re.IGNORECASE):
                yield name, statement


def test_every_statement_that_deletes_a_campaign_is_known() -> None:
    deletes = list(statements(r"\b(DELETE FROM|TRUNCATE|MERGE INTO) (TABLE )?campaign_pool\.campaign\b"))
    assert {name for name, _ in deletes} == DELETES.keys()
    for name, statement in deletes:
        if name == "claim":
            assert re.search(r"state = 'ready'.*FOR UPDATE SKIP LOCKED", statement, flags=re.DOTALL)
        elif name != "remove":
            assert re.search(r"state (= 'failed'|IN \('seeding', 'failed'\))", statement)


def test_what_is_removed_was_locked_and_passed_over_where_another_is_at_it() -> None:
    text = parts()["remove"]
    lock = re.search(r"state = 'retiring' AND revision_id.*?FOR UPDATE SKIP LOCKED", text, flags=re.DOTALL)
    assert lock
    assert (
        lock.end() < text.index("'retire_r'") < text.index("DELETE FROM campaign_pool.campaign WHERE id = ANY (gone)")
    )
    assert re.findall(r"gone := (.*?);", text) == ["ids", *["gone || ids[one]"] * 2], "nothing but what was locked"


def test_every_statement_that_retires_a_campaign_is_known() -> None:
    flips = list(statements(r"(SET|,) *state = 'retiring'|VALUES[^;]*'retiring'"))
    assert {name for name, _ in flips} == RETIRES.keys()
    (retire,) = (statement for name, statement in flips if name == "retire")
    assert re.search(
        r"state IN \('ready', 'imaging'\).*LIMIT most FOR UPDATE OF c SKIP LOCKED", retire, flags=re.DOTALL
    )
    for function in ("quarantine_changed", "retire_surplus"):
        (statement,) = (statement for name, statement in flips if name == function)
        assert re.search(
            r"id = ANY \(ARRAY\(.*[cx].state = 'ready' FOR UPDATE SKIP LOCKED", statement, flags=re.DOTALL
        )


def test_rows_of_the_application_are_deleted_by_three_functions_alone() -> None:
    """`retire_r<id>`, which `remove` and `retired_by` call, `on_release_r<id>`, which `release` calls, `clone_r<id>`.

    A clone deletes rows that a trigger made for the new campaign, in the same transaction (`triggerRows: Replace`).
    """
    calls = {prefix: {name for name, _ in statements(f"'{prefix}_r'")} for prefix in ("retire", "on_release")}
    assert calls == {"retire": {"remove", "retired_by"}, "on_release": {"release"}}
    assert {name for name, _ in statements(r"\bretired_by\(")} == {"remove"}
    written = {
        path.name
        for path in (SOURCE / "campaignpool" / "blueprint" / "sql").glob("*.py")
        if "DELETE FROM" in path.read_text()
    }
    assert written == {"retirement.py", "claims.py", "images.py", "functions.py"}


def test_nothing_but_the_sql_files_names_the_table_of_campaigns() -> None:
    """So no module of the operator or the seeder has a way of its own."""
    for folder in (SOURCE, SOURCE.parent / "jobs" / "seeder"):
        for path in folder.rglob("*.py"):
            assert not re.search(r"campaign_pool\.campaign\b(?!s)", path.read_text()), path

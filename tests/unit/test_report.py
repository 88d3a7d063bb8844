"""The report of a check and the words of a diff: as a person reads them."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from campaignpool.api.blueprint import parse
from campaignpool.blueprint import diff, report
from campaignpool.blueprint.check import Checked, Rehearsal, Timing
from campaignpool.blueprint.compilation import Compiled
from campaignpool.blueprint.compile import compiler
from campaignpool.blueprint.fingerprint import Fingerprint, TablePrint
from campaignpool.blueprint.sql.snapshot import Survey
from campaignpool.errors import ConfigurationError
from tests.support import schemas

DATA = Path(__file__).parents[1] / "data"
USERS = schemas.table(1, "users", "id uuid", "email text!")
CAMPAIGNS = schemas.table(
    2, "campaigns", "id uuid", "user_id uuid!", "name text!", "active boolean!", keys=[("user_id", 1)]
)
HEROES = schemas.table(
    3,
    "heroes",
    "id uuid",
    "campaign_id uuid!",
    "mentor_id uuid",
    "name text!",
    keys=[("campaign_id", 2), ("mentor_id", 3)],
)
GEAR = schemas.table(4, "gear", "id bigint", "hero_id uuid!", "label text", keys=[("hero_id", 3)])
PHOTOS = schemas.table(5, "photos", "id bigint", "of_type text!", "of_id uuid!", "url text")
MEMBERS = schemas.table(6, "members", "id uuid", "campaign_id uuid!", "user_id uuid!")
BLUEPRINT = """
root: {table: campaigns, set: {name: $name, active: "false"}}
tables:
  - {name: heroes, where: name <> ''}
  - {name: gear}
  - name: photos
    polymorphic: [{type: of_type, id: of_id, targets: {Hero: heroes, Campaign: campaigns}}]
onClaim:
  set: {user_id: $claimant}
  insert: [{table: members, values: {campaign_id: $campaign, user_id: $claimant}}]
"""


def checked(rehearsal: Rehearsal | None = None, warnings: tuple[str, ...] = ()) -> Checked:
    tables = (USERS, CAMPAIGNS, HEROES, GEAR, PHOTOS, MEMBERS)
    plan = compiler.compile_plan(parse(BLUEPRINT, "text"), schemas.catalog(*tables))
    counts = {"campaigns": (1, 0), "heroes": (1200, 0), "gear": (30, 2), "photos": (5, 0)}
    surveys = []
    for table in plan.tables:
        rows, dropped = counts[table.facts.relation]
        columns = [name for link in table.links for name in link.columns]
        nulled = tuple(3 if column == "mentor_id" else 0 for column in columns)
        outside = tuple(1 if column == "mentor_id" else 0 for column in columns)
        surveys.append(Survey(rows, dropped, nulled, outside))
    prints = tuple(TablePrint(table.facts.name, (), 1, "0") for table in plan.tables)
    compiled = Compiled(plan, "7e3f", "0")
    return Checked(compiled, tuple(surveys), Fingerprint(prints), {1: "users"}, warnings, rehearsal)


def test_the_report_is_the_one_that_people_know() -> None:
    timings = (Timing((0,), 0.21, 0.1), Timing((1,), 12.5, 4.04), Timing((2, 3), 1.0, 0.0))
    result = checked(Rehearsal(2, 80.04, 31.5, timings), ("an index is missing", "another one"))
    text = "\n".join(report.render(result, "is_template")) + "\n"
    assert text == (DATA / "report.txt").read_text()


def test_without_a_dry_run_it_says_nothing_of_one() -> None:
    text = "\n".join(report.render(checked(), "is_template"))
    assert "dry run" not in text
    assert "warning" not in text


def test_a_table_stands_below_the_one_it_hangs_on() -> None:
    root = report.tree(checked().plan)
    assert [node.table.facts.relation for node in root.children] == ["heroes", "photos"]
    assert [node.table.facts.relation for node in root.children[0].children] == ["gear"]


BEFORE = diff.Side("revision 3 of 2026-01-02 03:04", "t1-0123456789abcdef0123", (), "a")
AFTER = diff.Side("the template now", "t1-fedcba9876543210fedc", (), "b")
SAME = diff.TableDiff("public.heroes", {"added": 0, "removed": 0, "changed": 0, "same": 7}, {}, {})
CHANGED = diff.TableDiff(
    "public.gear",
    {"added": 1, "removed": 0, "changed": 1200, "same": 2},
    {"label": 1200, "hero_id": 1},
    {"added": ("9",), "changed": ("1", "2", "3", "4", "5")},
)
WIDENED = diff.TableDiff(
    "public.photos", {"added": 0, "removed": 0, "changed": 0, "same": 5}, {}, {}, ("url",), ("path",)
)


def test_a_diff_in_words() -> None:
    assert diff.words(diff.Diff(BEFORE, AFTER, (SAME, CHANGED, WIDENED))) == [
        "from revision 3 of 2026-01-02 03:04, t1-0123456789ab",
        "to   the template now, t1-fedcba987654",
        "",
        "public.gear: 1 added, 1,200 changed, 2 as before",
        "    columns changed: label in 1,200, hero_id in 1",
        "    added: 9",
        "    changed: 1, 2, 3, 4, 5 and 1,195 more",
        "public.photos: no row changed",
        "    columns new in a clone: url",
        "    columns no longer in a clone: path",
        "1 other table is as it was",
    ]
    assert diff.words(diff.Diff(BEFORE, AFTER, (SAME, SAME)))[-1] == "nothing changed in 2 tables"


def test_a_diff_for_machines() -> None:
    result = diff.as_json(diff.Diff(BEFORE, AFTER, (SAME, CHANGED)))
    assert result["equal"] is False
    assert result["from"] == {"label": "revision 3 of 2026-01-02 03:04", "fingerprint": "t1-0123456789abcdef0123"}
    assert result["tables"][1]["columns"] == {"label": 1200, "hero_id": 1}
    assert result["tables"][1]["keys"]["added"] == ["9"]
    assert diff.as_json(diff.Diff(BEFORE, AFTER, (SAME,)))["equal"] is True


def revision(number: int, fingerprint: str, *, kept: bool = True) -> diff.Revision:
    return diff.Revision(
        number, fingerprint, "7e3f", parse(BLUEPRINT, "text"), (), datetime(2026, 1, 2, tzinfo=UTC), kept
    )


REVISIONS = [revision(3, "t1-abc"), revision(2, "t1-abd", kept=False), revision(1, "t1-xyz")]


@pytest.mark.parametrize(("wanted", "number"), [("3", 3), ("t1-ab", 3), ("t1-x", 1)])
def test_a_revision_is_chosen_by_number_or_fingerprint(wanted: str, number: int) -> None:
    assert diff.choose(REVISIONS, wanted).number == number


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("9", r"no revision of the pool is 9: name one that is kept: 3 \(t1-abc\), 1 \(t1-xyz\)"),
        ("2", "revision 2 was dropped"),
        ("t1-", "begins more than one fingerprint"),
    ],
)
def test_a_revision_that_is_not_there_is_answered_with_those_that_are(wanted: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        diff.choose(REVISIONS, wanted)

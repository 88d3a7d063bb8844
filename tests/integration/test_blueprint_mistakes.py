"""How the command `campaignpool blueprint` answers mistakes: by one sentence that says how to fix it."""

import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from campaignpool.cli.common import URL_VARIABLE
from tests.support.commands import WHERE, Run, execute

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (
            ("discover", "--root", "campains", *WHERE),
            1,
            r"table campains does not exist \(campaigns, .*\?\): correct --root",
        ),
        (("discover", "--root", "x y", *WHERE), 1, "table x y does not exist: correct --root"),
        (
            ("discover", "--root", "campaigns", "--template-where", "nope"),
            1,
            '--template-where .* "nope" does not exist',
        ),
        (("discover", "--root", "campaigns", "--template-where", "active"), 1, "holds for more than one row"),
        (("discover", "--root", "campaigns", "--template-key", "7"), 1, "--template-key .* invalid input syntax"),
        (("discover", "--root", "campaigns"), 2, "one of the arguments --template-where --template-key is required"),
        (("discover", "--root", "campaigns", *WHERE, "-o", "/no/where"), 1, "/no/where cannot be written"),
        (("check", "-f", "/no/where", *WHERE), 2, "/no/where cannot be read: No such file"),
        (("check", "-f", "{file}"), 2, "say which row is the template"),
        (("check", "-f", "{file}", *WHERE, "--campaigns", "0"), 2, "a number from 1 to 1000"),
        (("check", "-f", "{file}", *WHERE, "--no-dry-run", "--explain"), 2, "--explain needs the dry run"),
        (("diff", "--pool", "a/b"), 1, "has no schema campaign_pool"),
        (("diff", "--pool", "a/b", "--from", "template"), 2, "name a revision for one of them"),
    ],
)
def test_every_mistake_is_answered_by_one_sentence(
    words: tuple[str, ...], code: int, message: str, untouched: str, discovered: Path, command: Run
) -> None:
    words = tuple(word.format(file=discovered) for word in words)
    got, text, errors = command(*words, "--database-url", untouched)
    assert (got, text) == (code, "")
    assert re.search(message, errors), errors
    assert (urlsplit(untouched).password or "") not in errors


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("root: {table: campaigns", "is not YAML in line"),
        ("", "is empty"),
        ("just text", "holds no blueprint"),
        ("kind: Secret", r"holds no blueprint \(Secret\)"),
        ("root: {table: campaigns, sett: {}}", r"root\.sett: Extra inputs are not permitted"),
        ("root: {table: nope}", "table nope does not exist: correct its name"),
        (
            "root: {table: campaigns}\ntables: [{name: weapons, where: nope}]",
            'weapons, where: column "nope" does not',
        ),
        ("root: {table: campaigns, set: {nope: '1'}}", "public.campaigns has no column nope"),
        ("kind: CampaignPool\nspec: {size: 5}", "spec.template: Field required"),
        ("kind: ConfigMap\ndata: {blueprint.yaml: 'root: {table: nope}'}", "table nope does not exist"),
    ],
)
def test_faults_of_a_file_are_one_line_each(
    text: str, message: str, untouched: str, command: Run, tmp_path: Path
) -> None:
    file = tmp_path / "file.yaml"
    file.write_text(text)
    code, output, errors = command("check", "-f", str(file), *WHERE, "--database-url", untouched)
    assert (code, output) == (1, "")
    assert re.search(message, errors), errors
    assert all(line.startswith("campaignpool: ") for line in errors.splitlines())


def test_a_condition_cannot_read_a_value_into_the_message(untouched: str, discovered: Path, command: Run) -> None:
    """`cast` quotes what it cannot read: a condition must not bring values of rows into a status."""
    where = "CAST((SELECT min(name) FROM weapons) AS integer) = 1"
    code, _, errors = command("check", "-f", str(discovered), "--template-where", where, "--database-url", untouched)
    assert code == 1
    assert (
        '--template-where cannot be evaluated on public.campaigns: invalid input syntax for type integer: "…"'
        in errors
    )


def test_every_expression_that_fails_is_named(untouched: str, discovered: Path, command: Run, tmp_path: Path) -> None:
    file = tmp_path / "file.yaml"
    file.write_text(
        discovered.read_text()
        .replace("seeded_at: now()", "seeded_at: noww()")
        .replace("where: active", "where: actve")
    )
    code, _, errors = command("check", "-f", str(file), *WHERE, "--database-url", untouched)
    assert code == 1
    assert "aborted" not in errors
    assert [line.split(":")[1].strip() for line in errors.splitlines()] == [
        "table public.campaigns, set seeded_at",
        *(f"table public.{name}, where" for name in ("factions", "junctures", "schticks", "weapons")),
    ]


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        (
            ("{port}", "1"),
            3,
            "the host of the database refuses the connection: check the host and the port in the URL",
        ),
        (("{name}", "nowhere"), 3, "no database of this name: correct the URL in --database-url"),
        (("{password}", "wrong"), 3, "refuses the user or the password: correct the URL in --database-url"),
        (("postgresql:", "mysql:"), 2, "the URL in --database-url is invalid: it is not a URL of Postgres"),
    ],
)
def test_a_database_that_cannot_be_reached(
    change: tuple[str, str], code: int, message: str, untouched: str, command: Run
) -> None:
    parts = urlsplit(untouched)
    names = {"port": parts.port, "name": parts.path[1:], "password": parts.password}
    url = untouched.replace(change[0].format(**names), change[1])
    got, _, errors = command("discover", "--root", "campaigns", *WHERE, "--database-url", url)
    assert got == code
    assert message in errors
    assert len(errors.splitlines()) == 1
    assert (parts.password or "") not in errors


def test_a_role_with_few_rights(command: Run, chiwar_url: str, discovered: Path, tmp_path: Path) -> None:
    name = urlsplit(chiwar_url).path[1:]
    execute(
        chiwar_url,
        "CREATE ROLE cli_poor LOGIN PASSWORD 'poor'",
        "GRANT SELECT ON campaigns, schticks TO cli_poor",
    )
    poor = chiwar_url.replace(urlsplit(chiwar_url).netloc.rpartition("@")[0], "cli_poor:poor")
    try:
        code, text, _ = command("discover", "--root", "campaigns", *WHERE, "--database-url", poor)
        assert code == 0
        assert re.search(r"#   weapons +LOOK: the role in the URL may not read it", text)
        assert re.search(r"#   image_positions +LOOK: it may belong to campaigns by positionable_type and", text)
        remedy = "grant the right to the role in the URL"
        code, _, errors = command("check", "-f", str(discovered), *WHERE, "--database-url", poor)
        assert (code, errors) == (
            1,
            f"campaignpool: the database refuses: permission denied for table characters: {remedy}\n",
        )
        file = tmp_path / "small.yaml"
        file.write_text(text)
        code, _, errors = command("check", "-f", str(file), *WHERE, "--database-url", poor)
        assert code == 1
        assert f"permission denied for database {name}: grant the role CREATE on the database" in errors
        assert command("check", "-f", str(file), *WHERE, "--no-dry-run", "--database-url", poor)[0] == 0
    finally:
        execute(chiwar_url, "DROP OWNED BY cli_poor", "DROP ROLE cli_poor")


def test_the_url_may_come_from_a_file_or_the_environment(
    untouched: str, command: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(URL_VARIABLE, raising=False)
    words = ("discover", "--root", "campaigns", *WHERE)
    code, _, errors = command(*words)
    ways = f"give --database-url or --database-url-file, or set the variable {URL_VARIABLE}"
    assert (code, errors) == (2, f"campaignpool: no database is named: {ways}\n")
    file = tmp_path / "url"
    file.write_text(f"{untouched}\n")
    assert command(*words, "--database-url-file", str(file))[0] == 0
    monkeypatch.setenv(URL_VARIABLE, untouched)
    assert command(*words)[0] == 0


@pytest.mark.parametrize(
    "words", [(), ("blueprint",), ("blueprint", "discover"), ("blueprint", "check"), ("blueprint", "diff")]
)
def test_help_teaches_at_every_level(words: tuple[str, ...]) -> None:
    command = Path(sys.executable).with_name("campaignpool")
    done = subprocess.run([command, *words, "--help"], capture_output=True, text=True, check=True)
    assert "usage: campaignpool" in done.stdout
    if len(words) > 1:
        assert "examples:" in done.stdout
        assert "exit codes:" in done.stdout

"""The command `campaignpool blueprint`, as a person uses it, on real databases."""

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import asyncpg
import pytest

import chiwar
from campaignpool import blueprint, cli, install, ledger
from campaignpool.database import Connection
from campaignpool_local.postgres import EmbeddedPostgres
from tests.support import ledgers
from tests.support.postgres import NewDatabase

pytestmark = pytest.mark.integration

POOL_FILE = Path(__file__).parents[2] / "examples/chiwar/pool.yaml"
WHERE = ("--template-where", "is_master_template")
REALM = (Path(__file__).parents[1] / "data" / "realm.sql").read_text()
Given = TypeVar("Given")
Answer = Callable[..., tuple[int, str, str]]


def on(url: str, work: Callable[[Connection], Awaitable[Given]]) -> Given:
    async def run() -> Given:
        connection = await asyncpg.connect(url)
        try:
            return await work(connection)
        finally:
            await connection.close()

    return asyncio.run(run())


def execute(url: str, *statements: str) -> None:
    async def work(connection: Connection) -> None:
        for statement in statements:
            await connection.execute(statement)

    on(url, work)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Answer:
    """Run `campaignpool blueprint …`; gives exit code, output and errors."""

    def answer(*words: str) -> tuple[int, str, str]:
        try:
            code = cli.main(["blueprint", *words])
        except SystemExit as ended:
            code = int(ended.code or 0)
        return code, *capsys.readouterr()

    return answer


@pytest.fixture(scope="module")
def app(postgres_server: EmbeddedPostgres, chiwar_template: str) -> Iterator[str]:
    """The sample application, which no operator ever saw; whatever is done here leaves no trace."""
    yield postgres_server.create_database("cli_app", chiwar_template)
    postgres_server.drop_database("cli_app")


@pytest.fixture(scope="module")
def discovered(app: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("blueprint") / "blueprint.yaml"
    assert (
        cli.main(["blueprint", "discover", "--root", "campaigns", *WHERE, "--database-url", app, "-o", str(file)])
        == 0
    )
    return file


@pytest.fixture
def realm(database_url: str) -> str:
    """Another application: bigint and composite keys, a schema of its own, odd names."""
    execute(database_url, REALM)
    return database_url


def dumped(server: EmbeddedPostgres, url: str) -> str:
    """Give the schema and all rows, without what differs from one dump to the next."""
    done = subprocess.run(
        [server.binary("pg_dump"), f"--dbname={url}"], capture_output=True, text=True, check=True
    ).stdout
    # Sequences stand further on after an insert that was rolled back: no transaction undoes that.
    return re.sub(r"^(\\(un)?restrict .*|SELECT pg_catalog\.setval.*)$", "", done, flags=re.MULTILINE)


def test_what_discover_writes_seeds_whole_campaigns_without_an_edit(
    discovered: Path, new_database: NewDatabase, chiwar_template: str
) -> None:
    found = blueprint.parse(discovered.read_text(), "discovered")
    url = new_database(chiwar_template)

    async def work(connection: Connection) -> None:
        await ledgers.installed(connection, blueprint={"inline": found})
        (campaign,) = await ledgers.filled(connection, "", 1)
        assert await chiwar.check_clone(connection, campaign) == []
        claimed = await ledgers.claim(connection, chiwar.NEW_USER_ID)
        assert claimed["campaign_id"] == campaign
        assert await chiwar.check_clone(connection, campaign) == []
        row = await connection.fetchrow("SELECT user_id, active FROM campaigns WHERE id::text = $1", campaign)
        assert row is not None
        assert (row["user_id"], row["active"]) == (chiwar.NEW_USER_ID, True)
        assert await connection.fetchval(
            "SELECT count(*) FROM campaign_memberships WHERE campaign_id::text = $1", campaign
        )

    on(url, work)


def test_what_discover_found_in_the_sample_application(discovered: Path) -> None:
    text = discovered.read_text()
    for line in (
        r"- name: schticks +# 667 rows of the template, of 2,001",
        r"where: is_template AND active +# leaves out 10 rows",
        r"notion_page_id: 'NULL' +# unique in the whole table",
        r"is_master_template: 'false' +# the template's condition names it",
        r"#   fights +3 of 9 rows +LOOK: play: its rows happen at a time \(started_at, ended_at\)",
        r"#   campaign_memberships +5 of 15 rows +who belongs to a campaign",
        r"#   invitations +4 of 12 rows +each row belongs to somebody \(user_id is required\)",
        r"#   shots +15 of 45 rows +hangs on fights, which is left out",
        r"#   users +current_campaign_id may be NULL",
        r"# LOOK: image_url holds ids inside its text, of campaigns \(1 of 1\)",
        r"user_id: \$claimant +# it belongs to whoever claims it",
    ):
        assert re.search(line, text), line


def test_discover_reads_only(app: str, run: Answer, postgres_server: EmbeddedPostgres) -> None:
    before = dumped(postgres_server, app)
    code, text, _ = run("discover", "--root", "campaigns", *WHERE, "--database-url", app)
    assert code == 0
    assert blueprint.parse(text, "output").root.table == "campaigns"
    assert dumped(postgres_server, app) == before


def test_check_rehearses_and_leaves_nothing_behind(
    app: str, discovered: Path, run: Answer, postgres_server: EmbeddedPostgres
) -> None:
    before = dumped(postgres_server, app)
    code, text, errors = run(
        "check", "-f", str(discovered), *WHERE, "--campaigns", "3", "--sql", "--explain", "--database-url", app
    )
    assert (code, errors) == (0, "")
    assert "a clone      1,978 rows in 10 tables" in text
    assert re.search(r"dry run, rolled back: 3 campaigns cloned in [\d,.]+ ms", text)
    assert re.search(r"  schticks +1,929 +[\d,.]+ +[\d,.]+\n", text)
    assert "8 references of prerequisite_id to rows left out" in text
    assert "CREATE FUNCTION campaign_pool.clone_r0" in text
    assert "Trigger for constraint" in text
    assert "campaign_pool" not in before
    assert dumped(postgres_server, app) == before


def test_check_leaves_nothing_behind_when_the_data_refuses(
    run: Answer, chiwar_url: str, discovered: Path, postgres_server: EmbeddedPostgres
) -> None:
    # What no catalog shows: only a rehearsal finds it.
    execute(
        chiwar_url,
        "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no more factions'; END $$",
        "CREATE TRIGGER no BEFORE INSERT ON factions FOR EACH ROW EXECUTE FUNCTION no()",
    )
    before = dumped(postgres_server, chiwar_url)
    code, text, errors = run("check", "-f", str(discovered), *WHERE, "--database-url", chiwar_url)
    assert (code, text) == (1, "")
    assert errors == "campaignpool: no more factions\n"
    assert dumped(postgres_server, chiwar_url) == before
    assert run("check", "-f", str(discovered), *WHERE, "--no-dry-run", "--database-url", chiwar_url)[0] == 0


def test_check_beside_a_ledger_at_work(run: Answer, chiwar_url: str, postgres_server: EmbeddedPostgres) -> None:
    on(chiwar_url, ledgers.installed)
    before = dumped(postgres_server, chiwar_url)
    code, text, _ = run("check", "-f", str(POOL_FILE), "--database-url", chiwar_url)
    assert code == 0
    assert "(is_master_template)" in text
    assert dumped(postgres_server, chiwar_url) == before
    execute(chiwar_url, "DELETE FROM campaign_pool.migration")
    code, _, errors = run("check", "-f", str(POOL_FILE), "--database-url", chiwar_url)
    assert code == 1
    assert "of an earlier release" in errors


def test_an_application_of_another_kind(realm: str, run: Answer, tmp_path: Path) -> None:
    file = tmp_path / "blueprint.yaml"
    where = ("--template-where", "kind = 'template'", "--database-url", realm)
    assert run("discover", "--root", "realm.worlds", *where, "-o", str(file))[0] == 0
    text = file.read_text()
    for line in (
        "# LOOK: kind: the template's condition names it",
        "# LOOK: role is required and has no default",
        "# LOOK: type ghost fits no table: 1 id looked up",
        "# odd_hero: its ids are keys of several tables; its name decided",
        "#   realm.moves                    1 of 201 rows          play: other campaigns have 40 rows on average",
        "api_token: 'NULL'",
        "slug: slug || '-' || $campaign",
        "current_session_id: 'NULL'               # else it points at the template's row of realm.sessions",
        "# LOOK: extra holds ids inside its text, of realm.items (1 of 1)",
    ):
        assert line in text, line
    code, _, errors = run("check", "-f", str(file), *where)
    assert (code, errors) == (
        1,
        "campaignpool: onClaim: column role of realm.members may not be NULL and has no default: give it a value\n",
    )
    # The two edits that are marked.
    mended = text.replace("    # LOOK: kind: ", "    kind: \"'play'\" # ")
    file.write_text(mended.replace("world_id: $campaign", "world_id: $campaign\n        role: \"'gm'\""))
    code, text, errors = run("check", "-f", str(file), *where, "--campaigns", "3")
    assert (code, errors) == (0, "")
    assert re.search(r"  hero_items +96 ", text)


def test_diff_names_what_changed(chiwar_url: str, run: Answer) -> None:
    on(chiwar_url, ledgers.installed)
    pool = ("--pool", ledgers.POOL, "--database-url", chiwar_url)
    code, text, _ = run("diff", *pool)
    assert (code, text.splitlines()[-1]) == (0, "nothing changed in 10 tables")

    async def change(connection: Connection) -> tuple[str, str, str]:
        one, two, three = await connection.fetch(
            "SELECT id::text FROM weapons w WHERE campaign_id = $1"
            " AND NOT EXISTS (SELECT FROM carries WHERE weapon_id = w.id)"
            " AND NOT EXISTS (SELECT FROM characters WHERE equipped_weapon_id = w.id) ORDER BY id LIMIT 3",
            chiwar.TEMPLATE_ID,
        )
        await connection.execute("UPDATE weapons SET damage = damage + 1, name = 'New' WHERE id::text = $1", one[0])
        await connection.execute("UPDATE weapons SET active = false WHERE id::text = $1", two[0])
        await connection.execute(
            "INSERT INTO weapons (id, campaign_id, name, damage, created_at, updated_at)"
            " VALUES (gen_random_uuid(), $1, 'Other', 1, now(), now())",
            chiwar.TEMPLATE_ID,
        )
        await connection.execute("UPDATE active_storage_blobs SET checksum = 'new' WHERE id = 1")
        return one[0], two[0], three[0]

    changed, gone, _ = on(chiwar_url, change)
    code, text, _ = run("diff", *pool)
    assert code == 0
    assert "public.weapons: 1 added, 1 removed, 1 changed, 138 as before" in text
    assert "    columns changed: damage in 1, name in 1\n" in text
    assert f"    removed: {gone}\n" in text
    assert f"    changed: {changed}\n" in text
    assert "    columns changed: blob_id.checksum in 1\n" in text

    found = json.loads(run("diff", *pool, "--json")[1])
    named = {each["table"]: each for each in found["tables"]}
    assert found["equal"] is False
    assert named["public.weapons"]["columns"] == {"damage": 1, "name": 1}
    assert named["public.weapons"]["keys"]["removed"] == [gone]
    # Its image is left out with it: nothing but the weapon refers to the attachment.
    assert named["public.active_storage_attachments"]["removed"] == 1


def test_diff_between_revisions(chiwar_url: str, run: Answer) -> None:
    async def work(connection: Connection) -> tuple[str, str]:
        await ledgers.installed(connection)
        await connection.execute(
            "UPDATE factions SET description = 'New' WHERE campaign_id = $1 AND active", chiwar.TEMPLATE_ID
        )
        # A revision is made anew when the blueprint changes, too.
        inline = {**ledgers.MANIFEST["spec"]["blueprint"]["inline"]}
        inline["tables"] = [each for each in inline["tables"] if each["name"] != "carries"]
        await ledgers.installed(connection, blueprint={"inline": inline})
        rows = await connection.fetch("SELECT fingerprint FROM campaign_pool.revision ORDER BY id")
        return rows[0][0], rows[1][0]

    first, second = on(chiwar_url, work)
    pool = ("--pool", ledgers.POOL, "--database-url", chiwar_url)
    for before, after in (("1", "2"), (first[:12], second[:12])):
        code, text, _ = run("diff", *pool, "--from", before, "--to", after)
        assert code == 0
        assert "public.factions: 12 changed, 0 as before\n    columns changed: description in 12\n" in text
        assert "public.carries: 40 removed, 0 as before" in text
    assert "public.carries: 40 added" in run("diff", *pool, "--from", "2", "--to", "1")[1]
    execute(chiwar_url, "SELECT campaign_pool.drop_revision(1)")
    code, _, errors = run("diff", *pool, "--from", "1")
    assert code == 1
    assert "revision 1 was dropped, for nothing needs it: name one that is kept: 2 (" in errors


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
    words: tuple[str, ...], code: int, message: str, app: str, discovered: Path, run: Answer
) -> None:
    words = tuple(word.format(file=discovered) for word in words)
    got, text, errors = run(*words, "--database-url", app)
    assert (got, text) == (code, "")
    assert re.search(message, errors), errors
    assert (urlsplit(app).password or "") not in errors


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
def test_faults_of_a_file_are_one_line_each(text: str, message: str, app: str, run: Answer, tmp_path: Path) -> None:
    file = tmp_path / "file.yaml"
    file.write_text(text)
    code, output, errors = run("check", "-f", str(file), *WHERE, "--database-url", app)
    assert (code, output) == (1, "")
    assert re.search(message, errors), errors
    assert all(line.startswith("campaignpool: ") for line in errors.splitlines())


def test_every_expression_that_fails_is_named(app: str, discovered: Path, run: Answer, tmp_path: Path) -> None:
    file = tmp_path / "file.yaml"
    file.write_text(
        discovered.read_text()
        .replace("seeded_at: now()", "seeded_at: noww()")
        .replace("where: active", "where: actve")
    )
    code, _, errors = run("check", "-f", str(file), *WHERE, "--database-url", app)
    assert code == 1
    assert "aborted" not in errors
    assert [line.split(":")[1].strip() for line in errors.splitlines()] == [
        "table public.campaigns, set seeded_at",
        *(f"table public.{name}, where" for name in ("factions", "junctures", "schticks", "weapons")),
    ]


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        (("{port}", "1"), 3, "no connection to the database: check the host and the port in the URL"),
        (("{name}", "nowhere"), 3, "no database of this name: correct the URL in --database-url"),
        (("{password}", "wrong"), 3, "refuses the user or the password: correct the URL in --database-url"),
        (("postgresql:", "mysql:"), 2, "what --database-url gives is no database URL"),
    ],
)
def test_a_database_that_cannot_be_reached(
    change: tuple[str, str], code: int, message: str, app: str, run: Answer
) -> None:
    parts = urlsplit(app)
    names = {"port": parts.port, "name": parts.path[1:], "password": parts.password}
    url = app.replace(change[0].format(**names), change[1])
    got, _, errors = run("discover", "--root", "campaigns", *WHERE, "--database-url", url)
    assert got == code
    assert message in errors
    assert len(errors.splitlines()) == 1
    assert (parts.password or "") not in errors


def test_a_role_with_few_rights(run: Answer, chiwar_url: str, discovered: Path, tmp_path: Path) -> None:
    name = urlsplit(chiwar_url).path[1:]
    execute(
        chiwar_url,
        "CREATE ROLE cli_poor LOGIN PASSWORD 'poor'",
        "GRANT SELECT ON campaigns, schticks TO cli_poor",
    )
    poor = chiwar_url.replace(urlsplit(chiwar_url).netloc.rpartition("@")[0], "cli_poor:poor")
    try:
        code, text, _ = run("discover", "--root", "campaigns", *WHERE, "--database-url", poor)
        assert code == 0
        assert re.search(r"#   weapons +LOOK: the role in the URL may not read it", text)
        assert re.search(r"#   image_positions +LOOK: it may hang on campaigns by positionable_type and", text)
        mend = "grant the right to the role in the URL"
        code, _, errors = run("check", "-f", str(discovered), *WHERE, "--database-url", poor)
        assert (code, errors) == (
            1,
            f"campaignpool: the database refuses: permission denied for table characters: {mend}\n",
        )
        file = tmp_path / "small.yaml"
        file.write_text(text)
        code, _, errors = run("check", "-f", str(file), *WHERE, "--database-url", poor)
        assert code == 1
        assert f"permission denied for database {name}: grant the role CREATE on the database" in errors
        assert run("check", "-f", str(file), *WHERE, "--no-dry-run", "--database-url", poor)[0] == 0
    finally:
        execute(chiwar_url, "DROP OWNED BY cli_poor", "DROP ROLE cli_poor")


def test_the_url_may_come_from_a_file_or_the_environment(
    app: str, run: Answer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(cli.URL_VARIABLE, raising=False)
    words = ("discover", "--root", "campaigns", *WHERE)
    code, _, errors = run(*words)
    assert (code, errors) == (
        2,
        f"campaignpool: say which database: --database-url, --database-url-file or the variable {cli.URL_VARIABLE}\n",
    )
    file = tmp_path / "url"
    file.write_text(f"{app}\n")
    assert run(*words, "--database-url-file", str(file))[0] == 0
    monkeypatch.setenv(cli.URL_VARIABLE, app)
    assert run(*words)[0] == 0


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


def test_installing_records_what_the_command_compares(chiwar_url: str) -> None:
    async def work(connection: Connection) -> None:
        await ledgers.installed(connection)
        known = await ledger.observe(connection, ledgers.POOL)
        assert known.revision
        assert known.revision.fingerprint.startswith("t1-")
        assert await connection.fetchval("SELECT count(*) FROM campaign_pool.r1_rows") == known.revision.rows
        assert install.ALGORITHM

    on(chiwar_url, work)

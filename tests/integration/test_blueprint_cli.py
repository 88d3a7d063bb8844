"""The command `campaignpool blueprint` on real databases: what it writes, says and leaves behind."""

import json
import re
import subprocess
from pathlib import Path

import pytest

import chiwar
from campaignpool.api import blueprint
from campaignpool.blueprint import install
from campaignpool.ledger import pools
from campaignpool.ledger.database import Connection
from campaignpool_local.postgres import EmbeddedPostgres
from tests.support import ledgers
from tests.support.commands import WHERE, Run, execute, on
from tests.support.postgres import NewDatabase

pytestmark = pytest.mark.integration

POOL_FILE = Path(__file__).parents[2] / "examples/chiwar/pool.yaml"
REALM = (Path(__file__).parents[1] / "data" / "realm.sql").read_text()


@pytest.fixture
def realm(database_url: str) -> str:
    """Another application: bigint and composite keys, a schema of its own, odd names."""
    execute(database_url, REALM)
    return database_url


def dumped(server: EmbeddedPostgres, url: str) -> str:
    """Return the schema and all rows, without what differs from one dump to the next."""
    done = subprocess.run(
        [server.binary("pg_dump"), f"--dbname={url}"], capture_output=True, text=True, check=True
    ).stdout
    # Sequences stand further on after an insert that was rolled back: no transaction undoes that.
    return re.sub(r"^(\\(un)?restrict .*|SELECT pg_catalog\.setval.*)$", "", done, flags=re.MULTILINE)


def test_what_discover_writes_seeds_whole_campaigns_without_an_edit(
    discovered: Path, new_database: NewDatabase, chiwar_template: str
) -> None:
    result = blueprint.parse(discovered.read_text(), "discovered")
    url = new_database(chiwar_template)

    async def work(connection: Connection) -> None:
        await ledgers.installed(connection, blueprint={"inline": result})
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
        r"#   shots +15 of 45 rows +belongs to fights, which is left out",
        r"#   users +current_campaign_id may be NULL",
        r"# LOOK: image_url holds ids inside its text, of campaigns \(1 of 1\)",
        r"user_id: \$claimant +# it belongs to the user who claims it",
    ):
        assert re.search(line, text), line


def test_discover_reads_only(untouched: str, command: Run, postgres_server: EmbeddedPostgres) -> None:
    before = dumped(postgres_server, untouched)
    code, text, _ = command("discover", "--root", "campaigns", *WHERE, "--database-url", untouched)
    assert code == 0
    assert blueprint.parse(text, "output").root.table == "campaigns"
    assert dumped(postgres_server, untouched) == before


def test_check_rehearses_and_leaves_nothing_behind(
    untouched: str, discovered: Path, command: Run, postgres_server: EmbeddedPostgres
) -> None:
    before = dumped(postgres_server, untouched)
    code, text, errors = command(
        "check",
        "-f",
        str(discovered),
        *WHERE,
        "--campaigns",
        "3",
        "--sql",
        "--explain",
        "--database-url",
        untouched,
    )
    assert (code, errors) == (0, "")
    assert "a clone      1,978 rows in 10 tables" in text
    assert re.search(r"dry run, rolled back: 3 campaigns cloned in [\d,.]+ ms", text)
    assert re.search(r"  schticks +1,929 +[\d,.]+ +[\d,.]+\n", text)
    assert "8 references of prerequisite_id to rows left out" in text
    assert "CREATE FUNCTION campaign_pool.clone_r0" in text
    assert "Trigger for constraint" in text
    assert "campaign_pool" not in before
    assert dumped(postgres_server, untouched) == before


def test_check_leaves_nothing_behind_when_the_data_refuses(
    command: Run, chiwar_url: str, discovered: Path, postgres_server: EmbeddedPostgres
) -> None:
    # What no catalog shows: only a rehearsal finds it.
    execute(
        chiwar_url,
        "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no more factions'; END $$",
        "CREATE TRIGGER no BEFORE INSERT ON factions FOR EACH ROW EXECUTE FUNCTION no()",
    )
    before = dumped(postgres_server, chiwar_url)
    code, text, errors = command("check", "-f", str(discovered), *WHERE, "--database-url", chiwar_url)
    assert (code, text) == (1, "")
    assert re.fullmatch(
        r"campaignpool: a clone of the template is refused for the template's row [\w-]+ of public.factions: no more "
        r"factions: raised by function no\(\) at line 1 \(fired: trigger no of public.factions\): correct the row, "
        r"or set the column\n",
        errors,
    )
    assert dumped(postgres_server, chiwar_url) == before
    assert command("check", "-f", str(discovered), *WHERE, "--no-dry-run", "--database-url", chiwar_url)[0] == 0


def test_what_the_compiler_warns_of_is_printed(
    untouched: str, discovered: Path, command: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def warnings(_: Connection, compiled: install.Compiled) -> list[str]:
        return [f"{compiled.root_table} is warned of"]

    monkeypatch.setattr(install, "warnings", warnings, raising=False)
    _, text, _ = command("check", "-f", str(discovered), *WHERE, "--no-dry-run", "--database-url", untouched)
    assert "1 warning:\n  - public.campaigns is warned of\n" in text


def test_check_beside_an_active_ledger(command: Run, chiwar_url: str, postgres_server: EmbeddedPostgres) -> None:
    on(chiwar_url, ledgers.installed)
    before = dumped(postgres_server, chiwar_url)
    code, text, _ = command("check", "-f", str(POOL_FILE), "--database-url", chiwar_url)
    assert code == 0
    assert "(is_master_template)" in text
    assert dumped(postgres_server, chiwar_url) == before
    execute(chiwar_url, "DELETE FROM campaign_pool.migration")
    code, _, errors = command("check", "-f", str(POOL_FILE), "--database-url", chiwar_url)
    assert code == 1
    assert "of an earlier release" in errors


def test_an_application_of_another_kind(realm: str, command: Run, tmp_path: Path) -> None:
    file = tmp_path / "blueprint.yaml"
    where = ("--template-where", "kind = 'template'", "--database-url", realm)
    assert command("discover", "--root", "realm.worlds", *where, "-o", str(file))[0] == 0
    text = file.read_text()
    for line in (
        "# LOOK: kind: the template's condition names it",
        "# LOOK: role has no default: most rows have this value",
        "# LOOK: type ghost fits no table: 1 id looked up",
        "# odd_hero: its ids are keys of several tables; its name decided",
        "#   realm.moves                    1 of 201 rows          play: other campaigns have 40 rows on average",
        "api_token: 'NULL'",
        "slug: slug || '-' || $campaign",
        "current_session_id: 'NULL'               # else it points at the template's row of realm.sessions",
        "# LOOK: extra holds ids inside its text, of realm.items (1 of 1)",
    ):
        assert line in text, line
    code, _, errors = command("check", "-f", str(file), *where)
    assert code == 1
    assert "spec.template.where holds for a clone too" in errors
    # The edit that is marked.
    file.write_text(text.replace("    # LOOK: kind: ", "    kind: \"'play'\" # "))
    code, text, errors = command("check", "-f", str(file), *where, "--campaigns", "3")
    assert (code, errors) == (0, "")
    assert re.search(r"  hero_items +96 ", text)


def test_diff_names_what_changed(chiwar_url: str, command: Run) -> None:
    on(chiwar_url, ledgers.installed)
    pool = ("--pool", ledgers.POOL, "--database-url", chiwar_url)
    code, text, _ = command("diff", *pool)
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
    code, text, _ = command("diff", *pool)
    assert code == 0
    assert "public.weapons: 1 added, 1 removed, 1 changed, 138 as before" in text
    assert "    columns changed: damage in 1, name in 1\n" in text
    assert f"    removed: {gone}\n" in text
    assert f"    changed: {changed}\n" in text
    assert "    columns changed: blob_id.checksum in 1\n" in text

    document = json.loads(command("diff", *pool, "--json")[1])
    named = {item["table"]: item for item in document["tables"]}
    assert document["equal"] is False
    assert named["public.weapons"]["columns"] == {"damage": 1, "name": 1}
    assert named["public.weapons"]["keys"]["removed"] == [gone]
    # Its image is left out with it: nothing but the weapon refers to the attachment.
    assert named["public.active_storage_attachments"]["removed"] == 1


def test_diff_between_revisions(chiwar_url: str, command: Run) -> None:
    async def work(connection: Connection) -> tuple[str, str]:
        await ledgers.installed(connection)
        await connection.execute(
            "UPDATE factions SET description = 'New' WHERE campaign_id = $1 AND active", chiwar.TEMPLATE_ID
        )
        # A new revision is made when the blueprint changes, too.
        inline = {**ledgers.MANIFEST["spec"]["blueprint"]["inline"]}
        inline["tables"] = [item for item in inline["tables"] if item["name"] != "carries"]
        await ledgers.installed(connection, blueprint={"inline": inline})
        rows = await connection.fetch("SELECT fingerprint FROM campaign_pool.revision ORDER BY id")
        return rows[0][0], rows[1][0]

    first, second = on(chiwar_url, work)
    pool = ("--pool", ledgers.POOL, "--database-url", chiwar_url)
    for before, after in (("1", "2"), (first[:12], second[:12])):
        code, text, _ = command("diff", *pool, "--from", before, "--to", after)
        assert code == 0
        assert "public.factions: 12 changed, 0 as before\n    columns changed: description in 12\n" in text
        assert "public.carries: 40 removed, 0 as before" in text
    assert "public.carries: 40 added" in command("diff", *pool, "--from", "2", "--to", "1")[1]
    execute(chiwar_url, "SELECT campaign_pool.drop_revision(1)")
    code, _, errors = command("diff", *pool, "--from", "1")
    assert code == 1
    assert "revision 1 was dropped, for nothing needs it: name one that is kept: 2 (" in errors


def test_installing_records_what_the_command_compares(chiwar_url: str) -> None:
    async def work(connection: Connection) -> None:
        await ledgers.installed(connection)
        existing = await pools.observe(connection, ledgers.POOL)
        assert existing.revision
        assert existing.revision.fingerprint.startswith("t1-")
        assert await connection.fetchval("SELECT count(*) FROM campaign_pool.r1_rows") == existing.revision.rows

    on(chiwar_url, work)

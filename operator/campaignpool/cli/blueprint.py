"""The commands `campaignpool blueprint …`."""

import argparse
import json
import sys

from campaignpool.api.spec import Template
from campaignpool.blueprint import check, compilation, diff, discover, grants, manifest, report
from campaignpool.cli.common import (
    DONE,
    Run,
    Subcommands,
    command,
    group,
    print_lines,
    read,
    template,
    template_from,
    write,
)
from campaignpool.errors import ConfigurationError
from campaignpool.ledger.database import Connection

_BLUEPRINT = """\
steps:
  discover   write a first blueprint from a live database
  check      compile it, print the plan, and clone once in a transaction that is rolled back
  grants     print the roles and rights that the operator needs
  diff       show what changed in the template since campaigns were last made from it"""

_DISCOVER = """\
Write a commented blueprint for a live database. It follows the foreign keys from
the root table and looks at the data: which tables hold rows of the template, which
pairs of columns are polymorphic references and to what, which columns must be set in
a clone, which rows are user data. What only a person can decide is marked @MARK@.
It reads in one read-only transaction and changes nothing.

examples:
  campaignpool blueprint discover --root campaigns --template-where is_master_template -o blueprint.yaml
  campaignpool blueprint discover --root game.worlds --template-key 17 --database-url-file url.txt
"""

_CHECK = """\
Compile a blueprint against a live database and print the plan: a tree of tables
with rows each, and what becomes of every column.

Unless --no-dry-run is given, it also makes a dry run: it freezes the template, clones
--campaigns N and rolls everything back, so that triggers and constraints take effect
and each table has its time. The operator need not have been installed. Two traces
remain: sequences advance, and dead rows wait for the next vacuum. On a busy database,
run it on a copy.

examples:
  campaignpool blueprint check -f blueprint.yaml --template-where is_master_template
  campaignpool blueprint check -f pool.yaml --campaigns 10
  campaignpool blueprint check -f pool.yaml --no-dry-run --sql
"""

_DIFF = f"""\
Show what changed in the template: tables, rows added, removed and changed, and in
which columns. By default from the revision that the pool's campaigns are made of to the
live template; either side may be a revision's number, a fingerprint (its beginning is
enough) or the word `{diff.NOW}`. Keys and names of columns are shown, never values.

examples:
  campaignpool blueprint diff --pool game/chiwar
  campaignpool blueprint diff --pool game/chiwar --from 3 --to 5
  campaignpool blueprint diff --pool game/chiwar --json
"""

_GRANTS = """\
Print SQL that a role with CREATEROLE that owns the tables runs once: three group roles,
and the least rights that the operator needs for this blueprint.

  campaign_pool_operator  owns the schema campaign_pool; reads the template, inserts clones,
                          deletes unclaimed campaigns, runs onClaim
  campaign_pool_seeder    the seeding Jobs: calls functions of the ledger, reads no table of yours
  campaign_pool_app       your application: claims, releases and reads the views, nothing else

Grant each to the role that logs in. Run it again after a change of the blueprint: all of
it can be repeated. Where the roles are created after the ledger, the seeder's and the
application's rights on the ledger are granted by SELECT campaign_pool.grant_access().
This command reads the catalog and changes nothing.

examples:
  campaignpool blueprint grants -f blueprint.yaml > grants.sql
  campaignpool blueprint grants -f pool.yaml | psql -v ON_ERROR_STOP=1 game
  campaignpool blueprint grants --pool game/chiwar --database-url-file url.txt
"""


def add(areas: Subcommands) -> None:
    """Add the commands."""
    commands = group(areas, "blueprint", "write, check and compare blueprints", _BLUEPRINT)

    text = _DISCOVER.replace("@MARK@", discover.MARK)
    parser = command(commands, "discover", "write a first blueprint from a live database", text, _discover)
    parser.add_argument("--root", required=True, metavar="TABLE", help="table of the campaigns, such as campaigns")
    template(parser, required=True)
    parser.add_argument("-o", "--output", metavar="FILE", help="where to write it (default: standard output)")

    parser = command(commands, "check", "compile a blueprint and clone once, rolled back", _CHECK, _check)
    parser.add_argument(
        "-f", "--file", required=True, metavar="FILE", help="a blueprint, a CampaignPool or a ConfigMap; - is stdin"
    )
    template(parser, required=False)
    parser.add_argument(
        "--campaigns", type=_positive, default=1, metavar="N", help="campaigns of the dry run (default: 1)"
    )
    parser.add_argument(
        "--name", metavar="NAME", help="name of the CampaignPool, which $name begins with (default: the manifest's)"
    )
    parser.add_argument("--no-dry-run", action="store_true", help="compile and count only; write nothing at all")
    parser.add_argument("--sql", action="store_true", help="print the statements too")
    parser.add_argument("--explain", action="store_true", help="print the plan of each statement of the dry run too")

    parser = command(commands, "grants", "print the roles and rights that are needed", _GRANTS, _grants)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("-f", "--file", metavar="FILE", help="a blueprint, a CampaignPool or a ConfigMap; - is stdin")
    source.add_argument("--pool", metavar="NAMESPACE/NAME", help="the CampaignPool, with its current revision")

    parser = command(commands, "diff", "show what changed in the template", _DIFF, _diff)
    parser.add_argument("--pool", required=True, metavar="NAMESPACE/NAME", help="the CampaignPool")
    parser.add_argument("--from", dest="before", metavar="REV", help="default: the pool's current revision")
    parser.add_argument("--to", dest="after", default=diff.NOW, metavar="REV", help=f"default: {diff.NOW}")
    parser.add_argument("--json", action="store_true", help="print JSON")


def _positive(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) <= 1000:
        raise argparse.ArgumentTypeError("a number from 1 to 1000")
    return int(text)


def _describe_template(template: Template) -> str:
    return f"key {template.key}" if template.key is not None else str(template.where)


def _discover(arguments: argparse.Namespace) -> Run:
    chosen = template_from(arguments)
    if chosen is None:
        raise ConfigurationError("the template is empty: give --template-where or --template-key a value")

    async def run(connection: Connection) -> int:
        text = await discover.discover(connection, arguments.root, chosen)
        if not arguments.output:
            sys.stdout.write(text)
            return DONE
        write(arguments.output, text)
        marks = text.count(f"{discover.MARK}: ")
        places = f"{marks} place{'' if marks == 1 else 's'}"
        print_lines(
            f"{arguments.output} written{f': decide what is marked {discover.MARK}, {places}' if marks else ''}"
        )
        return DONE

    return run


def _check(arguments: argparse.Namespace) -> Run:
    if arguments.no_dry_run and arguments.explain:
        raise ConfigurationError("--explain needs the dry run: leave out --no-dry-run")
    declared = manifest.read(read(arguments.file), arguments.file)
    spec = declared.with_template(template_from(arguments))
    campaigns = 0 if arguments.no_dry_run else arguments.campaigns

    async def run(connection: Connection) -> int:
        result = await check.check(
            connection,
            spec,
            declared.blueprint,
            campaigns=campaigns,
            explain=arguments.explain,
            name=arguments.name or declared.name,
        )
        print_lines(*report.render(result, _describe_template(spec.template)))
        if arguments.sql:
            for heading, text in check.statements(result):
                print_lines("", f"-- {heading}", f"{text};")
        if result.rehearsal and arguments.explain:
            print_lines("", *result.rehearsal.plans)
        return DONE

    return run


def _grants(arguments: argparse.Namespace) -> Run:
    declared = manifest.read(read(arguments.file), arguments.file).blueprint if arguments.file else None

    async def run(connection: Connection) -> int:
        blueprint = declared or (await diff.revisions(connection, arguments.pool))[0].blueprint
        print_lines("\n".join(await grants.of_database(connection, blueprint)))
        return DONE

    return run


def _diff(arguments: argparse.Namespace) -> Run:
    if arguments.before == arguments.after == diff.NOW:
        raise ConfigurationError(f"--from and --to are both `{diff.NOW}`: name a revision for one of them")

    async def run(connection: Connection) -> int:
        revisions = await diff.revisions(connection, arguments.pool)
        latest = revisions[0]
        spec = manifest.Declared(latest.blueprint).with_template(Template(key=latest.template))
        compiled = await compilation.compile_blueprint(connection, spec, latest.blueprint)

        async def side(wanted: str) -> diff.Side:
            if wanted == diff.NOW:
                return await diff.of_template(connection, compiled)
            return diff.of_revision(diff.choose(revisions, wanted))

        async with check.rolled_back(connection):
            before = await side(arguments.before or str(latest.number))
            changes = await diff.compare(connection, before, await side(arguments.after))
        print_lines(*([json.dumps(diff.as_json(changes), indent=2)] if arguments.json else diff.words(changes)))
        return DONE

    return run

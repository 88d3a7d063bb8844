"""The command `campaignpool`: for who writes a blueprint or looks after images. Thin: it reads arguments and prints.

Exit codes: 0 done; 1 the blueprint, the template or the database has a fault, one line each on standard error;
2 the command was used wrongly; 3 no connection to the database.
"""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import TypeAlias

from campaignpool.api.spec import Template
from campaignpool.blueprint import check, compilation, diff, discover, grants, manifest, report
from campaignpool.cli import images
from campaignpool.errors import (
    BlueprintError,
    CampaignPoolError,
    ConfigurationError,
    CredentialsError,
    SecretError,
    UnreachableError,
)
from campaignpool.ledger.database import Connection, connected

Run: TypeAlias = Callable[[Connection], Coroutine[None, None, int]]
"""What a command does once there is a connection."""

Command: TypeAlias = Callable[[argparse.Namespace], Run]
"""Reads the arguments and the files they name, before anything is asked of a database."""

URL_VARIABLE = "CAMPAIGNPOOL_DATABASE_URL"
DONE, FAULT, USAGE, UNREACHABLE = range(4)
INTERRUPTED = 130
"""What shells say of a command that was stopped by Ctrl-C; the connection's end rolls everything back."""

_ABOUT = """\
Write, check and compare blueprints, the declaration of what makes a campaign; see
how the images of campaigns stand, and try failed ones again.

Start with `campaignpool blueprint discover`, which writes a first blueprint from
a live database; mend what it marks; see with `check` what a clone will be; put
it into the CampaignPool resource. Only `images retry` ever changes the database."""

_BLUEPRINT = """\
steps:
  discover   write a first blueprint from a live database
  check      compile it, show the plan, rehearse a clone that is rolled back
  grants     print the roles and rights that the operator needs, for who may grant them
  diff       say what changed in the template since campaigns were last made from it"""

_URL = f"""\
the database:
  --database-url URL, or --database-url-file FILE, or the variable {URL_VARIABLE}.
  A URL on the command line shows in the process list: with a password in it,
  prefer the file or the variable. It is never printed.

exit codes:
  0 done   1 a fault, one line each   2 wrong usage   3 no connection to the database"""

_DISCOVER = f"""\
Write a commented blueprint for a live database. It follows the foreign keys from
the root table and looks at the data: which tables the template has rows in, which
pairs of columns are polymorphic references and to what, what has to be set in a
clone, what is play and no template. What only a person can decide is marked LOOK.
It reads in one read-only transaction, and changes nothing.

examples:
  campaignpool blueprint discover --root campaigns --template-where is_master_template -o blueprint.yaml
  campaignpool blueprint discover --root game.worlds --template-key 17 --database-url-file url.txt

{_URL}"""

_CHECK = f"""\
Compile a blueprint against a live database and print the plan: a tree of tables
with rows each, and what becomes of every column.

Unless --no-dry-run is given, it also rehearses: it freezes the template, clones
--campaigns N and rolls everything back, so that triggers, checks and constraints
have their say and each table has its time. It works where the operator has never
been. What no rollback undoes: sequences stand further on, and dead rows are left
to the next vacuum. On a busy database, rehearse on a copy.

examples:
  campaignpool blueprint check -f blueprint.yaml --template-where is_master_template
  campaignpool blueprint check -f pool.yaml --campaigns 10
  campaignpool blueprint check -f pool.yaml --no-dry-run --sql

{_URL}"""

_DIFF = f"""\
Say what changed in the template: tables, rows added, removed and changed, and in
which columns. By default from what the pool's campaigns are made of to the template
as it is now; either side may be a revision's number, a fingerprint (its beginning
is enough) or the word `{diff.NOW}`. Keys and names of columns are shown, never values.

examples:
  campaignpool blueprint diff --pool game/chiwar
  campaignpool blueprint diff --pool game/chiwar --from 3 --to 5
  campaignpool blueprint diff --pool game/chiwar --json

{_URL}"""


_GRANTS = f"""\
Print the SQL that somebody who may make roles and grant rights runs once: three roles,
and the least that the operator's needs for this blueprint in the application's database.

  campaign_pool_operator  owns the schema campaign_pool; reads the template, inserts clones,
                          deletes what nobody claimed, does what onClaim says
  campaign_pool_seeder    the seeding Jobs: calls functions of the ledger, sees no table of yours
  campaign_pool_app       your application: claims, releases, looks at the views, nothing else

Grant each to the role that logs in. After a change of the blueprint, run it again: all of
it can be repeated. Where the roles come after the ledger, what the seeder and the
application need on the ledger is granted by SELECT campaign_pool.grant_access().
This command reads the catalog and changes nothing.

examples:
  campaignpool blueprint grants -f blueprint.yaml > grants.sql
  campaignpool blueprint grants -f pool.yaml | psql -v ON_ERROR_STOP=1 game
  campaignpool blueprint grants --pool game/chiwar --database-url-file url.txt

{_URL}"""


def main(words: Sequence[str] | None = None) -> int:
    """Run the command and give its exit code."""
    arguments = _parser().parse_args(words)
    command: Command = arguments.command
    try:
        url, named = _url(arguments)
        run = command(arguments)
    except BlueprintError as error:
        return _complain(error.faults, FAULT)
    except ConfigurationError as error:
        return _complain([error.message], USAGE)
    try:
        return asyncio.run(_connected(url, run))
    except BlueprintError as error:
        return _complain(error.faults, FAULT)
    except SecretError as error:
        return _complain([_here(error.message, named)], USAGE)
    except UnreachableError as error:
        return _complain([_here(error.message, named)], UNREACHABLE)
    except CredentialsError as error:
        refused = error.reason != "DatabasePermissionDenied"
        return _complain([_here(error.message, named)], UNREACHABLE if refused else FAULT)
    except CampaignPoolError as error:
        return _complain([_here(error.message, named)], FAULT)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has seen enough; nothing more can be said there.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE


async def _connected(url: str, run: Run) -> int:
    async with connected(url, "campaignpool-cli") as connection:
        return await run(connection)


def _parser() -> argparse.ArgumentParser:
    parser = _described(argparse.ArgumentParser, "campaignpool", _ABOUT)
    areas = parser.add_subparsers(title="areas", required=True, metavar="AREA")
    area = areas.add_parser(
        "blueprint",
        help="write, check and compare blueprints",
        description=_BLUEPRINT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = area.add_subparsers(title="commands", required=True, metavar="COMMAND")

    found = _command(commands.add_parser, "discover", "write a first blueprint from a live database", _DISCOVER)
    found.add_argument("--root", required=True, metavar="TABLE", help="table of the campaigns, such as campaigns")
    _template(found, required=True)
    found.add_argument("-o", "--output", metavar="FILE", help="where to write it (default: standard output)")
    found.set_defaults(command=_discover)

    checked = _command(commands.add_parser, "check", "compile a blueprint and rehearse a clone", _CHECK)
    checked.add_argument(
        "-f", "--file", required=True, metavar="FILE", help="a blueprint, a CampaignPool or a ConfigMap; - is stdin"
    )
    _template(checked, required=False)
    checked.add_argument(
        "--campaigns", type=_positive, default=1, metavar="N", help="how many the dry run clones (default: 1)"
    )
    checked.add_argument(
        "--name", metavar="NAME", help="name of the CampaignPool, which $name begins with (default: the manifest's)"
    )
    checked.add_argument("--no-dry-run", action="store_true", help="compile and count only; write nothing at all")
    checked.add_argument("--sql", action="store_true", help="print the statements too")
    checked.add_argument("--explain", action="store_true", help="print the plan of each statement of the dry run too")
    checked.set_defaults(command=_check)

    granted = _command(commands.add_parser, "grants", "print the roles and rights that are needed", _GRANTS)
    source = granted.add_mutually_exclusive_group(required=True)
    source.add_argument("-f", "--file", metavar="FILE", help="a blueprint, a CampaignPool or a ConfigMap; - is stdin")
    source.add_argument("--pool", metavar="NAMESPACE/NAME", help="the CampaignPool, as it was last installed")
    granted.set_defaults(command=_grants)

    compared = _command(commands.add_parser, "diff", "say what changed in the template", _DIFF)
    compared.add_argument("--pool", required=True, metavar="NAMESPACE/NAME", help="the CampaignPool")
    compared.add_argument("--from", dest="before", metavar="REV", help="default: the pool's current revision")
    compared.add_argument("--to", dest="after", default=diff.NOW, metavar="REV", help=f"default: {diff.NOW}")
    compared.add_argument("--json", action="store_true", help="for machines")
    compared.set_defaults(command=_diff)
    images.add(areas, _command, _URL)
    return parser


def _described(
    make: Callable[..., argparse.ArgumentParser], name: str, text: str, **more: str
) -> argparse.ArgumentParser:
    return make(name, description=text, formatter_class=argparse.RawDescriptionHelpFormatter, **more)


def _command(
    make: Callable[..., argparse.ArgumentParser], name: str, summary: str, text: str
) -> argparse.ArgumentParser:
    command = _described(make, name, text, help=summary)
    database = command.add_mutually_exclusive_group()
    database.add_argument("--database-url", metavar="URL", help="postgresql://user:password@host:5432/database")
    database.add_argument("--database-url-file", metavar="FILE", help="a file that holds the URL")
    return command


def _template(command: argparse.ArgumentParser, *, required: bool) -> None:
    template = command.add_mutually_exclusive_group(required=required)
    template.add_argument("--template-where", metavar="SQL", help="condition that holds for the template's row alone")
    template.add_argument("--template-key", metavar="KEY", help="primary key of the template's row")


def _positive(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) <= 1000:
        raise argparse.ArgumentTypeError("a number from 1 to 1000")
    return int(text)


def _url(arguments: argparse.Namespace) -> tuple[str, str]:
    """Give the database's URL and what to call the place it comes from."""
    if arguments.database_url:
        return arguments.database_url, "--database-url"
    if arguments.database_url_file:
        return _text(arguments.database_url_file).strip(), arguments.database_url_file
    if url := os.environ.get(URL_VARIABLE):
        return url, URL_VARIABLE
    raise ConfigurationError(
        f"say which database: --database-url, --database-url-file or the variable {URL_VARIABLE}"
    )


def _text(name: str) -> str:
    try:
        return sys.stdin.read() if name == "-" else Path(name).read_text()
    except (OSError, UnicodeDecodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ConfigurationError(f"{name} cannot be read: {cause}") from error


def _write(name: str, text: str) -> None:
    try:
        Path(name).write_text(text)
    except OSError as error:
        raise ConfigurationError(f"{name} cannot be written: {error.strerror}") from error


def _chosen(arguments: argparse.Namespace) -> Template | None:
    if not arguments.template_where and not arguments.template_key:
        return None
    return Template(where=arguments.template_where, key=arguments.template_key)


def _said(template: Template) -> str:
    return f"key {template.key}" if template.key is not None else str(template.where)


def _discover(arguments: argparse.Namespace) -> Run:
    template = _chosen(arguments)
    if template is None:
        raise ConfigurationError("an empty template: give --template-where or --template-key a value")

    async def run(connection: Connection) -> int:
        text = await discover.discover(connection, arguments.root, template)
        if not arguments.output:
            sys.stdout.write(text)
            return DONE
        _write(arguments.output, text)
        look = text.count(f"{discover.MARK}: ")
        _print(
            f"{arguments.output} written{f': decide what is marked {discover.MARK}, {look} places' if look else ''}"
        )
        return DONE

    return run


def _check(arguments: argparse.Namespace) -> Run:
    if arguments.no_dry_run and arguments.explain:
        raise ConfigurationError("--explain needs the dry run: leave out --no-dry-run")
    declared = manifest.read(_text(arguments.file), arguments.file)
    spec = declared.with_template(_chosen(arguments))
    campaigns = 0 if arguments.no_dry_run else arguments.campaigns

    async def run(connection: Connection) -> int:
        found = await check.check(
            connection,
            spec,
            declared.blueprint,
            campaigns=campaigns,
            explain=arguments.explain,
            name=arguments.name or declared.name,
        )
        _print(*report.render(found, _said(spec.template)))
        if arguments.sql:
            for heading, text in check.statements(found):
                _print("", f"-- {heading}", f"{text};")
        if found.rehearsal and arguments.explain:
            _print("", *found.rehearsal.plans)
        return DONE

    return run


def _grants(arguments: argparse.Namespace) -> Run:
    declared = manifest.read(_text(arguments.file), arguments.file).blueprint if arguments.file else None

    async def run(connection: Connection) -> int:
        blueprint = declared or (await diff.revisions(connection, arguments.pool))[0].blueprint
        _print("\n".join(await grants.of_database(connection, blueprint)))
        return DONE

    return run


def _diff(arguments: argparse.Namespace) -> Run:
    if arguments.before == arguments.after == diff.NOW:
        raise ConfigurationError(f"--from and --to are both `{diff.NOW}`: name a revision for one of them")

    async def run(connection: Connection) -> int:
        known = await diff.revisions(connection, arguments.pool)
        latest = known[0]
        spec = manifest.Declared(latest.blueprint).with_template(Template(key=latest.template))
        compiled = await compilation.compile_blueprint(connection, spec, latest.blueprint)

        async def side(wanted: str) -> diff.Side:
            if wanted == diff.NOW:
                return await diff.of_template(connection, compiled)
            return diff.of_revision(diff.choose(known, wanted))

        async with check.rolled_back(connection):
            before = await side(arguments.before or str(latest.number))
            found = await diff.compare(connection, before, await side(arguments.after))
        _print(*([json.dumps(diff.as_json(found), indent=2)] if arguments.json else diff.words(found)))
        return DONE

    return run


def _here(message: str, named: str) -> str:
    """Say the same where there is no Secret: the library's messages speak to the owner of a CampaignPool."""
    for theirs, ours in (
        ("the URL in the Secret", f"the URL in {named}"),
        ("the database URL", f"the URL in {named}"),
        ("spec.template.where", "--template-where"),
        ("spec.template.key", "--template-key"),
    ):
        message = message.replace(theirs, ours)
    return message


def _complain(faults: Sequence[str], code: int) -> int:
    for fault in faults:
        sys.stderr.write(f"campaignpool: {fault}\n")
    return code


def _print(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))

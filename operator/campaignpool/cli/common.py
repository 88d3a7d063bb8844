"""What every command shares: the arguments that name a database and a template, and files."""

import argparse
import os
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeAlias

from campaignpool.api.spec import Template
from campaignpool.errors import ConfigurationError
from campaignpool.ledger.database import Connection

Run: TypeAlias = Callable[[Connection], Coroutine[None, None, int]]
"""A command, once there is a connection; it returns the exit code."""

Command: TypeAlias = Callable[[argparse.Namespace], Run | int]
"""Reads the arguments and the files they name, before a connection is opened; an int is the exit code without one."""

Subcommands: TypeAlias = Any
"""What `add_subparsers` returns; argparse keeps the type private."""

URL_VARIABLE = "CAMPAIGNPOOL_DATABASE_URL"
DONE, FAULT, USAGE, UNREACHABLE = range(4)
INTERRUPTED = 130
"""The exit code that shells expect after Ctrl-C."""

DATABASE = f"""\
the database:
  --database-url URL, or --database-url-file FILE, or the variable {URL_VARIABLE}.
  A URL on the command line shows in the process list: with a password in it,
  prefer the file or the variable. It is never printed.

exit codes:
  0 done   1 a fault, one line each   2 wrong usage   3 no connection to the database"""


def described(
    make: Callable[..., argparse.ArgumentParser], name: str, text: str, summary: str
) -> argparse.ArgumentParser:
    """Return a parser whose help is this text, unchanged."""
    return make(name, description=text, formatter_class=argparse.RawDescriptionHelpFormatter, help=summary)


def group(areas: Subcommands, name: str, summary: str, text: str) -> Subcommands:
    """Add a group of commands and return where its commands are added."""
    return described(areas.add_parser, name, text, summary).add_subparsers(
        title="commands", required=True, metavar="COMMAND"
    )


def command(commands: Subcommands, name: str, summary: str, text: str, run: Command) -> argparse.ArgumentParser:
    """Add a command that works on a database; its help ends with how to name one."""
    parser = described(commands.add_parser, name, f"{text}\n{DATABASE}", summary)
    database(parser)
    parser.set_defaults(command=run)
    return parser


def database(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that name a database."""
    arguments = parser.add_mutually_exclusive_group()
    arguments.add_argument("--database-url", metavar="URL", help="postgresql://user:password@host:5432/database")
    arguments.add_argument("--database-url-file", metavar="FILE", help="a file that holds the URL")


def template(parser: argparse.ArgumentParser, *, required: bool) -> None:
    """Add the arguments that name the template."""
    arguments = parser.add_mutually_exclusive_group(required=required)
    arguments.add_argument("--template-where", metavar="SQL", help="condition that only the template's row meets")
    arguments.add_argument("--template-key", metavar="KEY", help="primary key of the template's row")


def template_from(arguments: argparse.Namespace) -> Template | None:
    """Return the template that the arguments name, if any."""
    if not arguments.template_where and not arguments.template_key:
        return None
    return Template(where=arguments.template_where, key=arguments.template_key)


def names_database(arguments: argparse.Namespace) -> bool:
    """Return whether a database is named."""
    return bool(arguments.database_url or arguments.database_url_file or os.environ.get(URL_VARIABLE))


def url_from(arguments: argparse.Namespace) -> tuple[str, str]:
    """Return the database's URL and the name of its source. Raises ConfigurationError where there is none."""
    if arguments.database_url:
        return arguments.database_url, "--database-url"
    if arguments.database_url_file:
        return read(arguments.database_url_file), arguments.database_url_file
    if url := os.environ.get(URL_VARIABLE):
        return url, URL_VARIABLE
    raise ConfigurationError(
        f"no database is named: give --database-url or --database-url-file, or set the variable {URL_VARIABLE}"
    )


def read(name: str) -> str:
    """Return the text of a file; `-` is standard input."""
    try:
        return sys.stdin.read() if name == "-" else Path(name).read_text()
    except (OSError, UnicodeDecodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ConfigurationError(f"{name} cannot be read: {cause}") from error


def write(name: str, text: str) -> None:
    """Write a file."""
    try:
        Path(name).write_text(text)
    except OSError as error:
        raise ConfigurationError(f"{name} cannot be written: {error.strerror}") from error


def print_lines(*lines: str) -> None:
    """Print lines to standard output."""
    sys.stdout.write("".join(f"{line}\n" for line in lines))


def reworded(message: str, source: str) -> str:
    """Return a message of the library in the words of the command line, which knows neither Secret nor spec."""
    for theirs, ours in (
        ("the URL in the Secret", f"the URL in {source}"),
        ("the database URL", f"the URL in {source}"),
        ("spec.template.where", "--template-where"),
        ("spec.template.key", "--template-key"),
    ):
        message = message.replace(theirs, ours)
    return message

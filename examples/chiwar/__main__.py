"""`python -m chiwar`: load the sample application into a database."""

import argparse
import asyncio
import os
import sys
import time

import asyncpg

from chiwar import ids
from chiwar.load import AlreadyThereError, Counts, load

_DESCRIPTION = """\
Load the sample application into a Postgres database: its tables, the master
template, and if you like the campaigns of other people. The rows are made by a
seeded generator, so that they are the same each time, ids included."""

_EXAMPLES = f"""\
examples:
  createdb game
  python -m chiwar --database-url postgresql://me:secret@127.0.0.1/game
  python -m chiwar --campaigns 50          # a database that is in use
  python -m chiwar --scale 0.05            # small and quick, for tests

ids that never change:
  {ids.TEMPLATE_ID}  the master template
  {ids.TEMPLATE_OWNER_ID}  its owner
  {ids.RETURNING_USERS[0]}  a returning gamemaster
  {ids.RETURNING_USERS[1]}  another one
  {ids.NEW_USER_ID}  a new gamemaster

It refuses a database that has any of the tables already; to start anew, drop
the database or load into another schema (?options=-csearch_path%3Dother)."""


def _arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m chiwar",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--database-url",
        default=os.environ.get("DATABASE_URL"),
        metavar="URL",
        help="postgresql://user:password@host:port/name (default: the variable DATABASE_URL)",
    )
    parser.add_argument("--scale", type=float, default=1.0, help="size of each campaign; 1.0: 643 schticks and so on")
    parser.add_argument(
        "--campaigns", type=int, default=0, metavar="N", help="campaigns of other people (default: 0)"
    )
    parser.add_argument("--seed", type=int, default=1, help="another seed, other rows (default: 1)")
    arguments = parser.parse_args(words)
    if not arguments.database_url:
        parser.error("say where to: --database-url URL, or the variable DATABASE_URL")
    if arguments.scale <= 0:
        parser.error("--scale has to be greater than 0")
    if arguments.campaigns < 0:
        parser.error("--campaigns has to be 0 or more")
    return arguments


async def _load(arguments: argparse.Namespace) -> Counts:
    connection = await asyncpg.connect(arguments.database_url, timeout=10)
    try:
        return await load(connection, scale=arguments.scale, campaigns=arguments.campaigns, seed=arguments.seed)
    finally:
        await connection.close()


def main(words: list[str] | None = None) -> int:
    """Run the command; returns its exit code: 0 loaded, 1 not, with the reason on standard error."""
    arguments = _arguments(sys.argv[1:] if words is None else words)
    began = time.monotonic()
    try:
        counts = asyncio.run(_load(arguments))
    except (AlreadyThereError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError, ValueError) as fault:
        sys.stderr.write(f"chiwar: nothing loaded: {str(fault) or type(fault).__name__}\n")
        return 1
    lines = [
        f"{count:>9,} {table}{f', {counts.clone[table]:,} in a clone' if table in counts.clone else ''}"
        for table, count in counts.loaded.items()
    ]
    lines.append(
        f"{sum(counts.loaded.values()):,} rows loaded in {time.monotonic() - began:.1f} s;"
        f" a clone of the template {ids.TEMPLATE_ID} has {sum(counts.clone.values()):,}"
    )
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

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
template and, with --campaigns, campaigns of other users. A seeded generator
creates the rows, so every load creates the same rows and ids."""

_EXAMPLES = f"""\
examples:
  createdb game
  python -m chiwar --database-url postgresql://me:secret@127.0.0.1/game
  python -m chiwar --campaigns 50          # a database with other users
  python -m chiwar --scale 0.05            # small and fast, for tests

fixed ids:
  {ids.TEMPLATE_ID}  the master template
  {ids.TEMPLATE_OWNER_ID}  its owner
  {ids.RETURNING_USERS[0]}  a returning gamemaster
  {ids.RETURNING_USERS[1]}  another returning gamemaster
  {ids.NEW_USER_ID}  a new gamemaster

The command refuses a database that has any of the tables. To start again, drop
the database or load into another schema (?options=-csearch_path%3Dother)."""


def _arguments(argv: list[str]) -> argparse.Namespace:
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
        help="postgresql://user:password@host:port/name (default: $DATABASE_URL)",
    )
    parser.add_argument(
        "--scale", type=float, default=1.0, help="size of each campaign; 1.0 is 643 schticks, 1,978 rows in a clone"
    )
    parser.add_argument("--campaigns", type=int, default=0, metavar="N", help="campaigns of other users (default: 0)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the random rows (default: 1)")
    arguments = parser.parse_args(argv)
    if not arguments.database_url:
        parser.error("no database: pass --database-url URL or set DATABASE_URL")
    if arguments.scale <= 0:
        parser.error("--scale must be greater than 0")
    if arguments.campaigns < 0:
        parser.error("--campaigns must be 0 or more")
    return arguments


async def _load(arguments: argparse.Namespace) -> Counts:
    connection = await asyncpg.connect(arguments.database_url, timeout=10)
    try:
        return await load(connection, scale=arguments.scale, campaigns=arguments.campaigns, seed=arguments.seed)
    finally:
        await connection.close()


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code: 0 if the rows are loaded, 1 with a message on standard error."""
    arguments = _arguments(sys.argv[1:] if argv is None else argv)
    began = time.monotonic()
    try:
        counts = asyncio.run(_load(arguments))
    except (AlreadyThereError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError, ValueError) as error:
        sys.stderr.write(f"chiwar: nothing loaded: {str(error) or type(error).__name__}\n")
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

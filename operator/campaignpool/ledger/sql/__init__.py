"""The SQL of the ledger: tables, migrations, definitions that are applied again when they change, and queries."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable

from campaignpool import sqlfiles

RELEASE = 1
"""Number of this release's definitions; raised with every release that changes one of them."""


@dataclass(frozen=True)
class File:
    """One SQL file.

    Attributes:
        name: `tables` or `add_a_column`, of a migration without its number; `functions/claiming`.
        text: What it holds.
    """

    name: str
    text: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the text."""
        return sha256(self.text.encode()).hexdigest()


@dataclass(frozen=True)
class Schema:
    """What one release makes of the schema.

    Attributes:
        release: Its number.
        versions: The tables as version 1, then the migrations; each is applied once and never changes.
        definitions: Functions and views, in the order of their application.
        roles: Rights; applied after every change.
    """

    release: int
    versions: tuple[File, ...]
    definitions: tuple[File, ...]
    roles: File


@cache
def schema() -> Schema:
    """Return the schema of this release."""
    here = files(__name__)
    migrations = [File(path.name[5:-4], path.read_text()) for path in _sql(here.joinpath("migrations"))]
    functions = [File(f"functions/{path.name[:-4]}", path.read_text()) for path in _sql(here.joinpath("functions"))]
    # Indexes, views and functions of one expression need what they name: keys come first, views last.
    functions.sort(key=lambda file: (file.name != "functions/keys", file.name != "functions/notifying", file.name))
    return Schema(
        RELEASE,
        (File("tables", sqlfiles.text(__name__, "tables")), *migrations),
        (*functions, File("views", sqlfiles.text(__name__, "views"))),
        File("roles", sqlfiles.text(__name__, "roles")),
    )


def queries(topic: str) -> dict[str, str]:
    """Return the queries of a topic, by name."""
    return sqlfiles.queries(__name__, f"queries/{topic}")


def _sql(folder: Traversable) -> Iterator[Traversable]:
    """Return the SQL files of a folder, in the order of their names; a folder without any may be missing."""
    if folder.is_dir():
        yield from sorted(
            (path for path in folder.iterdir() if path.name.endswith(".sql")), key=lambda path: path.name
        )

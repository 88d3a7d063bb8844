"""The SQL files: queries by name, migrations in order, the catalog query."""

import re
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files

_HERE = files(__name__)

CATALOG = _HERE.joinpath("catalog.sql").read_text()
MIGRATION_TABLE = _HERE.joinpath("migration_table.sql").read_text()


@dataclass(frozen=True)
class Migration:
    """One migration file; `checksum` proves that what was applied is what is here."""

    version: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the text."""
        return sha256(self.sql.encode()).hexdigest()


@cache
def migrations() -> tuple[Migration, ...]:
    """Give the migrations in order; a file is named `0001_what_it_does.sql`."""
    found = sorted(_HERE.joinpath("migrations").iterdir(), key=lambda path: path.name)
    return tuple(
        Migration(int(path.name[:4]), path.name[5:].removesuffix(".sql"), path.read_text())
        for path in found
        if path.name.endswith(".sql")
    )


@cache
def queries(file: str = "queries") -> dict[str, str]:
    """Give the statements of a file of queries by their `-- name:` line."""
    parts = re.split(r"^-- name: (\w+)\n", _HERE.joinpath(f"{file}.sql").read_text(), flags=re.MULTILINE)[1:]
    return {name: text.strip() for name, text in zip(parts[::2], parts[1::2], strict=True)}

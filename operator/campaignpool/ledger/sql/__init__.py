"""The SQL of the ledger: queries by name, migrations in order."""

from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files

from campaignpool import sqlfiles

_HERE = files(__name__)

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


def queries(file: str = "queries") -> dict[str, str]:
    """Return the queries of a file of this folder, by name."""
    return sqlfiles.queries(__name__, file)

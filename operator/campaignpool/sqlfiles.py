"""SQL in files of its own: queries by their `-- name:` line."""

import re
from functools import cache
from importlib.resources import files


@cache
def text(package: str, file: str) -> str:
    """Return the text of `file`.sql in a package's folder."""
    return files(package).joinpath(f"{file}.sql").read_text()


@cache
def queries(package: str, file: str) -> dict[str, str]:
    """Return the queries of `file`.sql in a package's folder, by their `-- name:` line."""
    parts = re.split(r"^-- name: (\w+)\n", text(package, file), flags=re.MULTILINE)[1:]
    return {name: query.strip() for name, query in zip(parts[::2], parts[1::2], strict=True)}

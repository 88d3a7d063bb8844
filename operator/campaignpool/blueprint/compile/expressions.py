"""Expressions of a blueprint: SQL of its author, with `$variables`."""

import re
from collections.abc import Iterable, Mapping

VARIABLES = frozenset({"campaign", "name", "owner", "claimant"})
IMAGE_VARIABLES = frozenset({"campaign", "file_id", "path", "url", "size"})
_TOKEN = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|\$(\w*)", re.DOTALL)


def substitute(expression: str, values: Mapping[str, str]) -> str:
    """Replace `$variables` of an expression by SQL; text in quotes is left alone.

    Raises:
        KeyError: With the name of a variable that `values` lacks.
    """

    def replaced(match: re.Match[str]) -> str:
        return match[0] if match[1] is None else values[match[1]]

    return _TOKEN.sub(replaced, expression)


def variables_of(expression: str) -> set[str]:
    """Give the names of the variables of an expression."""
    return {match[1] for match in _TOKEN.finditer(expression) if match[1] is not None}


def mentioned(expression: str, names: Iterable[str]) -> tuple[str, ...]:
    """Give those of some columns that an expression may read: too many rather than too few."""
    bare = _TOKEN.sub(lambda match: match[0] if match[1] is None else " ", expression)
    words = {word.lower() for word in re.findall(r"\w+", bare)}
    return tuple(name for name in names if words & {word.lower() for word in re.findall(r"\w+", name) or [name]})

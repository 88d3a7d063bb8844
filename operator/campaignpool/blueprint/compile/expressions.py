"""Expressions of a blueprint: SQL of its author, with `$variables`."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping

VARIABLES = frozenset({"campaign", "name", "owner", "claimant"})
SET_VARIABLES = frozenset({"campaign", "name", "owner", "id", "clone_of"})
IMAGE_VARIABLES = frozenset({"campaign", "file_id", "path", "url", "size"})
_PARTS = re.compile(r"(?<!\w)[eE]'|'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|--|/\*|\$\w*\$|[;()'\"]", re.DOTALL)
_DOLLAR = re.compile(r"\$\w+\$")
_TOKEN = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|\$(\w*)", re.DOTALL)


def substitute(expression: str, values: Mapping[str, str]) -> str:
    """Replace `$variables` of an expression by SQL; text in quotes is left alone.

    Raises:
        KeyError: With the name of a variable that `values` lacks.
    """

    def replaced(match: re.Match[str]) -> str:
        return match[0] if match[1] is None else values[match[1]]

    return _TOKEN.sub(replaced, expression)


def expand(expression: str, clone_of: Callable[[str, str], str]) -> str:
    """Replace every `$clone_of(table, key)` of an expression by SQL, the innermost first.

    Raises:
        ValueError: A call is not closed, or has no second argument.
    """
    for match in _TOKEN.finditer(expression):
        if match[1] == "clone_of":
            table, key, end = _arguments(expression, match.end())
            value = clone_of(table, expand(key, clone_of))
            return f"{expression[: match.start()]}{value}{expand(expression[end:], clone_of)}"
    return expression


def calls(expression: str) -> Iterator[str]:
    """Yield the tables that `$clone_of` names in an expression. Raises as `expand` does."""
    results: list[str] = []

    def note(table: str, key: str) -> str:
        results.append(table)
        return key

    expand(expression, note)
    yield from results


def _arguments(expression: str, start: int) -> tuple[str, str, int]:
    """Return the two arguments of a call whose parenthesis opens at `start`, and where it ends."""
    depth, comma = 0, None
    for match in re.finditer(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|[(),]", expression[start:], re.DOTALL):
        depth += {"(": 1, ")": -1}.get(match[0], 0)
        if depth == 1 and match[0] == "," and comma is None:
            comma = start + match.start()
        if depth == 0:
            if match[0] != ")" or comma is None:
                break
            close = start + match.start()
            return expression[start:comma].strip(" (\n\t"), expression[comma + 1 : close].strip(), close + 1
    message = "write $clone_of(table, key): the name of a table of the blueprint, and SQL for the template's key"
    raise ValueError(message)


def malformed(expression: str) -> str | None:
    """Return why a text is no single SQL expression, or None where it is one; its grammar is Postgres' to check.

    An expression stands in parentheses inside of our statements. It must not leave them, end the statement, or hide
    what follows in a comment or a string of another kind.
    """
    depth = 0
    for match in _PARTS.finditer(expression):
        part = match[0]
        if part == ";":
            return "a `;` ends a statement"
        if part in ("--", "/*"):
            return "a comment is no part of an expression"
        if part == "$$" or _DOLLAR.fullmatch(part):
            return "write text in single quotes, not between dollar signs"
        if part in ("'", '"'):
            return "a quote is not closed"
        if part[0] in "eE" and len(part) > 1 and part[1] == "'":
            return "write text in plain single quotes, without an E before them"
        depth += {"(": 1, ")": -1}.get(part, 0)
        if depth < 0:
            return "a `)` closes what the expression did not open"
    return "a `(` is not closed" if depth else None


def reads(expression: str) -> bool:
    """Return whether an expression has a sub-select."""
    words = re.findall(r"\w+", _TOKEN.sub(" ", expression))
    return any(word.lower() in ("select", "table", "values", "with") for word in words)


def variables_of(expression: str) -> set[str]:
    """Return the names of the variables of an expression."""
    return {match[1] for match in _TOKEN.finditer(expression) if match[1] is not None}


def mentioned(expression: str, names: Iterable[str]) -> tuple[str, ...]:
    """Return those of some columns that an expression may read: too many rather than too few."""
    bare = _TOKEN.sub(lambda match: match[0] if match[1] is None else " ", expression)
    words = {word.lower() for word in re.findall(r"\w+", bare)}
    return tuple(name for name in names if words & {word.lower() for word in re.findall(r"\w+", name) or [name]})

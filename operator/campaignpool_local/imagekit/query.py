"""The `searchQuery` of a list: parses ImageKit's query language into a predicate on files and folders.

`list-and-search-assets`, "Advanced search queries": fields with `=`, `:` (begins with; for `path`: in this folder or
below), `<`, `<=`, `>`, `>=`, `IN`, `NOT =` and `NOT IN`, joined by AND and OR, grouped by parentheses. Names are
case-sensitive. Times are ISO 8601 or relative ("7d" is a week ago), sizes are bytes or "1mb". The stand-in supports
the fields in `FIELDS`, and no full-text search (`HAS`).
"""

import operator
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from campaignpool_local.imagekit.errors import RefusedError
from campaignpool_local.values import Value

Asset = Mapping[str, Value]
"""A file or folder by the field names of queries: times in seconds since 1970, sizes in bytes."""
Test = Callable[[Asset], bool]

_TIMES, _NUMBERS = ("createdAt", "updatedAt"), ("height", "width", "size")
FIELDS = ("id", "name", "path", "type", "format", "tags", "private", *_TIMES, *_NUMBERS)
_TOKEN = re.compile(r'\s*("(?:[^"\\]|\\.)*"|<=|>=|[()\[\],=:<>]|[^\s"()\[\],=:<>]+)')
_ORDER: dict[str, Callable[[Value, Value], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_UNITS = {"h": 3600, "d": 86400, "w": 7 * 86400, "m": 30 * 86400, "y": 365 * 86400}
"""Seconds; months and years are approximate."""
_BYTES = {"": 1, "b": 1, "kb": 1000, "mb": 1000**2, "gb": 1000**3}


def parse(query: str, now: float) -> tuple[Test, bool]:
    """Parse a query.

    Returns:
        The predicate, and whether the query names a `type`; if it does not, a list returns only files.

    Raises:
        RefusedError: 400, the query is invalid.
    """
    tokens, end = list[str](), 0
    while match := _TOKEN.match(query, end):
        tokens.append(match[1])
        end = match.end()
    if query[end:].strip():
        raise _invalid(query)
    parser = _Parser(query, tokens, now)
    test = parser.disjunction()
    if parser.left:
        raise _invalid(query)
    return test, "type" in tokens


def _invalid(query: str) -> RefusedError:
    return RefusedError(400, f"Your request contains invalid value for searchQuery parameter: {query}")


class _Parser:
    """A recursive descent parser: OR has the lowest precedence, then AND, then parentheses and conditions."""

    def __init__(self, query: str, tokens: list[str], now: float) -> None:
        self._query, self.left, self._now = query, tokens[::-1], now

    def _next(self) -> str:
        if not self.left:
            raise _invalid(self._query)
        return self.left.pop()

    def _skip(self, word: str) -> bool:
        if self.left and self.left[-1] == word:
            self.left.pop()
            return True
        return False

    def disjunction(self) -> Test:
        tests = [self._conjunction()]
        while self._skip("OR"):
            tests.append(self._conjunction())
        return lambda asset: any(test(asset) for test in tests)

    def _conjunction(self) -> Test:
        tests = [self._term()]
        while self._skip("AND"):
            tests.append(self._term())
        return lambda asset: all(test(asset) for test in tests)

    def _term(self) -> Test:
        if self._skip("("):
            inner = self.disjunction()
            if not self._skip(")"):
                raise _invalid(self._query)
            return inner
        field = self._next()
        if field not in FIELDS:
            raise _invalid(self._query)
        negated = self._skip("NOT")
        test = self._condition(field, self._next(), negated)
        return (lambda asset: not test(asset)) if negated else test

    def _condition(self, field: str, sign: str, negated: bool) -> Test:
        if sign == "IN":
            values = self._values(field)
            if field == "tags":
                return lambda asset: not values.isdisjoint(asset["tags"])
            return lambda asset: asset[field] in values
        value = self._value(field, self._next())
        if sign == "=" and field != "tags":
            return lambda asset: bool(asset[field] == value)
        if sign == ":" and not negated and field == "path":
            below = f"{value.rstrip('/')}/"
            return lambda asset: bool(asset["path"] == value) or str(asset["path"]).startswith(below)
        if sign == ":" and not negated and field == "name":
            return lambda asset: str(asset["name"]).startswith(value)
        if sign in _ORDER and not negated and field in (*_TIMES, *_NUMBERS):
            return lambda asset: asset[field] is not None and _ORDER[sign](asset[field], value)
        raise _invalid(self._query)

    def _values(self, field: str) -> set[Value]:
        values = set()
        if not self._skip("["):
            raise _invalid(self._query)
        while not self._skip("]"):
            values.add(self._value(field, self._next()))
            self._skip(",")
        return values

    def _value(self, field: str, token: str) -> Value:
        quoted = token.startswith('"')
        text = re.sub(r"\\(.)", r"\1", token[1:-1]) if quoted else token
        try:
            if field in _TIMES:
                return self._time(text)
            if field in _NUMBERS:
                number, unit = re.fullmatch(r"([\d.]+)\s*(\w*)", text.lower()).groups()  # type: ignore[union-attr]
                return float(number) * _BYTES[unit]
            if field == "private":
                return {"true": True, "false": False}[text]
        except (AttributeError, KeyError, ValueError) as error:
            raise _invalid(self._query) from error
        if not quoted:
            raise _invalid(self._query)
        return (f"/{text.strip('/')}") if field == "path" else text

    def _time(self, text: str) -> float:
        if relative := re.fullmatch(r"(\d+)([hdwmy])", text):
            return self._now - int(relative[1]) * _UNITS[relative[2]]
        time = datetime.fromisoformat(text)
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()

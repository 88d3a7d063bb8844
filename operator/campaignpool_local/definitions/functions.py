"""The operators and functions that rules may use: which types they take and give, and what one call costs."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from campaignpool_local.definitions.declared import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    STRING,
    TIMESTAMP,
    UINT,
    Type,
)

_PER_BYTE, _PER_PATTERN_BYTE = 0.1, 0.25  # cost of reading a byte, and of one byte of a regular expression
_COUNTED, _NUMBERS = ("string", "bytes", "list", "map"), ("int", "uint", "double")
_TYPE = Type("type")


@dataclass(frozen=True)
class Term:
    """What a part of an expression is: its type, the most that computing it costs, its largest size."""

    type: Type
    cost: int = 0
    size: int = 1


class NoOverloadError(Exception):
    """No overload of a function takes arguments of these types."""


def fits(given: Type, wanted: Type) -> bool:
    """Return whether a value of one type can be used as the other; `dyn` can always be."""
    if "dyn" in (given.kind, wanted.kind):
        return True
    if "null_type" in (given.kind, wanted.kind):
        return {given.kind, wanted.kind} <= {"null_type", "object", "duration", "timestamp"}
    if given.kind != wanted.kind or (given.kind == "object" and given.fields != wanted.fields):
        return False
    parts = ((given.element, wanted.element), (given.key, wanted.key))
    return all(fits(a or DYN, b or DYN) for a, b in parts)


def read(size: int, per_byte: float = _PER_BYTE) -> int:
    """Return the cost of reading so many bytes."""
    return math.ceil(size * per_byte)


def _equality(left: Term, right: Term) -> Term:
    if not (fits(left.type, right.type) or fits(right.type, left.type)):
        raise NoOverloadError
    return Term(BOOL, read(min(left.size, right.size)))


def _order(left: Term, right: Term) -> Term:
    kinds = {left.type.kind, right.type.kind}
    same = len(kinds - {"dyn"}) <= 1 or kinds <= {*_NUMBERS, "dyn"}
    if not same or kinds & {"list", "map", "object", "null_type"}:
        raise NoOverloadError
    return Term(BOOL, max(1, read(min(left.size, right.size))) if kinds & {"string", "bytes", "dyn"} else 1)


def _membership(left: Term, right: Term) -> Term:
    keys = right.type.key if right.type.kind == "map" else right.type.element
    if right.type.kind not in ("list", "map", "dyn") or not fits(left.type, keys or DYN):
        raise NoOverloadError
    return Term(BOOL, right.size if right.type.kind != "map" else 1)


_SUMS = {
    ("duration", "duration"): DURATION,
    ("timestamp", "duration"): TIMESTAMP,
    ("duration", "timestamp"): TIMESTAMP,
}
_DIFFERENCES = {
    ("duration", "duration"): DURATION,
    ("timestamp", "duration"): TIMESTAMP,
    ("timestamp", "timestamp"): DURATION,
}


def _arithmetic(left: Term, right: Term, kinds: Sequence[str], special: dict[tuple[str, str], Type]) -> Term:
    pair = (left.type.kind, right.type.kind)
    if pair in special:
        return Term(special[pair], 1)
    if "dyn" in pair:
        return Term(DYN, max(1, read(left.size + right.size)), left.size + right.size)
    if pair[0] != pair[1] or pair[0] not in kinds or not fits(left.type, right.type):
        raise NoOverloadError
    if pair[0] in _NUMBERS:
        return Term(left.type, 1)
    size = left.size + right.size
    return Term(replace(left.type, size=size), 1 if pair[0] == "list" else read(size), size)


def _choice(test: Term, yes: Term, no: Term) -> Term:
    if not fits(test.type, BOOL) or not (fits(yes.type, no.type) or fits(no.type, yes.type)):
        raise NoOverloadError
    return Term(no.type if yes.type.kind == "null_type" else yes.type, 0, max(yes.size, no.size))


def _negation(value: Term) -> Term:
    if value.type.kind not in ("int", "double", "dyn"):
        raise NoOverloadError
    return Term(value.type, 1)


def _not(value: Term) -> Term:
    if not fits(value.type, BOOL):
        raise NoOverloadError
    return Term(BOOL, 1)


OPERATORS: dict[str, tuple[str, Callable[..., Term]]] = {
    "relation_eq": ("==", _equality),
    "relation_ne": ("!=", _equality),
    "relation_lt": ("<", _order),
    "relation_le": ("<=", _order),
    "relation_gt": (">", _order),
    "relation_ge": (">=", _order),
    "relation_in": ("in", _membership),
    "addition_add": ("+", lambda a, b: _arithmetic(a, b, (*_NUMBERS, "string", "bytes", "list"), _SUMS)),
    "addition_sub": ("-", lambda a, b: _arithmetic(a, b, _NUMBERS, _DIFFERENCES)),
    "multiplication_mul": ("*", lambda a, b: _arithmetic(a, b, _NUMBERS, {})),
    "multiplication_div": ("/", lambda a, b: _arithmetic(a, b, _NUMBERS, {})),
    "multiplication_mod": ("%", lambda a, b: _arithmetic(a, b, ("int", "uint"), {})),
    "unary_neg": ("-", _negation),
    "unary_not": ("!", _not),
    "?": ("?", _choice),
}
"""By the name of the grammar: how an operator is written, and what it makes of its operands."""
NAMES = {"in": "@in", "?": "_?_:_", "!": "!_"}
"""How messages call the operators that are not between their operands."""


def _pattern_cost(text: Term, pattern: Term) -> int:
    return read(text.size + 1) * read(pattern.size, _PER_PATTERN_BYTE)


_Cost = Callable[..., int]
_MEMBERS: dict[str, tuple[tuple[Type, ...], Type, _Cost]] = {
    "contains": ((STRING, STRING), BOOL, lambda text, part: read(text.size) * read(part.size)),
    "startsWith": ((STRING, STRING), BOOL, lambda _, part: read(part.size)),
    "endsWith": ((STRING, STRING), BOOL, lambda _, part: read(part.size)),
    "matches": ((STRING, STRING), BOOL, _pattern_cost),
}
_PARTS = ("Hours", "Minutes", "Seconds", "Milliseconds")
_DATE_PARTS = ("FullYear", "Month", "Date", "DayOfMonth", "DayOfWeek", "DayOfYear")
_CONVERSIONS: dict[str, tuple[Type, tuple[str, ...]]] = {
    "int": (INT, (*_NUMBERS, "string", "timestamp", "duration")),
    "uint": (UINT, (*_NUMBERS, "string")),
    "double": (DOUBLE, (*_NUMBERS, "string")),
    "bool": (BOOL, ("bool", "string")),
    "string": (STRING, (*_NUMBERS, "bool", "string", "bytes", "timestamp", "duration")),
    "bytes": (BYTES, ("bytes", "string")),
    "duration": (DURATION, ("duration", "string", "int")),
    "timestamp": (TIMESTAMP, ("timestamp", "string", "int")),
}
FUNCTIONS = frozenset(
    [*_MEMBERS, *_CONVERSIONS, "size", "type", "dyn", *(f"get{part}" for part in (*_PARTS, *_DATE_PARTS))]
)


def call(name: str, target: Term | None, arguments: Sequence[Term]) -> Term:
    """Return what a call gives, without the cost of its arguments; raise `NoOverloadError` if it takes them not."""
    given = [*([target] if target else []), *arguments]
    kinds = [item.type.kind for item in given]
    if name in _MEMBERS and (target or name == "matches"):
        wanted, result, cost = _MEMBERS[name]
        if len(given) == len(wanted) and all(fits(a.type, b) for a, b in zip(given, wanted, strict=True)):
            return Term(result, cost(*given))
    elif name == "size" and len(given) == 1 and kinds[0] in (*_COUNTED, "dyn"):
        return Term(INT, 1)
    elif name in _CONVERSIONS and not target and len(given) == 1:
        result, accepted = _CONVERSIONS[name]
        if kinds[0] in (*accepted, "dyn"):
            traversed = {kinds[0], result.kind} == {"string", "bytes"}
            size = given[0].size * (4 if result.kind == "bytes" else 1) if traversed else result.size
            return Term(result, read(given[0].size) if traversed else 1, size)
    elif name == "type" and not target and len(given) == 1:
        return Term(_TYPE, 1)
    elif name == "dyn" and not target and len(given) == 1:
        return replace(given[0], type=DYN, cost=1)
    elif name.startswith("get") and target and len(given) <= 1 + (kinds[0] == "timestamp"):
        accepted = ("timestamp", "duration", "dyn") if name[3:] in _PARTS else ("timestamp", "dyn")
        if kinds[0] in accepted:
            return Term(INT, 1)
    raise NoOverloadError

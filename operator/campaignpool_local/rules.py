"""Validation rules in CEL: `x-kubernetes-validations`, at any level of a schema."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import pairwise

from campaignpool_local.errors import Cause
from campaignpool_local.values import Json, Value

_RESERVED = frozenset(
    [
        "true",
        "false",
        "null",
        "in",
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "namespace",
        "package",
        "return",
        "var",
        "void",
        "while",
    ]
)


class RuleError(Exception):
    """A rule that cannot be compiled, or not be evaluated on this object."""


@lru_cache(maxsize=1)
def _environment() -> tuple[Value, Value, dict[str, Callable[..., Value]]]:
    """Give CEL, its types and the list functions of Kubernetes; loaded when the first rule needs them."""
    import celpy  # noqa: PLC0415 - takes a quarter of a second, and most servers never see a rule
    from celpy import celtypes  # noqa: PLC0415 - the same

    def total(items: Value) -> Value:
        return sum(items[1:], start=items[0]) if items else celtypes.IntType(0)

    functions: dict[str, Callable[..., Value]] = {
        "sum": total,
        "min": min,
        "max": max,
        "isSorted": lambda items: celtypes.BoolType(all(a <= b for a, b in pairwise(items))),
    }
    return celpy, celtypes, functions


@lru_cache(maxsize=512)
def _program(expression: str) -> Value:
    celpy, _, functions = _environment()
    environment = celpy.Environment()
    try:
        return environment.program(environment.compile(expression), functions=functions)
    except celpy.CELParseError as error:
        raise RuleError(f"compilation failed: {error}") from error


def _escape(name: str) -> str:
    """How a rule names a field whose name is no identifier of CEL."""
    for sign, word in (("-", "__dash__"), (".", "__dot__"), ("/", "__slash__")):
        name = name.replace(sign, word)
    return f"__{name}__" if name in _RESERVED else name


def _typed(value: Value, schema: Json) -> Value:
    """Turn a JSON value into CEL's type of it, as the schema declares it."""
    celpy, types, _ = _environment()
    if isinstance(value, dict):
        declared, rest = schema.get("properties") or {}, schema.get("additionalProperties")
        inner = rest if isinstance(rest, dict) else {}
        return types.MapType(
            {
                types.StringType(_escape(key) if key in declared else key): _typed(each, declared.get(key) or inner)
                for key, each in value.items()
            }
        )
    if isinstance(value, list):
        return types.ListType([_typed(each, schema.get("items") or {}) for each in value])
    if isinstance(value, int) and not isinstance(value, bool) and schema.get("type") == "number":
        return types.DoubleType(value)
    special = {"date-time": types.TimestampType, "duration": types.DurationType}.get(schema.get("format", ""))
    return special(value) if special and isinstance(value, str) else celpy.json_to_cel(value)


def evaluate(expression: str, bindings: dict[str, tuple[Value, Json]]) -> Value:
    """Evaluate an expression over values with their schemas."""
    celpy, _, _ = _environment()
    try:
        return _program(expression).evaluate({name: _typed(*bound) for name, bound in bindings.items()})
    except (celpy.CELEvalError, ValueError, TypeError, KeyError) as error:
        raise RuleError(str(error.args[0] if error.args else error)) from error


def compile_fault(expression: str) -> str:
    """Say why an expression does not compile; nothing if it does."""
    try:
        _program(expression)
    except RuleError as error:
        return str(error)
    return ""


def _message(rule: Json, bindings: dict[str, tuple[Value, Json]]) -> str:
    fixed = rule.get("message") or f"failed rule: {rule['rule']}"
    if "messageExpression" not in rule:
        return str(fixed)
    try:
        return str(evaluate(rule["messageExpression"], bindings))
    except RuleError:
        return str(fixed)


def _broken(rule: Json, value: Value, old: Value, schema: Json, path: str) -> Cause | None:
    bindings = {"self": (value, schema)}
    if "oldSelf" in rule["rule"]:
        if old is None:
            return None  # nothing to compare with: the field is new
        bindings["oldSelf"] = (old, schema)
    try:
        if evaluate(rule["rule"], bindings):
            return None
        message = _message(rule, bindings)
    except RuleError as error:
        message = f"{error} evaluating rule: {rule.get('message') or rule['rule']}"
    field = path + rule.get("fieldPath", "")
    match rule.get("reason", "FieldValueInvalid"):
        case "FieldValueForbidden":
            return Cause.forbidden(field, message)
        case "FieldValueRequired":
            return Cause.required(field, message)
        case reason:
            quoted = "" if isinstance(value, dict | list) else f"{json.dumps(value)}: "
            return Cause(field, reason, f"Invalid value: {quoted}{message}")


def _same_item(item: Value, old: Value, schema: Json) -> Value:
    """Find the item of an old list that is the same by its keys; other lists have no such thing."""
    keys = schema.get("x-kubernetes-list-map-keys") or ()
    if not keys or not isinstance(old, list):
        return None
    return next((each for each in old if all(each.get(key) == item.get(key) for key in keys)), None)


def broken_rules(value: Value, old: Value, schema: Json, path: str = "") -> Iterator[Cause]:
    """Give every rule that a valid value breaks, here and below; `old` is what it was, or None."""
    for rule in schema.get("x-kubernetes-validations") or ():
        if value is not None and (cause := _broken(rule, value, old, schema, path)):
            yield cause
    if isinstance(value, dict):
        declared, rest = schema.get("properties") or {}, schema.get("additionalProperties")
        before = old if isinstance(old, dict) else {}
        for key, each in value.items():
            inner = declared.get(key) or (rest if isinstance(rest, dict) else {})
            yield from broken_rules(each, before.get(key), inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        items = schema.get("items") or {}
        for number, each in enumerate(value):
            yield from broken_rules(each, _same_item(each, old, schema), items, f"{path}[{number}]")


def rule_faults(schema: Json, path: str) -> Iterator[Cause]:
    """Give the rules of a schema that do not compile."""
    for number, rule in enumerate(schema.get("x-kubernetes-validations") or ()):
        for word in ("rule", "messageExpression"):
            if fault := compile_fault(rule[word]) if word in rule else "":
                field = f"{path}.x-kubernetes-validations[{number}].{word}"
                yield Cause.invalid(field, json.dumps(rule[word]), fault)
    for name, inner in (schema.get("properties") or {}).items():
        yield from rule_faults(inner, f"{path}.properties[{name}]")
    for word in ("items", "additionalProperties"):
        if isinstance(schema.get(word), dict):
            yield from rule_faults(schema[word], f"{path}.{word}")


def has_rules(schema: Json) -> bool:
    """Whether there is any rule in a schema."""
    if schema.get("x-kubernetes-validations"):
        return True
    below = [*(schema.get("properties") or {}).values(), schema.get("items"), schema.get("additionalProperties")]
    return any(isinstance(each, dict) and has_rules(each) for each in below)

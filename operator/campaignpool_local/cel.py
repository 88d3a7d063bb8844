"""CEL rules of custom resources, evaluated: which a value breaks, and what the answer says about that."""

import json
import re
from collections.abc import Iterator
from functools import lru_cache

import celpy
from celpy import adapter, celtypes, evaluation

from campaignpool_local.schema import below
from campaignpool_local.values import Cause, Json, Value

_WORDS = {
    "FieldValueInvalid": "Invalid value",
    "FieldValueDuplicate": "Duplicate value",
    "FieldValueForbidden": "Forbidden",
    "FieldValueRequired": "Required value",
}
_DURATION = re.compile(r"[-+]?(0|((\d+(\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h))+)")
_ABSENT = re.compile(r"no such member in mapping: '(.*)'")
"""What celpy says of a key that is not there; the API server says it otherwise."""
_UNQUOTED = ("FieldValueForbidden", "FieldValueRequired")


@lru_cache(maxsize=512)
def _program(expression: str) -> Value:
    environment = celpy.Environment()
    return environment.program(environment.compile(expression), functions={"duration": _duration})


def _duration(text: Value) -> Value:
    """Return a duration as Go reads it; celpy reads more, and says something else of what it cannot read."""
    if not isinstance(text, str) or _DURATION.fullmatch(text):
        return celtypes.DurationType(text)
    return evaluation.CELEvalError("type conversion error from 'string' to 'google.protobuf.Duration'")


def _evaluate(expression: str, value: Value, old: Value) -> Value:
    return _evaluated(expression, json.dumps(value), json.dumps(old if "oldSelf" in expression else None))


@lru_cache(maxsize=4096)
def _evaluated(expression: str, value: str, old: str) -> Value:
    """Return what an expression gives for values as JSON: most writes change no field of the spec."""
    bindings = {"self": adapter.json_to_cel(json.loads(value)), "oldSelf": adapter.json_to_cel(json.loads(old))}
    return _program(expression).evaluate(bindings)


def _breach(rule: Json, value: Value, old: Value, kind: str) -> str | None:
    """Return what is wrong if a rule does not hold, or cannot be evaluated; there may be no old state.

    The type stands for a value whose rule cannot be evaluated, and nothing for an object or a list.
    """
    shown = "" if isinstance(value, dict | list) or rule.get("reason") in _UNQUOTED else f"{json.dumps(value)}: "
    text = str(rule.get("message") or f"failed rule: {rule['rule']}")
    if "oldSelf" in rule["rule"] and old is None:
        return None
    try:
        if _evaluate(rule["rule"], value, old):
            return None
    except evaluation.CELEvalError as error:
        cause = _ABSENT.sub(r"no such key: \1", str(error.args[0] if error.args else error))
        return f'"{kind}": {cause} evaluating rule: {text}'
    if expression := rule.get("messageExpression"):
        try:
            return shown + (str(_evaluate(expression, value, old)) or text)
        except evaluation.CELEvalError:
            return shown + text
    return shown + text


def _cause(rule: Json, path: str, breach: str) -> Cause:
    reason = rule.get("reason") or "FieldValueInvalid"
    return Cause(f"{path}{rule.get('fieldPath', '')}".strip("."), reason, f"{_WORDS[reason]}: {breach}")


def has_rules(schema: Json) -> bool:
    """Return whether a schema has rules, here or below."""
    inner = [*(schema.get("properties") or {}).values(), schema.get("items"), schema.get("additionalProperties")]
    return bool(schema.get("x-kubernetes-validations")) or any(
        has_rules(item) for item in inner if isinstance(item, dict)
    )


def broken_rules(value: Value, old: Value, schema: Json, path: str = "") -> Iterator[Cause]:
    """Return every rule that a valid value breaks, here and below; keys find the old state of a list's items."""
    for rule in schema.get("x-kubernetes-validations") or ():
        if value is not None and (breach := _breach(rule, value, old, schema.get("type", ""))):
            yield _cause(rule, path, breach)
    for key, item, inner, at in below(value, schema, path):
        if inner is not None:
            yield from broken_rules(item, _before(key, item, old, schema), inner, at)


def _before(key: Value, item: Value, old: Value, schema: Json) -> Value:
    """Return the state before of an item or a field, None if there is none."""
    if isinstance(old, dict):
        return old.get(key)
    keys = schema.get("x-kubernetes-list-map-keys") or ()
    if not (keys and isinstance(old, list) and isinstance(item, dict)):
        return None
    return next((entry for entry in old if all(entry.get(name) == item.get(name) for name in keys)), None)

"""All faults of a CustomResourceDefinition, in the order and the words of the API server."""

from collections.abc import Iterator

from campaignpool_local.cel import broken_rules
from campaignpool_local.definitions.declared import Type, cardinality, declared
from campaignpool_local.definitions.rules import CompileError, compile_rule
from campaignpool_local.definitions.structural import Place, keyword_faults, places, structural_faults
from campaignpool_local.faults import forbidden, invalid, required, unsupported
from campaignpool_local.schema import unknown_fields
from campaignpool_local.values import Cause, Json
from campaignpool_local.violations import violations

RULE_LIMIT, SCHEMA_LIMIT = 10_000_000, 100_000_000  # estimated cost of one rule, and of all of a schema
_COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
_COLUMN_FORMATS = ("byte", "date", "date-time", "double", "float", "int32", "int64", "password")
_REASONS = ("FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired")
_HINT = (
    "(try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are"
    " declared)"
)
_GO_RULE = {
    "Rule": "",
    "Message": "",
    "MessageExpression": "",
    "Reason": None,
    "FieldPath": "",
    "OptionalOldSelf": None,
}


def definition_faults(crd: Json) -> list[Cause]:
    """Return what the API server would refuse in a definition."""
    spec = crd["spec"]
    faults = list(_names(crd["metadata"]["name"], spec))
    versions = spec.get("versions") or []
    faults += _versions(versions)
    for part, path in (("schema", "validation"), ("subresources", ""), ("additionalPrinterColumns", "")):
        # What all versions have alike is checked once, under the path that it had before versions came.
        alike = all(item.get(part) == versions[0].get(part) for item in versions)
        for number, version in enumerate(versions[:1] if alike else versions):
            where = f"spec.{path or part}" if alike else f"spec.versions[{number}].{part}"
            if part == "schema":
                faults += _schema(version, where)
            elif part == "subresources":
                faults += _scale((version.get(part) or {}).get("scale"), f"{where}.scale")
            else:
                columns = enumerate(version.get(part) or ())
                faults += [item for n, column in columns for item in _column(column, f"{where}[{n}]")]
    return faults


def _names(name: str, spec: Json) -> Iterator[Cause]:
    if name != f"{spec['names'].get('plural')}.{spec.get('group')}":
        yield invalid("metadata.name", name, 'must be spec.names.plural+"."+spec.group')
    if "." not in spec.get("group", ""):
        yield invalid("spec.group", spec.get("group", ""), "should be a domain with at least one dot")
    if spec.get("scope") not in ("Namespaced", "Cluster"):
        if not spec.get("scope"):
            yield required("spec.scope")
        else:
            yield unsupported("spec.scope", spec["scope"], ("Cluster", "Namespaced"))
    for item in ("plural", "kind"):
        if not spec["names"].get(item):
            yield required(f"spec.names.{item}")


def _versions(versions: list[Json]) -> Iterator[Cause]:
    names = [version.get("name") for version in versions]
    if len(set(names)) < len(names):
        yield invalid("spec.versions", versions, "must contain unique version names")
    if sum(bool(version.get("storage")) for version in versions) != 1:
        yield invalid("spec.versions", versions, "must have exactly one version marked as storage version")


def _schema(version: Json, path: str) -> list[Cause]:
    schema = (version.get("schema") or {}).get("openAPIV3Schema")
    if schema is None:
        return [required("spec.versions[0].schema.openAPIV3Schema", "schemas are required")]
    root = Place(f"{path}.openAPIV3Schema", schema)
    faults = structural_faults(root) or [item for here in places(root) for item in _default(here)]
    sound = not faults
    for here in places(root):
        faults += keyword_faults(here)
        faults += _rule_texts(here)
    return faults if faults or not sound else list(_costs(root))


def _default(here: Place) -> list[Cause]:
    """Return the faults of a default as it is written: the defaults of its fields do not count."""
    if (default := here.schema.get("default")) is None:
        return []
    path = f"{here.path}.default"
    if any(unknown_fields(default, here.schema)):
        return [invalid(path, default, "must not have unknown fields")]
    faults = list(violations(default, here.schema)) or list(broken_rules(default, None, here.schema))
    return [fault._replace(field=f"{path}.{fault.field}".removesuffix(".")) for fault in faults]


def _rule_texts(here: Place) -> Iterator[Cause]:
    for number, rule in enumerate(here.schema.get("x-kubernetes-validations") or ()):
        path, text, message = (
            f"{here.path}.x-kubernetes-validations[{number}]",
            rule.get("rule", ""),
            rule.get("message"),
        )
        if not text.strip():
            yield required(f"{path}.rule", "rule is not specified")
        elif message and not message.strip():
            yield invalid(f"{path}.message", message, "must be non-empty if specified")
        elif message and "\n" in message.strip():
            yield invalid(f"{path}.message", message, "must not contain line breaks")
        elif "\n" in text.strip() and not message:
            yield required(f"{path}.message", "message must be specified if rule contains line breaks")
        if rule.get("reason", _REASONS[0]) not in _REASONS:
            yield unsupported(f"{path}.reason", rule["reason"], _REASONS)


def _costs(root: Place) -> Iterator[Cause]:
    """Return the faults of rules: what does not compile, and what may cost too much."""
    total = dict[str, int]()
    for here in places(root):
        variable = declared(here.schema, root=here.level == "root")
        for number, rule in enumerate(here.schema.get("x-kubernetes-validations") or ()):
            if variable is not None:
                path = f"{here.path}.x-kubernetes-validations[{number}]"
                yield from _rule(rule, here, variable, path, total)
                yield from _message(rule, variable, path)
    if sum(total.values()) > SCHEMA_LIMIT:
        for path in sorted(total, key=lambda each: -total[each])[:4]:
            why = "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema"
            yield forbidden(path, why)
        what = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema"
        yield forbidden(root.path, _excess(what, sum(total.values()), SCHEMA_LIMIT))


def _shown(rule: Json) -> Json:
    """Return a rule as the API server prints it: with the names of its fields in Go."""
    return {name: rule.get(name[0].lower() + name[1:], empty) for name, empty in _GO_RULE.items()}


def _rule(rule: Json, here: Place, variable: Type, path: str, total: dict[str, int]) -> Iterator[Cause]:
    try:
        compiled = compile_rule(rule["rule"], variable)
    except CompileError as error:
        yield invalid(f"{path}.rule", _shown(rule), f"compilation failed: {error}")
        return
    often = here.cardinality if here.cardinality is not None else cardinality(variable)
    total[f"{path}.rule"] = cost = compiled.cost * often
    if cost > RULE_LIMIT:
        yield forbidden(f"{path}.rule", _excess("estimated rule cost", cost, RULE_LIMIT))
    if compiled.type.kind != "bool":
        yield invalid(f"{path}.rule", _shown(rule), "cel expression must evaluate to a bool")
    if compiled.uses_old and here.old_refused:
        why = f"oldSelf cannot be used on the uncorrelatable portion of the schema within {here.old_refused}"
        yield invalid(f"{path}.rule", rule["rule"], why)


def _message(rule: Json, variable: Type, path: str) -> Iterator[Cause]:
    if not rule.get("messageExpression"):
        return
    why = "messageExpression must evaluate to a string"
    try:
        if compile_rule(rule["messageExpression"], variable).type.kind == "string":
            return
    except CompileError as error:
        why = f"messageExpression compilation failed: {error}"
    yield invalid(f"{path}.messageExpression", _shown(rule), why)


def _excess(what: str, cost: int, limit: int) -> str:
    factor = cost / limit
    shown = "more than 100" if factor > 100 else f"{factor:f}" if factor < 1.5 else f"{factor:.1f}"
    return f"{what} exceeds budget by factor of {shown}x {_HINT}"


def _path(text: str, field: str, starts: tuple[str, ...] = (".",)) -> Iterator[Cause]:
    if not text:
        yield required(field)
    elif not text.startswith("."):
        yield invalid(field, text, "must be a simple json path starting with .")
    elif not text.startswith(starts):
        below = " or ".join(start.rstrip(".") for start in starts)
        yield invalid(field, text, f"should be a json path under {'either ' if len(starts) > 1 else ''}{below}")


def _scale(scale: Json | None, path: str) -> Iterator[Cause]:
    if scale is not None:
        yield from _path(scale.get("specReplicasPath", ""), f"{path}.specReplicasPath", (".spec.",))
        yield from _path(scale.get("statusReplicasPath", ""), f"{path}.statusReplicasPath", (".status.",))
        if scale.get("labelSelectorPath"):
            yield from _path(scale["labelSelectorPath"], f"{path}.labelSelectorPath", (".spec.", ".status."))


def _column(column: Json, path: str) -> Iterator[Cause]:
    if not column.get("name"):
        yield required(f"{path}.name")
    if column.get("type") not in _COLUMN_TYPES:
        why = f"must be one of {','.join(_COLUMN_TYPES)}"
        yield invalid(f"{path}.type", column["type"], why) if column.get("type") else required(f"{path}.type", why)
    if column.get("format") and column["format"] not in _COLUMN_FORMATS:
        yield invalid(f"{path}.format", column["format"], f"must be one of {','.join(_COLUMN_FORMATS)}")
    yield from _path(column.get("jsonPath", ""), f"{path}.JSONPath")

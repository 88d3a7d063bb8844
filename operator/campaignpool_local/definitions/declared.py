"""CEL types of a schema, with the sizes by which the API server estimates what a rule costs at most."""

import re
from dataclasses import dataclass, field

from campaignpool_local.values import Json

MAX_REQUEST = 3 * 2**20  # bytes of the largest object that is accepted
_LONGEST = MAX_REQUEST - 2  # bytes of the largest string, without its quotes
_FORMATS = {"date": ("timestamp", 12), "date-time": ("timestamp", 32), "duration": ("duration", 32)}
"""CEL type of a string with this format, and the bytes of its JSON form."""
_SCALARS = {"boolean": ("bool", 4), "integer": ("int", 1), "number": ("double", 1)}
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
        "package",
        "namespace",
        "return",
        "var",
        "void",
        "while",
    ]
)
_ESCAPES = {"__": "__underscores__", ".": "__dot__", "-": "__dash__", "/": "__slash__"}


@dataclass(frozen=True)
class Type:
    """A CEL type; `size` is the largest number of elements or bytes, `smallest` the fewest bytes of its JSON form."""

    kind: str
    size: int = 1
    smallest: int = 1
    element: "Type | None" = None  # of a list or a map
    key: "Type | None" = None
    fields: "dict[str, Type]" = field(default_factory=dict)  # of an object

    def __str__(self) -> str:
        match self.kind:
            case "list":
                return f"list({self.element or DYN})"
            case "map":
                return f"map({self.key or DYN}, {self.element or DYN})"
            case "duration" | "timestamp":
                return f"google.protobuf.{self.kind.capitalize()}"
            case kind:
                return kind


DYN = Type("dyn", _LONGEST)
BOOL, INT, UINT, DOUBLE, NULL = (Type(kind) for kind in ("bool", "int", "uint", "double", "null_type"))
STRING, BYTES = Type("string", _LONGEST), Type("bytes", _LONGEST)
DURATION, TIMESTAMP = Type("duration"), Type("timestamp")


def escaped(name: str) -> str:
    """Return the name under which a rule reads a property."""
    if name in _RESERVED:
        return f"__{name}__"
    return re.sub(r"__|[./-]", lambda found: _ESCAPES[found[0]], name)


def declared(schema: Json, *, root: bool = False) -> Type | None:
    """Return the type of values of a schema, None if rules cannot read them."""
    if schema.get("x-kubernetes-int-or-string"):
        return DYN
    match schema.get("type"):
        case "string":
            return _string(schema)
        case "array":
            if element := declared(schema.get("items") or {}):
                size = schema.get("maxItems", _LONGEST // (element.smallest + 1))
                return Type("list", size, 2, element)
        case "object":
            return _object(schema, root=root or bool(schema.get("x-kubernetes-embedded-resource")))
        case kind if kind in _SCALARS:
            name, smallest = _SCALARS[kind]
            return Type(name, 0, smallest)
        case _:
            pass
    return None


def _string(schema: Json) -> Type:
    name, smallest = _FORMATS.get(schema.get("format", ""), ("string", 2))
    if name != "string":
        return Type(name, smallest, smallest)
    if schema.get("format") == "byte":
        return Type("bytes", schema.get("maxLength", _LONGEST), 2)
    size = _LONGEST
    if "maxLength" in schema:  # counts characters, of up to four bytes
        size = schema["maxLength"] * 4
    elif schema.get("enum"):
        size = max(len(str(item).encode()) for item in schema["enum"])
    return Type("string", size, 2)


def _object(schema: Json, *, root: bool) -> Type | None:
    values = schema.get("additionalProperties")
    if isinstance(values, dict):
        element = declared(values)
        size = schema.get("maxProperties", _LONGEST // ((element or DYN).smallest + 6))
        return Type("map", size, 2, element, Type("string", 0, 2)) if element else None
    properties = dict(schema.get("properties") or {})
    if root:
        text = {"type": "string"}
        metadata = {"type": "object", "properties": {"name": text, "generateName": text}}
        properties |= {"kind": text, "apiVersion": text, "metadata": metadata}
    fields, smallest = dict[str, Type](), 2
    for name, item in properties.items():
        if inner := declared(item):
            fields[escaped(name)] = inner
            if name in (schema.get("required") or ()) and "default" not in item:
                smallest += len(name) + inner.smallest + 4
    return Type("object", 0, smallest, fields=fields)


def cardinality(declared_type: Type) -> int:
    """Return how often values of a type fit into one object, where no list or map above them is bounded."""
    return MAX_REQUEST // (declared_type.smallest + 1)

"""From the API models to every generated copy of them: `python -m campaignpool.api.crd` writes them all.

The schema is structural as the API server asks: no references, no titles, no null types, a description on
every field. A field that pydantic takes as `X | None` is simply not required.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import yaml

from campaignpool import sqlstates
from campaignpool.api.model import Model
from campaignpool.api.reasons import troubleshooting
from campaignpool.api.resource import GROUP, KIND, PLURAL, VERSION
from campaignpool.api.spec import CampaignPoolSpec
from campaignpool.api.status import CampaignPoolStatus

CRD_PATH = Path("crds/campaignpools.yaml")
REFERENCE_PATH = Path("docs/api-reference.md")
TROUBLESHOOTING_PATH = Path("docs/troubleshooting.md")
ERRORS_PATH = Path("docs/errors.md")
HEADER = "# Generated from operator/campaignpool/api by `make generate`; do not edit.\n"

CONDITION = ".status.conditions[?(@.type=='{}')].{}"
COLUMNS: list[dict[str, Any]] = [
    {
        "name": "Ready",
        "type": "integer",
        "jsonPath": ".status.ready",
        "description": "Campaigns to claim now.",
    },
    {"name": "Desired", "type": "integer", "jsonPath": ".status.desired", "description": "Campaigns wanted."},
    {
        "name": "Seeding",
        "type": "integer",
        "jsonPath": ".status.seeding",
        "description": "Campaigns being made.",
    },
    {
        "name": "Claimed",
        "type": "integer",
        "jsonPath": ".status.claimed",
        "description": "Campaigns ever claimed.",
    },
    {
        "name": "Status",
        "type": "string",
        "jsonPath": CONDITION.format("Ready", "reason"),
        "description": "Why the pool is ready, or why it is not.",
    },
    {
        "name": "Failed",
        "type": "integer",
        "jsonPath": ".status.failed",
        "priority": 1,
        "description": "Campaigns that failed to seed.",
    },
    {
        "name": "Stale",
        "type": "integer",
        "jsonPath": ".status.stale",
        "priority": 1,
        "description": "Ready campaigns of another revision than the one in service.",
    },
    {
        "name": "Revision",
        "type": "integer",
        "jsonPath": ".status.rollout.revision",
        "priority": 1,
        "description": "Revision in service.",
    },
    {
        "name": "Updated",
        "type": "integer",
        "jsonPath": ".status.rollout.updated",
        "priority": 1,
        "description": "Ready campaigns of the revision in service.",
    },
    {
        "name": "Rollout",
        "type": "string",
        "jsonPath": ".status.rollout.phase",
        "priority": 1,
        "description": "Whether all ready campaigns are of the revision in service, and what keeps them from it.",
    },
    {
        "name": "Hits",
        "type": "string",
        "jsonPath": ".status.sizing.availability.day",
        "priority": 1,
        "description": "Share of the last day's claims on the master pool that found a ready campaign.",
    },
    {
        "name": "Paused",
        "type": "boolean",
        "jsonPath": ".spec.paused",
        "priority": 1,
        "description": "Whether reconciliation is paused.",
    },
    {
        "name": "Message",
        "type": "string",
        "jsonPath": CONDITION.format("Ready", "message"),
        "priority": 1,
        "description": "Human-readable status.",
    },
    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
]


def structural(model: type[Model]) -> dict[str, Any]:
    """Return the structural schema of a model."""
    schema = model.model_json_schema(by_alias=True)
    return _inline(schema, schema.get("$defs", {}))


def _inline(node: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """Resolve references and unions with null; drop what the API server does not take."""
    if "$ref" in node:
        target = definitions[node["$ref"].rpartition("/")[2]]
        node = {**target, **{key: value for key, value in node.items() if key != "$ref"}}
    if "anyOf" in node and "x-kubernetes-int-or-string" not in node:
        (chosen,) = [item for item in node["anyOf"] if item.get("type") != "null"]
        rest = {key: value for key, value in node.items() if key not in ("anyOf", "default")}
        return _inline({**chosen, **rest}, definitions)
    if "const" in node:
        node = {**node, "enum": [node["const"]]}
    kept = {key: value for key, value in node.items() if key in _KEPT or key.startswith("x-kubernetes-")}
    if "x-kubernetes-int-or-string" in kept:
        return {key: value for key, value in kept.items() if key != "type"}
    if kept.get("type") == "integer":
        kept["format"] = "int64"
    if "properties" in node:
        kept["properties"] = {key: _inline(item, definitions) for key, item in node["properties"].items()}
    if "items" in node:
        kept["items"] = _inline(node["items"], definitions)
    if isinstance(node.get("additionalProperties"), dict):
        kept["additionalProperties"] = _inline(node["additionalProperties"], definitions)
    if "default" in kept:
        kept["default"] = filled(kept["default"], kept)
    return {key: " ".join(value.split()) if key == "description" else value for key, value in kept.items()}


def filled(value: Any, node: dict[str, Any]) -> Any:  # noqa: ANN401 (any JSON value)
    """Return a default with the defaults of its fields written out.

    The API server evaluates rules on a default as written, before it fills in the defaults of the fields.
    """
    if not isinstance(value, dict):
        return value
    properties = node.get("properties", {})
    absent = {name: item["default"] for name, item in properties.items() if "default" in item and name not in value}
    return {name: filled(item, properties.get(name, {})) for name, item in {**value, **absent}.items()}


_KEPT = frozenset(
    [
        "type",
        "description",
        "default",
        "enum",
        "format",
        "required",
        "minimum",
        "maximum",
        "minLength",
        "maxLength",
        "pattern",
        "minItems",
        "maxItems",
        "minProperties",
        "maxProperties",
        "nullable",
    ]
)


def crd() -> dict[str, Any]:
    """Return the CustomResourceDefinition."""
    schema = {
        "type": "object",
        "description": "A pool of ready-made campaigns, kept at its size per owner in one application database.",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": "Version of the schema of this object."},
            "kind": {"type": "string", "description": "Kind of this object."},
            "metadata": {"type": "object"},
            "spec": structural(CampaignPoolSpec),
            "status": structural(CampaignPoolStatus),
        },
    }
    version = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {
            "status": {},
            "scale": {
                "specReplicasPath": ".spec.size",
                "statusReplicasPath": ".status.replicas",
                "labelSelectorPath": ".status.selector",
            },
        },
        "additionalPrinterColumns": COLUMNS,
    }
    names = {
        "kind": KIND,
        "listKind": f"{KIND}List",
        "plural": PLURAL,
        "singular": KIND.lower(),
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {**names, "shortNames": ["cp"], "categories": ["campaignpool"]},
            "versions": [version],
        },
    }


def reference() -> str:
    """Return the API reference: one table row a field, in Markdown."""
    schema = crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    lines = [
        "<!-- Generated from operator/campaignpool/api by `make generate`; do not edit. -->",
        f"# {KIND} {GROUP}/{VERSION}",
        "",
        "`kubectl explain campaignpools.spec` shows the same.",
    ]
    for part in ("spec", "status"):
        lines += ["", f"## {part}", "", "| field | type | default | meaning |", "| --- | --- | --- | --- |"]
        lines += _rows(part, schema["properties"][part])
    return "\n".join(lines) + "\n"


def _rows(path: str, node: dict[str, Any]) -> list[str]:
    rows: list[str] = []
    required = set(node.get("required", ()))
    for name, item in node.get("properties", {}).items():
        inner = item.get("items", item)
        kind = _type_of(item)
        default = "required" if name in required else f"`{yaml_inline(item['default'])}`" if "default" in item else ""
        bounds = [f"{key} {item[key]}" for key in ("minimum", "maximum", "maxLength", "maxItems") if key in item]
        choices = [f"one of {', '.join(f'`{value}`' for value in inner['enum'])}"] if "enum" in inner else []
        notes = f" ({'; '.join(choices + bounds)})" if choices or bounds else ""
        rows.append(f"| `{path}.{name}` | {kind} | {default} | {item.get('description', '')}{notes} |")
        suffix = "[]" if "items" in item else ""
        rows += _rows(f"{path}.{name}{suffix}", inner)
    for rule in node.get("x-kubernetes-validations", ()):
        rows.append(f"| `{path}` | rule | | {rule['message']} |")
    return rows


def _type_of(node: dict[str, Any]) -> str:
    if "x-kubernetes-int-or-string" in node:
        return "quantity"
    if node.get("type") == "array":
        return f"list of {_type_of(node['items'])}"
    if "additionalProperties" in node:
        return f"map to {_type_of(node['additionalProperties'])}"
    return str(node.get("type", "any"))


def yaml_inline(value: Any) -> str:  # noqa: ANN401 (any YAML value)
    """Write a value as YAML on one line."""
    return yaml.safe_dump(value, default_flow_style=True, width=10_000).removesuffix("...\n").strip()


def generated() -> dict[Path, str]:
    """Return every generated file, by its path in the repository."""
    return {
        CRD_PATH: HEADER + yaml.safe_dump(crd(), sort_keys=False, width=110),
        REFERENCE_PATH: reference(),
        TROUBLESHOOTING_PATH: troubleshooting(),
        ERRORS_PATH: sqlstates.page(),
    }


def main() -> int:
    """Write every copy, or with --check say which are out of date."""
    parser = argparse.ArgumentParser(prog="python -m campaignpool.api.crd", description=main.__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 when a copy is out of date")
    check = parser.parse_args().check
    stale = [path for path, text in generated().items() if not path.exists() or path.read_text() != text]
    for path in stale:
        if check:
            sys.stderr.write(f"{path} is out of date: run `make generate`\n")
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(generated()[path])
            sys.stdout.write(f"wrote {path}\n")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())

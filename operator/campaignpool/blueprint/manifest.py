"""A blueprint from a file: plain, inside a CampaignPool manifest, or inside a ConfigMap. Pure."""

from dataclasses import dataclass
from typing import Any

import yaml
from pydantic import ValidationError

from campaignpool.api import blueprint
from campaignpool.api.blueprint import Blueprint
from campaignpool.api.resource import KIND
from campaignpool.api.spec import BlueprintSource, CampaignPoolSpec, ConfigMapKeyRef, Template
from campaignpool.errors import BlueprintError, ConfigurationError

_KEY = ConfigMapKeyRef.model_fields["key"].default


@dataclass(frozen=True)
class Declared:
    """What a file declares.

    Attributes:
        blueprint: The blueprint.
        spec: The whole spec, where the file is a CampaignPool manifest.
        name: Of the CampaignPool, where the file is a manifest of one.
    """

    blueprint: Blueprint
    spec: CampaignPoolSpec | None = None
    name: str | None = None

    def with_template(self, template: Template | None) -> CampaignPoolSpec:
        """Return a spec with this template, or the manifest's own.

        Raises:
            ConfigurationError: Neither names one.
        """
        if self.spec:
            return self.spec.model_copy(update={"template": template}) if template else self.spec
        if template is None:
            raise ConfigurationError("say which row is the template: --template-where SQL or --template-key KEY")
        # Only what compiling reads matters here: the database is the one at hand.
        return CampaignPoolSpec.model_validate(
            {
                "database": {"secretRef": {"name": "none"}},
                "template": template,
                "blueprint": BlueprintSource(inline=self.blueprint),
            }
        )


def read(text: str, source: str) -> Declared:
    """Read a blueprint from a file whose content shows its kind.

    Args:
        text: The content. Of several YAML documents the first CampaignPool or ConfigMap with a blueprint counts.
        source: The name of the file, for messages.

    Raises:
        BlueprintError: With one fault for everything that is wrong.
    """
    try:
        documents = [item for item in yaml.safe_load_all(text) if item is not None]
    except yaml.YAMLError as error:
        place = getattr(error, "problem_mark", None)
        where = f" in line {place.line + 1}" if place else ""
        raise BlueprintError([f"{source} is not YAML{where}: fix its syntax"]) from error
    if not documents:
        raise BlueprintError([f"{source} is empty: `campaignpool blueprint discover` writes a first blueprint"])
    kinds = [item.get("kind") if isinstance(item, dict) else None for item in documents]
    if KIND in kinds:
        return _of_manifest(documents[kinds.index(KIND)], source)
    for kind, document in zip(kinds, documents, strict=True):
        if kind == "ConfigMap" and _KEY in (data := document.get("data") or {}):
            return Declared(blueprint.parse(data[_KEY], f"{source}, key {_KEY}"))
    if len(documents) > 1 or kinds[0] is not None or not isinstance(documents[0], dict):
        result = ", ".join(str(kind or "no kind") for kind in kinds)
        wanted = f"a blueprint, a {KIND}, or a ConfigMap with the key {_KEY}"
        raise BlueprintError([f"{source} holds no blueprint ({result}): give {wanted}"])
    return Declared(blueprint.parse(text, source))


def _of_manifest(document: dict[str, Any], source: str) -> Declared:
    try:
        spec = CampaignPoolSpec.model_validate(document.get("spec") or {})
    except ValidationError as error:
        faults = [
            f"{source}: spec.{'.'.join(str(part) for part in item['loc'])}: {item['msg']}" for item in error.errors()
        ]
        raise BlueprintError(faults) from error
    if spec.blueprint.inline is None:
        ref = spec.blueprint.config_map_ref
        where = f"ConfigMap {ref.name}, key {ref.key}" if ref else "nothing"
        raise BlueprintError(
            [f"{source}: the blueprint is in {where}: check that ConfigMap's file, with --template-where"]
        )
    return Declared(spec.blueprint.inline, spec, (document.get("metadata") or {}).get("name"))

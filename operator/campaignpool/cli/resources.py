"""CampaignPools as kubectl prints them: which pools of a ledger have a resource."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from campaignpool.errors import ConfigurationError


@dataclass(frozen=True)
class Resource:
    """A CampaignPool that exists: its pool's name in the ledger, and its uid."""

    pool: str
    uid: str


def resources(text: str) -> list[Resource]:
    """Return the CampaignPools in kubectl's output, YAML or JSON. Raises ConfigurationError where it is none."""
    try:
        documents = list(yaml.safe_load_all(text))
    except yaml.YAMLError as error:
        raise ConfigurationError("--resources is neither YAML nor JSON: write kubectl's output there") from error
    result = list(_found(documents))
    if not result and not any(isinstance(document, dict) and "items" in document for document in documents):
        raise ConfigurationError("--resources holds no list of CampaignPools: write kubectl's output there")
    return result


def _found(documents: list[Any]) -> Iterator[Resource]:
    for document in documents:
        if not isinstance(document, dict):
            continue
        for item in document.get("items", [document]):
            if item.get("kind") == "CampaignPool":
                metadata = item["metadata"]
                yield Resource(f"{metadata['namespace']}/{metadata['name']}", metadata["uid"])

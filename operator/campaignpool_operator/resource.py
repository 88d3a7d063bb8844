"""Read a CampaignPool as the API gave it, and the Secret and ConfigMap that it names."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeAlias

from pydantic import ValidationError

from campaignpool.api import blueprint
from campaignpool.api.blueprint import Blueprint
from campaignpool.api.resource import CONFIRM_SHRINK, DRAIN, REFRESH, RELEASE, RETRY, RETRY_IMAGES
from campaignpool.api.spec import CampaignPoolSpec, SecretKeyRef
from campaignpool.api.status import CampaignPoolStatus
from campaignpool.errors import BlueprintError, ConfigurationError, SecretError
from campaignpool_operator.cluster.client import Cluster
from campaignpool_operator.cluster.transport import Secret
from campaignpool_operator.cluster.watches import Reference
from campaignpool_operator.facts import Pool
from campaignpool_operator.jobs import pod
from campaignpool_operator.runtime.config import Config

_FAULTS_SHOWN = 5

RETRY_SHOWN = 100
"""Characters of an annotation that asks for something: the status records so many."""


def read_pool(resource: Mapping[str, Any]) -> Pool:
    """Return the resource as a value; a status that no version of the API writes counts as none."""
    metadata, raw_status = resource["metadata"], resource.get("status") or {}
    annotations, deleted_at = metadata.get("annotations") or {}, metadata.get("deletionTimestamp")
    try:
        status = CampaignPoolStatus.model_validate(raw_status)
    except ValidationError:
        status = CampaignPoolStatus()
    return Pool(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        generation=int(metadata.get("generation", 1)),
        resource_version=metadata["resourceVersion"],
        created_at=datetime.fromisoformat(metadata["creationTimestamp"]),
        deleting=bool(deleted_at),
        finalizers=tuple(metadata.get("finalizers") or ()),
        raw_spec=resource.get("spec") or {},
        raw_status=raw_status,
        status=status,
        retry=str(annotations.get(RETRY, ""))[:RETRY_SHOWN],
        retry_images=str(annotations.get(RETRY_IMAGES, ""))[:RETRY_SHOWN],
        refresh=str(annotations.get(REFRESH, ""))[:RETRY_SHOWN],
        confirmed=str(annotations.get(CONFIRM_SHRINK, "")),
        drain=str(annotations.get(DRAIN, ""))[:RETRY_SHOWN],
        release=str(annotations.get(RELEASE, ""))[:RETRY_SHOWN],
        deleted_at=datetime.fromisoformat(deleted_at) if deleted_at else None,
    )


def with_defaults(pool: Pool, config: Config) -> Pool:
    """Return the pool with the operator's defaults for Jobs where its own `spec.seeding` says nothing."""
    seeding = pool.raw_spec.get("seeding") or {}
    if not isinstance(seeding, Mapping) or not (config.seeder_resources or config.seeder_pod_template):
        return pool
    resources = seeding.get("resources") or {}
    template = seeding.get("podTemplate") or {}
    if not isinstance(resources, Mapping) or not isinstance(template, Mapping):
        return pool  # `parse_spec` says what is wrong
    result = {
        "resources": {**config.seeder_resources, **resources},
        "podTemplate": pod.merged(config.seeder_pod_template, template, keep_nulls=True),
    }
    return replace(pool, raw_spec={**pool.raw_spec, "seeding": {**seeding, **{k: v for k, v in result.items() if v}}})


def parse_spec(pool: Pool) -> CampaignPoolSpec:
    """Return what is wanted.

    Raises:
        ConfigurationError: With reason `SpecInvalid`, naming the fields. The API server refuses most of it before.
    """
    for path in _with_nul(pool.raw_spec, "spec"):
        raise ConfigurationError(
            f"{path}: holds a NUL character, which Postgres cannot store: remove it", reason="SpecInvalid"
        )
    try:
        return CampaignPoolSpec.model_validate(pool.raw_spec)
    except ValidationError as error:
        # `input` is left out: what people wrote in the wrong place may be a secret.
        faults = [f"spec.{'.'.join(str(part) for part in item['loc'])}: {item['msg']}" for item in error.errors()]
        additional = f"; and {len(faults) - _FAULTS_SHOWN} more" if len(faults) > _FAULTS_SHOWN else ""
        raise ConfigurationError("; ".join(faults[:_FAULTS_SHOWN]) + additional, reason="SpecInvalid") from error


def _with_nul(value: object, path: str) -> Iterator[str]:
    """Yield the paths of texts that hold a NUL character, which JSON allows."""
    if isinstance(value, str) and "\0" in value:
        yield path
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _with_nul(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _with_nul(inner, f"{path}[{number}]")


Versions: TypeAlias = dict[Reference, str | None]
"""Secrets and ConfigMaps that a loop has read, with their resourceVersions; None: there is none of the name."""


async def read_url(cluster: Cluster, pool: Pool, spec: CampaignPoolSpec, read: Versions | None = None) -> str:
    """Return the database's URL, and add to `read` what was read for it. Raises SecretError."""
    return await read_secret(cluster, pool.namespace, spec.database.secret_ref, read)


async def read_secret(cluster: Cluster, namespace: str, reference: SecretKeyRef, read: Versions | None = None) -> str:
    """Return the database's URL from a Secret, and add to `read` what was read for it.

    Raises:
        SecretError: The Secret or its key is missing, or it holds no text.
    """
    secret = await find_secret(cluster, namespace, reference.name, read)
    if secret is None:
        raise SecretError(
            f"there is no Secret {reference.name} in namespace {namespace}: create it, with the database's URL "
            f"under the key {reference.key}"
        )
    if reference.key not in secret.values:
        raise SecretError(
            f"the Secret {reference.name} has no key {reference.key}: add it, with the database's URL, or correct "
            "spec.database.secretRef.key",
            reason="SecretKeyMissing",
        )
    try:
        return secret.values[reference.key].decode().strip()
    except UnicodeDecodeError as error:
        raise SecretError(
            f"the key {reference.key} of the Secret {reference.name} is not text: write the database's URL there",
            reason="DatabaseUrlInvalid",
        ) from error


async def find_secret(cluster: Cluster, namespace: str, name: str, read: Versions | None = None) -> Secret | None:
    """Return a Secret, and add it to `read`. Raises SecretError where it lacks a label that is required."""
    if read is None:
        return await cluster.secret(namespace, name)
    place = Reference("secrets", namespace, name)
    read[place] = None
    secret = await cluster.secret(namespace, name)
    read[place] = secret.version if secret is not None else None
    return secret


@dataclass(frozen=True)
class BlueprintText:
    """A blueprint that was not parsed yet.

    Attributes:
        version: Changes with the blueprint.
        inline: The blueprint, where it stands in the resource.
        text: YAML, where it stands in a ConfigMap.
        source: Where that is, for messages.
    """

    version: str
    inline: Blueprint | None = None
    text: str = ""
    source: str = ""

    def parse(self) -> Blueprint:
        """Return the blueprint. Raises BlueprintError."""
        return self.inline or blueprint.parse(self.text, self.source)


async def read_blueprint(
    cluster: Cluster, pool: Pool, spec: CampaignPoolSpec, read: Versions | None = None
) -> BlueprintText:
    """Return the blueprint's text, from the resource or from the ConfigMap that it names, and add that to `read`.

    Raises:
        ConfigurationError: The ConfigMap or its key is missing.
    """
    generation = f"{pool.uid} {pool.generation}"
    if spec.blueprint.inline is not None:
        return BlueprintText(generation, inline=spec.blueprint.inline)
    reference = spec.blueprint.config_map_ref
    if reference is None:
        raise BlueprintError(["spec.blueprint is empty: set inline or configMapRef"])
    result = await cluster.config_map(pool.namespace, reference.name)
    if read is not None:
        read[Reference("configmaps", pool.namespace, reference.name)] = result[1] if result is not None else None
    if result is None:
        raise ConfigurationError(
            f"there is no ConfigMap {reference.name} in namespace {pool.namespace}: create it, with the blueprint "
            f"under the key {reference.key}",
            reason="ConfigMapNotFound",
        )
    texts, version = result
    if reference.key not in texts:
        raise ConfigurationError(
            f"the ConfigMap {reference.name} has no key {reference.key}: add it, with the blueprint, or correct "
            "spec.blueprint.configMapRef.key",
            reason="ConfigMapKeyMissing",
        )
    source = f"ConfigMap {reference.name}, key {reference.key}"
    return BlueprintText(f"{generation} {version}", text=texts[reference.key], source=source)

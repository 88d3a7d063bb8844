"""Look at everything that matters to one pool and give it as one frozen value; each failure becomes a part of it.

In this order, for a reason each:

1. The Secret and the blueprint, before anything is asked of the database.
2. The Jobs, straight from the API, before the ledger: a Job that ends in between is then seen at work with its
   campaigns made, which counts as nothing in flight; the other way round its campaigns would be asked for twice.
3. The database: migrations, the blueprint compiled against the catalog, what the resource says, the request to be
   told of changes, and only then the ledger, so that no change falls between.

What is wrong with images alone is a fault of its own: rows never wait for it.
"""

import hashlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, TypeAlias

from pydantic import ValidationError

from campaignpool.api import blueprint
from campaignpool.api.blueprint import Blueprint
from campaignpool.api.resource import RETRY_IMAGES
from campaignpool.api.spec import CampaignPoolSpec
from campaignpool.api.status import CampaignPoolStatus
from campaignpool.blueprint import compilation
from campaignpool.blueprint.compilation import Compiled
from campaignpool.errors import BlueprintError, CampaignPoolError, ClusterError, ConfigurationError, SecretError
from campaignpool.ledger import images, pools
from campaignpool.ledger.database import Connection, connected, translated
from campaignpool.ledger.migrate import migrate
from campaignpool.ledger.pools import Ledger
from campaignpool.ledger.seeding import Run
from campaignpool_operator.cluster.client import Cluster
from campaignpool_operator.jobs import images as image_jobs
from campaignpool_operator.jobs import parts as job_parts
from campaignpool_operator.jobs import seeding as jobs
from campaignpool_operator.jobs.images import ImagesJob
from campaignpool_operator.jobs.parts import Owner
from campaignpool_operator.jobs.seeding import SeedJob
from campaignpool_operator.observe.facts import Fault, Observed, Pool

APPLICATION = "campaignpool-operator"
"""Name of the operator's connections in `pg_stat_activity`."""

_FAULTS_SHOWN = 5

RETRY_SHOWN = 100
"""Characters of the annotation that asks for another try: what is remembered of it in the status."""

Clock: TypeAlias = Callable[[], datetime]
BeforeFirstWrite: TypeAlias = Callable[[str], Awaitable[None]]

_log = logging.getLogger(__name__)


def utcnow() -> datetime:
    """Give the time; tests pass another clock."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Session:
    """What was observed, and the connection to go on with; None where a fault is in the way."""

    observed: Observed
    connection: "Connection | None" = None


class Databases:
    """Connections to applications' databases; the schema is brought up to date at the first one of each URL."""

    def __init__(self) -> None:
        self._migrated: set[bytes] = set()

    @asynccontextmanager
    async def connected(self, url: str) -> AsyncIterator[Connection]:
        """Connect for the length of a block. Raises as `campaignpool.database.connected` does."""
        # Not the URL itself: nothing secret is kept for longer than it is needed.
        known = hashlib.sha256(url.encode()).digest()
        async with connected(url, application_name=APPLICATION) as connection:
            if known not in self._migrated:
                for name in await migrate(connection):
                    _log.info("migration applied", extra={"migration": name})
                self._migrated.add(known)
            yield connection

    def doubt(self, url: str) -> None:
        """Look at the schema anew the next time: what failed may be a database that was dropped and made again."""
        self._migrated.discard(hashlib.sha256(url.encode()).digest())


def read_pool(resource: Mapping[str, Any]) -> Pool:
    """Read the resource as the API gave it; a status that is not of this version counts as none."""
    meta, raw_status = resource["metadata"], resource.get("status") or {}
    try:
        status = CampaignPoolStatus.model_validate(raw_status)
    except ValidationError:
        status = CampaignPoolStatus()
    return Pool(
        namespace=meta["namespace"],
        name=meta["name"],
        uid=meta["uid"],
        generation=int(meta.get("generation", 1)),
        resource_version=meta["resourceVersion"],
        created_at=datetime.fromisoformat(meta["creationTimestamp"]),
        deleting=bool(meta.get("deletionTimestamp")),
        finalizers=tuple(meta.get("finalizers") or ()),
        raw_spec=resource.get("spec") or {},
        raw_status=raw_status,
        status=status,
        retry_images=str((meta.get("annotations") or {}).get(RETRY_IMAGES, ""))[:RETRY_SHOWN],
        deleted_at=datetime.fromisoformat(meta["deletionTimestamp"]) if meta.get("deletionTimestamp") else None,
    )


def parse_spec(pool: Pool) -> CampaignPoolSpec:
    """Read what is wanted.

    Raises:
        ConfigurationError: With reason `SpecInvalid`, naming the fields. The API server refuses most of it before.
    """
    try:
        return CampaignPoolSpec.model_validate(pool.raw_spec)
    except ValidationError as error:
        # `input` is left out: what people wrote in the wrong place may be a secret.
        faults = [f"spec.{'.'.join(str(part) for part in each['loc'])}: {each['msg']}" for each in error.errors()]
        more = f"; and {len(faults) - _FAULTS_SHOWN} more" if len(faults) > _FAULTS_SHOWN else ""
        raise ConfigurationError("; ".join(faults[:_FAULTS_SHOWN]) + more, reason="SpecInvalid") from error


async def read_url(cluster: Cluster, pool: Pool, spec: CampaignPoolSpec) -> str:
    """Give the database's URL.

    Raises:
        SecretError: The Secret or its key is missing, or it holds no text.
    """
    reference = spec.database.secret_ref
    secret = await cluster.secret(pool.namespace, reference.name)
    if secret is None:
        raise SecretError(
            f"there is no Secret {reference.name} in namespace {pool.namespace}: create it, with the database's URL "
            f"under the key {reference.key}"
        )
    if reference.key not in secret:
        raise SecretError(
            f"the Secret {reference.name} has no key {reference.key}: add it, with the database's URL, or correct "
            "spec.database.secretRef.key",
            reason="SecretKeyMissing",
        )
    try:
        return secret[reference.key].decode().strip()
    except UnicodeDecodeError as error:
        raise SecretError(
            f"the key {reference.key} of the Secret {reference.name} is not text: write the database's URL there",
            reason="DatabaseUrlInvalid",
        ) from error


async def read_blueprint(cluster: Cluster, pool: Pool, spec: CampaignPoolSpec) -> Blueprint:
    """Give the blueprint, from the resource or from the ConfigMap that it names.

    Raises:
        ConfigurationError: The ConfigMap or its key is missing.
        BlueprintError: It cannot be read.
    """
    if spec.blueprint.inline is not None:
        return spec.blueprint.inline
    reference = spec.blueprint.config_map_ref
    if reference is None:
        raise BlueprintError(["spec.blueprint is empty: set inline or configMapRef"])
    texts = await cluster.config_map(pool.namespace, reference.name)
    if texts is None:
        raise ConfigurationError(
            f"there is no ConfigMap {reference.name} in namespace {pool.namespace}: create it, with the blueprint "
            f"under the key {reference.key}",
            reason="ConfigMapNotFound",
        )
    if reference.key not in texts:
        raise ConfigurationError(
            f"the ConfigMap {reference.name} has no key {reference.key}: add it, with the blueprint, or correct "
            "spec.blueprint.configMapRef.key",
            reason="ConfigMapKeyMissing",
        )
    return blueprint.parse(texts[reference.key], f"ConfigMap {reference.name}, key {reference.key}")


@dataclass(frozen=True)
class Works:
    """The Jobs of a pool."""

    seeding: tuple[SeedJob, ...]
    images: tuple[ImagesJob, ...]


async def list_jobs(cluster: Cluster, pool: Pool) -> Works:
    """Give the pool's Jobs, those of another pool of the same label apart."""
    found = await cluster.jobs(pool.namespace, f"{job_parts.SELECTOR},{job_parts.selector(pool.name)}")
    mine = [
        each for each in found if any(ref["uid"] == pool.uid for ref in each["metadata"].get("ownerReferences", ()))
    ]
    return Works(
        tuple(job for each in mine if (job := jobs.parse(each)) is not None),
        tuple(copying for each in mine if (copying := image_jobs.parse(each)) is not None),
    )


async def look_at_images(cluster: Cluster, connection: Connection, observed: Observed, image: str) -> Observed:
    """Add what is known of a pool's images to what was observed of it, ledger and Jobs before.

    Args:
        cluster: Where the Secret is.
        connection: To the pool's database.
        observed: So far.
        image: Of the seeder, where the pool names none.
    """
    pool, spec, ledger_ = observed.pool, observed.spec, observed.ledger
    if spec is None or ledger_ is None:
        return observed
    fault = None
    if spec.images.copies or ledger_.images.unfinished:
        fault = await _images_fault(cluster, pool, spec)
    told = pool.status.images.last_finished_at if pool.status.images else None
    since = datetime.fromisoformat(told) if told else pool.created_at
    last = ledger_.images.last_finished_at
    return replace(
        observed,
        images_fault=fault,
        images_finished=await images.finished(connection, pool.key, since) if last and last > since else (),
        images_settings=image_jobs.settings(Owner(pool.namespace, pool.name, pool.uid), spec, image),
    )


async def _images_fault(cluster: Cluster, pool: Pool, spec: CampaignPoolSpec) -> Fault | None:
    """Say why images cannot be copied or deleted. A Secret that cannot be read is no fault of the pool's rows."""
    reference = spec.images.secret_ref
    if reference is None:
        message = (
            "images that a former strategy left are to be copied or deleted, and spec.images.secretRef names no key: "
            "set it as it was until status.images.pending is 0"
        )
        return Fault("SecretRefMissing", message, retry=False)
    try:
        secret = await cluster.secret(pool.namespace, reference.name)
    except ClusterError as error:
        return Fault.of(error)
    if secret is None:
        message = (
            f"there is no Secret {reference.name} in namespace {pool.namespace}: create it, with ImageKit's private "
            f"key under the key {reference.key}"
        )
        return Fault("SecretNotFound", message, retry=False)
    if not secret.get(reference.key, b"").strip():
        message = (
            f"the Secret {reference.name} has no key {reference.key}: add it, with ImageKit's private key, or "
            "correct spec.images.secretRef.key"
        )
        return Fault("SecretKeyMissing", message, retry=False)
    return None


class Observer:
    """Gathers what one loop knows.

    Args:
        cluster: The Kubernetes API.
        databases: Connections to databases.
        image: Of the seeder, where a pool names none.
        clock: Gives the time.
    """

    def __init__(self, cluster: Cluster, databases: Databases, image: str, clock: Clock = utcnow) -> None:
        self._cluster, self._databases, self._image, self._clock = cluster, databases, image, clock

    async def look(self, pool: Pool, stack: AsyncExitStack, before_first_write: BeforeFirstWrite) -> Session:
        """Observe a pool. Its connection is open until the stack ends.

        Args:
            pool: The resource.
            stack: Ends the connection.
            before_first_write: Awaited with the database's URL once the pool is about to be in the ledger.

        A failure, also one of `before_first_write`, is a fault in what is given, never raised.
        """
        observed, url, connection = Observed(pool, self._clock()), None, None
        try:
            spec = parse_spec(pool)
            observed = replace(observed, spec=spec)
            url = await read_url(self._cluster, pool, spec)
            declared, fault = await self._declared(pool, spec)
            works = await list_jobs(self._cluster, pool)
            observed = replace(observed, fault=fault, jobs=works.seeding, image_jobs=works.images)
            connection = await stack.enter_async_context(self._databases.connected(url))
            with translated():
                compiled = None
                if declared is not None:
                    compiled, fault = await _compiled(connection, spec, declared)
                if compiled is not None:
                    await before_first_write(url)
                    await pools.put_pool(connection, pool.key, compiled.root_table, spec)
                quiet = await pools.begin_waiting(connection, pool.key)
                facts = await pools.observe(connection, pool.key)
            if compiled is not None and facts.root_table != compiled.root_table:
                fault = _root_changed(facts.root_table, compiled.root_table)
                compiled = None
            observed = replace(observed, fault=fault, compiled=compiled, ledger=facts, quiet=quiet)
            observed = replace(observed, orphans=await self._orphans(observed, facts))
            with translated():
                observed = await look_at_images(self._cluster, connection, observed, self._image)
        except CampaignPoolError as error:
            if url is not None:
                self._databases.doubt(url)
            return Session(replace(observed, fault=Fault.of(error), now=self._clock()))
        return Session(replace(observed, now=self._clock()), connection)

    async def _declared(self, pool: Pool, spec: CampaignPoolSpec) -> tuple[Blueprint | None, Fault | None]:
        """Give the blueprint, or the fault in it: the ledger can be read without one."""
        try:
            return await read_blueprint(self._cluster, pool, spec), None
        except ConfigurationError as error:
            return None, Fault.of(error)

    async def _orphans(self, observed: Observed, facts: Ledger) -> tuple[Run, ...]:
        """Give open runs without a Job. The Jobs were listed before the ledger was read: look once more."""
        known = {job.name for job in observed.jobs}
        lost = [run for run in facts.runs if run.outcome is None and run.job not in known]
        if not lost:
            return ()
        known |= {job.name for job in (await list_jobs(self._cluster, observed.pool)).seeding}
        return tuple(run for run in lost if run.job not in known)


async def _compiled(
    connection: Connection, spec: CampaignPoolSpec, declared: Blueprint
) -> tuple[Compiled | None, Fault | None]:
    try:
        return await compilation.compile_blueprint(connection, spec, declared), None
    except ConfigurationError as error:
        return None, Fault.of(error)


def _root_changed(was: str | None, wanted: str) -> Fault:
    message = (
        f"the pool keeps campaigns of {was}, and its blueprint now names {wanted}: name the table it had, "
        "or make a new pool of another name"
    )
    return Fault("RootTableChanged", message, retry=False)

"""The steps of a loop before it observes: everything that has to be there, and what the resource asks of the ledger.

A failure becomes a fault in the session, never an exception; the steps that follow it do less.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from weakref import WeakValueDictionary

from campaignpool.api.spec import CampaignPoolSpec
from campaignpool.blueprint import compilation
from campaignpool.blueprint.catalog import catalog_signature
from campaignpool.blueprint.compilation import Compiled
from campaignpool.blueprint.compile import compiler
from campaignpool.errors import CampaignPoolError, ClusterError, ConfigurationError
from campaignpool.ledger import pools
from campaignpool.ledger.database import Connection, translated
from campaignpool_operator.cluster.client import Cluster
from campaignpool_operator.databases import Databases
from campaignpool_operator.facts import FINALIZER, Fault, Pool, Sizing
from campaignpool_operator.resource import BlueprintText, Versions, parse_spec, read_blueprint, read_url

COMPILE_SECONDS = 900.0
"""A blueprint is compiled again after this long, whatever seems to have changed."""


@dataclass(frozen=True)
class Session:
    """One loop of a pool.

    Attributes:
        pool: The resource.
        spec: What is wanted; None where it cannot be read.
        connection: To the pool's database; None where a fault is in the way.
        compiled: The blueprint against the current database; None where a fault is in the way.
        quiet: Every change that comes after this sends a notification; else look again soon.
        fault: The first thing that failed.
        began: When, by the event loop's clock.
        read: Secrets and ConfigMaps that were read.
        sizing: What sizing found; `spec` has its size.
        sizing_fault: What `spec.sizing` has that is invalid; empty if nothing.
    """

    pool: Pool
    spec: CampaignPoolSpec | None = None
    connection: "Connection | None" = None
    compiled: Compiled | None = None
    quiet: bool = True
    fault: Fault | None = None
    began: float = 0.0
    read: Versions = field(default_factory=dict)
    sizing: Sizing | None = None
    sizing_fault: str = ""


@dataclass
class _Compilation:
    """A compiled blueprint, and what it was compiled from.

    Attributes:
        source: URL of the database and version of the blueprint.
        tables: Whose catalog `signature` was computed from.
        at: When, by the monotonic clock.
        found_at: When its template was looked for.
    """

    source: tuple[str, str]
    tables: frozenset[str]
    signature: str
    at: float
    found_at: float
    compiled: Compiled


class Sessions:
    """Opens and closes the sessions of all pools.

    Args:
        cluster: The Kubernetes API.
        databases: Connections to databases.
        listen: Called with a pool's key and its database's URL before the pool is first written into the ledger.
        template_seconds: The row that the template's condition chooses is looked for after this long.
    """

    def __init__(
        self, cluster: Cluster, databases: Databases, listen: Callable[[str, str], None], template_seconds: float
    ) -> None:
        self._cluster, self._databases, self._listen = cluster, databases, listen
        self._template_seconds = template_seconds
        self._compilations: dict[str, _Compilation] = {}
        # Pools of one database often have the same blueprint, whose plan is large.
        self._compiled: WeakValueDictionary[tuple[str, str, str | None], Compiled] = WeakValueDictionary()

    async def prepare(self, pool: Pool) -> Session:
        """Read the Secret and the blueprint, connect, migrate, set the finalizer, listen, compile.

        Raises:
            ClusterError: With reason `Conflict`: somebody changed the resource since it was read.
        """
        session = Session(pool, began=asyncio.get_running_loop().time())
        try:
            spec = parse_spec(pool)
            session = replace(session, spec=spec)
            url = await read_url(self._cluster, pool, spec, session.read)
            source = await self._blueprint(session, spec)
            connection = await self._databases.acquire(pool.key, url)
            session = replace(session, connection=connection)
            pool = await add_finalizer(self._cluster, pool)
            session = replace(session, pool=pool)
            self._listen(pool.key, url)
            compiled = source if isinstance(source, Fault) else await self._compile(session, spec, url, source)
        except CampaignPoolError as error:
            await self.close(session)
            if error.reason == "Conflict":
                raise
            self.recheck(pool.key)
            return replace(session, connection=None, fault=Fault.of(error))
        except BaseException:
            await self.close(session)
            raise
        if not isinstance(compiled, Fault):
            return replace(session, compiled=compiled)
        # A revision that a person chose needs neither the blueprint nor the template.
        return session if spec.template.revision is not None else replace(session, fault=compiled)

    async def close(self, session: Session) -> None:
        """Take back the session's connection."""
        if session.connection is not None:
            await self._databases.release(session.pool.key, session.connection)

    def recheck(self, key: str) -> None:
        """Assume nothing about a pool's database the next time: a step failed, and it may be another database now."""
        self._compilations.pop(key, None)
        self._databases.recheck_schema(key)

    def forget(self, key: str) -> None:
        """Forget a pool that is gone."""
        self._compilations.pop(key, None)
        self._databases.forget(key)

    async def _blueprint(self, session: Session, spec: CampaignPoolSpec) -> BlueprintText | Fault:
        """Return the blueprint's text, or why there is none: the ledger can be read without one."""
        try:
            return await read_blueprint(self._cluster, session.pool, spec, session.read)
        except ConfigurationError as error:
            return Fault.of(error)

    async def _compile(
        self, session: Session, spec: CampaignPoolSpec, url: str, source: BlueprintText
    ) -> Compiled | Fault:
        """Return the compiled blueprint, or why it cannot be compiled; compile only where something changed."""
        connection, key = session.connection, session.pool.key
        if connection is None:
            raise AssertionError("compiling follows connecting")
        now, known = time.monotonic(), self._compilations.get(key)
        with translated():
            if (
                known is not None
                and known.source == (url, source.version)
                and now < known.at + COMPILE_SECONDS
                and known.signature == await catalog_signature(connection, known.tables)
                and await self._has_same_template(connection, spec, known, now)
            ):
                return known.compiled
            try:
                declared = source.parse()
                tables = frozenset(compiler.table_names(declared, copies=spec.images.copies))
                # Before compiling, so that what changes meanwhile is seen the next time.
                signature = await catalog_signature(connection, tables)
                compiled = await compilation.compile_blueprint(connection, spec, declared)
            except ConfigurationError as error:
                return Fault.of(error)
        same = (url, compiled.plan_hash, compiled.condition)
        compiled = self._compiled.setdefault(same, compiled)
        self._compilations[key] = _Compilation((url, source.version), tables, signature, now, now, compiled)
        return compiled

    async def _has_same_template(
        self, connection: Connection, spec: CampaignPoolSpec, known: _Compilation, now: float
    ) -> bool:
        """Return whether the template is the row for which the plan was compiled."""
        if now < known.found_at + self._template_seconds:
            return True
        known.found_at = now
        try:
            template = await compilation.find_template(connection, known.compiled.plan.root.facts, spec.template)
        except ConfigurationError:
            return False  # compiling again says why
        return template == known.compiled.template


async def apply_spec(session: Session, resync_seconds: float) -> Session:
    """Write what the resource wants into the ledger, and ask for a notification of the next change."""
    pool, spec, connection = session.pool, session.spec, session.connection
    if connection is None or spec is None:
        return session
    try:
        with translated():
            # Settings are written while the blueprint is broken, too.
            await pools.put_pool(connection, pool.key, pool.uid, spec, resync_seconds)
            return replace(session, quiet=await pools.begin_waiting(connection, pool.key))
    except CampaignPoolError as error:
        return replace(session, fault=Fault.of(error))


async def add_finalizer(cluster: Cluster, pool: Pool) -> Pool:
    """Make Kubernetes wait for the operator before it removes a pool; return the pool as it is then.

    Raises:
        ClusterError: Among others, with reason `Conflict`.
    """
    if FINALIZER in pool.finalizers:
        return pool
    finalizers = (*pool.finalizers, FINALIZER)
    version = await cluster.set_finalizers(pool.namespace, pool.name, pool.resource_version, list(finalizers))
    if version is None:
        raise ClusterError("the resource is gone", reason="Conflict")
    return replace(pool, finalizers=finalizers, resource_version=version)

"""The checks of `campaignpool doctor`: each is a function from what it may ask to its findings.

A new check is a function here and its line in `CHECKS`.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Literal, TypeAlias

from campaignpool.cli.resources import Resource
from campaignpool.errors import CampaignPoolError
from campaignpool.ledger import doctor, retiring
from campaignpool.ledger.database import Connection, close, connect, translated
from campaignpool.ledger.seeding import HALT

OLDEST_SERVER = 14
SKEW = timedelta(seconds=10)
"""Clocks that differ by more make times in logs and in the ledger contradict each other."""

_PURGE = "kubectl get campaignpools -A -o yaml | campaignpool purge --orphaned --resources - --dry-run"
Status: TypeAlias = Literal["ok", "note", "fix"]


@dataclass(frozen=True)
class Finding:
    """What a check found: `ok`; `note`, which may be meant so; or `fix`, with what to do."""

    check: str
    status: Status
    message: str


@dataclass(frozen=True)
class Subject:
    """What checks may ask.

    Attributes:
        connection: To the database.
        connect: Opens another connection, which the caller closes.
        resources: The CampaignPools that exist; None: not known.
        pool: The only pool that findings may name; None: all.
        machine: What the findings call the machine that this program runs on.
    """

    connection: Connection
    connect: Callable[[], Awaitable[Connection]]
    resources: tuple[Resource, ...] | None = None
    pool: str | None = None
    machine: str = "this machine"


Found: TypeAlias = AsyncIterator[tuple[Status, str]]
Check: TypeAlias = Callable[[Subject], Found]


def ok(message: str) -> tuple[Status, str]:
    """Return that something is as it should be."""
    return "ok", message


def note(message: str) -> tuple[Status, str]:
    """Return what may be meant so."""
    return "note", message


def fix(message: str) -> tuple[Status, str]:
    """Return what is wrong, with what to do."""
    return "fix", message


async def connection(subject: Subject) -> Found:
    """Report whether the URL leads to a server that takes changes, over TLS."""
    server = await doctor.server(subject.connection)
    if server.standby:
        yield fix("the URL leads to a standby, which takes no changes: name the primary, or target_session_attrs")
    elif server.tls is None and not server.local:
        yield note(f"connected as {server.role} without TLS: add sslmode=verify-full and sslrootcert to the URL")
    else:
        yield ok(f"connected as {server.role}, {server.tls or 'on this machine'}")


async def version(subject: Subject) -> Found:
    """Report whether the server is recent enough."""
    server = await doctor.server(subject.connection)
    if server.version // 10_000 < OLDEST_SERVER:
        yield fix(f"Postgres {server.version_text}: upgrade to {OLDEST_SERVER} or later")
    else:
        yield ok(f"Postgres {server.version_text}")


async def clock(subject: Subject) -> Found:
    """Report how far the clocks of the server and of this machine differ."""
    before = datetime.now(UTC)
    server = await doctor.server(subject.connection)
    after = datetime.now(UTC)
    skew = max(before - server.now, server.now - after, timedelta())
    if skew > SKEW:
        differ = f"the server's clock and {subject.machine}'s differ by {skew.total_seconds():.0f} s"
        yield fix(f"{differ}: check NTP on both")
    else:
        yield ok(f"the server's clock and {subject.machine}'s agree within {SKEW.total_seconds():.0f} s")


async def pooler(subject: Subject) -> Found:
    """Report whether a connection keeps its session, which advisory locks and notifications need."""
    other = await subject.connect()
    try:
        keeps = await doctor.keeps_session(subject.connection, other)
    finally:
        await other.close()
    if keeps:
        yield ok("no pooler, or one in session mode")
    else:
        yield fix(
            "a pooler in transaction mode is in between: the operator's URL has to lead to Postgres itself, or to a "
            "pooler in session mode; applications may claim through any pooler"
        )


async def ledger(subject: Subject) -> Found:
    """Report whether the schema campaign_pool is of this program's release."""
    match await doctor.standing(subject.connection):
        case "absent":
            yield note("there is no schema campaign_pool yet: the operator creates it with the first CampaignPool")
        case "older":
            yield fix(
                "the schema campaign_pool is of an older release: start this release's operator, which updates it"
            )
        case "newer":
            yield note("the schema campaign_pool is of a newer release: install that release of campaignpool here")
        case "different":
            yield fix(
                "a version of the schema campaign_pool differs from this release's: use the release that created it, "
                "or a later one"
            )
        case "current":
            yield ok("the schema campaign_pool is of this release")


async def roles(subject: Subject) -> Found:
    """Report whether the roles to grant exist and may do what they are for."""
    if await doctor.standing(subject.connection) == "absent":
        return
    for role in await doctor.roles(subject.connection):
        if not role.present:
            yield fix(f"there is no role {role.name}: run what `campaignpool blueprint grants` prints")
        elif not role.granted:
            yield fix(f"the role {role.name} lacks its rights: run what `campaignpool blueprint grants` prints")
        elif not role.members and role.name == "campaign_pool_app":
            yield note(f"nobody is a member of {role.name}: GRANT {role.name} TO the role of your application")
        else:
            yield ok(f"{role.name} has its rights")


async def extensions(subject: Subject) -> Found:
    """Report whether functions can be written in PL/pgSQL, the only extension that is needed."""
    match await doctor.language(subject.connection):
        case "absent":
            yield fix("there is no PL/pgSQL in this database: CREATE EXTENSION plpgsql, as its owner")
        case "forbidden":
            server = await doctor.server(subject.connection)
            yield fix(f"{server.role} may not write functions: GRANT USAGE ON LANGUAGE plpgsql TO {server.role}")
        case "usable":
            yield ok("PL/pgSQL is there, and no other extension is needed")


async def connections(subject: Subject) -> Found:
    """Report whether the server has room for the connections that pools may use."""
    most, free = await doctor.connections(subject.connection)
    listed = await _pools(subject)
    for pool in listed:
        if _concerns(subject, pool.pool) and pool.max_connections > most // 2:
            yield note(
                f"{pool.pool}: spec.database.maxConnections is {pool.max_connections}, and seeders use "
                f"half of the server's {most} at most"
            )
    wanted = sum(min(pool.max_connections, most // 2) for pool in listed if not pool.deleted)
    if free < min(wanted, most // 2) or free < 1:
        yield fix(
            f"{free} of {most} connections are free, and seeders may use {min(wanted, most // 2)}: raise "
            "max_connections of the server, or lower spec.database.maxConnections"
        )
    else:
        yield ok(f"{free} of {most} connections are free, seeders may use {min(wanted, most // 2)}")


async def orphans(subject: Subject) -> Found:
    """Report pools whose CampaignPool is gone; without `resources`, those that no operator reconciles any more."""
    listed = [
        pool
        for pool in await _pools(subject)
        if _concerns(subject, pool.pool) and (not pool.deleted or pool.unclaimed or pool.revisions)
    ]
    if subject.resources is not None:
        gone = [pool for pool in listed if Resource(pool.pool, pool.uid) not in subject.resources]
        why = "its CampaignPool is gone"
    else:
        gone = [pool for pool in listed if pool.unseen]
        why = "no operator has reconciled it by {by}: see that the operator runs; if its CampaignPool is gone"
    for pool in gone:
        by = f"{pool.look_by:%Y-%m-%d %H:%M} UTC"
        left = f"{pool.unclaimed} unclaimed campaigns and {pool.revisions} revisions are left"
        yield fix(f"{pool.pool}: {why.format(by=by)}, remove what is left with {_PURGE} ({left})")
    if not gone:
        yield ok("every pool has a CampaignPool" if subject.resources is not None else "every pool is reconciled")


async def halted(subject: Subject) -> Found:
    """Report pools whose seeding fails again and again."""
    stopped = await doctor.halted(subject.connection, HALT) if await _installed(subject) else []
    stopped = [item for item in stopped if _concerns(subject, item.pool)]
    for item in stopped:
        yield fix(
            f"{item.pool}: {item.failures} runs in a row failed ({item.cause.rstrip('.')}); fix the cause, then give "
            "the annotation campaignpool.dev/retry of the CampaignPool a new value"
        )
    if not stopped:
        yield ok("no pool is halted")


async def held(subject: Subject) -> Found:
    """Report campaigns that the database refuses to delete."""
    refused = False
    for item in await _pools(subject):
        if not _concerns(subject, item.pool):
            continue
        causes = await retiring.held(subject.connection, item.pool) if item.unclaimed else {}
        refused = refused or bool(causes)
        for cause, campaigns in causes.items():
            yield fix(
                f"{item.pool}: {campaigns} campaigns cannot be deleted ({cause.rstrip('.')}): remove what refuses "
                "it, such as rows that reference them; they are deleted within five minutes of that"
            )
    if not refused:
        yield ok("no campaign is kept from being deleted")


CHECKS: dict[str, Check] = {
    "connection": connection,
    "version": version,
    "clock": clock,
    "pooler": pooler,
    "extensions": extensions,
    "ledger": ledger,
    "roles": roles,
    "connections": connections,
    "orphans": orphans,
    "halted": halted,
    "held": held,
}
"""The checks in the order of their report, by name."""


async def examine(
    url: str,
    resources: tuple[Resource, ...] | None = None,
    *,
    pool: str | None = None,
    machine: str = "this machine",
) -> list[Finding]:
    """Return what all checks of a database found; without a connection, only that. For the rest see `Subject`."""
    open_one = partial(connect, url, "campaignpool-doctor")
    try:
        connected = await open_one()
    except CampaignPoolError as error:
        return [Finding("connection", "fix", error.message)]
    subject, findings = Subject(connected, open_one, resources, pool, machine), list[Finding]()
    try:
        for name, check in CHECKS.items():
            try:
                with translated():
                    findings += [Finding(name, status, message) async for status, message in check(subject)]
            except CampaignPoolError as error:
                findings.append(Finding(name, "fix", f"cannot be checked: {error.message}"))
    finally:
        await close(connected)
    return findings


def _concerns(subject: Subject, pool: str) -> bool:
    return subject.pool in (None, pool)


async def _installed(subject: Subject) -> bool:
    return await doctor.standing(subject.connection) != "absent"


async def _pools(subject: Subject) -> list[doctor.PoolRow]:
    return await doctor.pools(subject.connection) if await _installed(subject) else []

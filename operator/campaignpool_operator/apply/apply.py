"""Do what was planned: one adapter for the cluster, one for the ledger. Every action can be repeated."""

import logging
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import asdict
from uuid import UUID

from campaignpool.api.reasons import Reason
from campaignpool.api.spec import CampaignPoolSpec
from campaignpool.blueprint import install
from campaignpool.errors import CampaignPoolError, CredentialsError
from campaignpool.ledger import auditing, claims, images, pools, retiring, seeding, templates
from campaignpool.ledger.database import Connection, translated
from campaignpool_operator.cluster.client import Cluster
from campaignpool_operator.facts import Event, Pool
from campaignpool_operator.jobs import images as images_jobs
from campaignpool_operator.jobs import managed
from campaignpool_operator.jobs import seeding as seeding_jobs
from campaignpool_operator.jobs.managed import JobSpec
from campaignpool_operator.plan.actions import (
    Action,
    AnswerTemplateChanges,
    CreateImagesJob,
    CreateJob,
    DeleteJob,
    Drain,
    FinishRun,
    InstallRevision,
    Prune,
    Quarantine,
    Release,
    ReleaseSeeders,
    Remove,
    Retire,
    RetryImages,
    UseRevision,
    WakeSeeders,
)
from campaignpool_operator.plan.rollout import refusal
from campaignpool_operator.text import most_frequent

BATCH = 10
"""Campaigns removed in one transaction: some hundredths of a second each, so no lock is held for long."""

REMOVE_SECONDS = 5.0
"""One loop removes batches for so long at most, so that it stays short for large pools."""

_OF_JOBS = CreateJob | CreateImagesJob | DeleteJob

_log = logging.getLogger(__name__)


async def apply(
    actions: Sequence[Action],
    pool: Pool,
    spec: CampaignPoolSpec,
    cluster: Cluster,
    connection: Connection,
    image: str,
) -> AsyncGenerator[Event, None]:
    """Carry out actions in their order; yield an Event for each that people want to know of.

    Args:
        actions: What to do.
        pool: For whom.
        spec: What is wanted of it.
        cluster: Where Jobs are made.
        connection: To the pool's database.
        image: Of the seeder, where the pool names none.

    Raises:
        CampaignPoolError: An action failed; those after it were not tried.
    """
    in_ledger, in_cluster = _Ledger(connection, pool), _Jobs(cluster, pool, spec, image)
    for action in actions:
        _log.info("%s", type(action).__name__, extra={"pool": pool.key, **_described(action)})
        with translated():
            event = await (in_cluster.apply(action) if isinstance(action, _OF_JOBS) else in_ledger.apply(action))
        if event is not None:
            yield event


class _Ledger:
    """Actions in the database."""

    def __init__(self, connection: Connection, pool: Pool) -> None:
        self._connection, self._pool = connection, pool.key

    async def apply(  # noqa: C901 (one case per action)
        self,
        action: InstallRevision
        | UseRevision
        | WakeSeeders
        | ReleaseSeeders
        | FinishRun
        | Retire
        | Quarantine
        | Remove
        | Prune
        | AnswerTemplateChanges
        | Drain
        | Release
        | RetryImages,
    ) -> Event | None:
        match action:
            case InstallRevision():
                return await self._install(action)
            case UseRevision(number):
                kept = await install.use(self._connection, number)
                message = f"Revision {number} is in service, because spec.template.revision names it."
                return Event("Normal", Reason.REVISION_PINNED, message) if kept else None
            case FinishRun(run, outcome, reason, message):
                await seeding.finish_run(self._connection, self._pool, run, outcome, reason, message)
            case WakeSeeders():
                await pools.wake_seeders(self._connection, self._pool)
            case ReleaseSeeders():
                await pools.release_seeders(self._connection, self._pool)
            case Retire(keep, early=early):
                await retiring.retire_surplus(self._connection, self._pool, keep, early=early)
            case Quarantine(changed):
                return await self._quarantine(changed)
            case Remove():
                await self._remove()
            case Prune():
                await pools.prune(self._connection, self._pool)
                await install.drop_unused(self._connection, self._pool)
            case AnswerTemplateChanges(asked):
                await templates.answer(self._connection, asked)
            case Drain() | Release() | RetryImages():
                return await self._obey(action)
        return None

    async def _obey(self, action: Drain | Release | RetryImages) -> Event:
        """Do what an annotation of the resource asks for."""
        match action:
            case Drain():
                retired = await retiring.retire(self._connection, self._pool)
                return Event("Normal", Reason.DRAINED, f"{retired} ready campaigns are deleted.")
            case RetryImages():
                again = await images.requeue(self._connection, self._pool)
                return Event("Normal", Reason.IMAGES_RETRIED, f"{again} images that failed are tried once more.")
            case Release(campaign):
                refusal = await claims.release(self._connection, self._pool, campaign)
                if refusal is None:
                    return Event("Normal", Reason.RELEASED, f"The claim of campaign {campaign} was released.")
                return Event("Warning", Reason.RELEASE_REFUSED, refusal)

    async def _install(self, action: InstallRevision) -> Event | None:
        arguments = (self._connection, self._pool, action.compiled)
        try:
            with translated():
                number = await install.install(*arguments, replaces=action.replaces, canary=action.canary)
        except CampaignPoolError as error:
            if action.replaces is None or error.retry or isinstance(error, CredentialsError):
                raise
            _log.warning("a revision is refused", extra={"pool": self._pool, "cause": error.message})
            await templates.refuse(self._connection, self._pool, refusal(action, error.message))
            return None
        message = f"Revision {number} was frozen and is in service: {action.reason}."
        return Event("Normal", Reason.REVISION_INSTALLED, message) if number is not None else None

    async def _quarantine(self, changed: Mapping[UUID, str]) -> Event | None:
        count = await auditing.quarantine(self._connection, changed)
        message = f"{count} ready campaigns are deleted and replaced: {most_frequent(changed.values())}."
        return Event("Warning", Reason.CAMPAIGNS_CHANGED, message) if count else None

    async def _remove(self) -> None:
        end = time.monotonic() + REMOVE_SECONDS
        while await retiring.remove(self._connection, self._pool, BATCH) and time.monotonic() < end:
            pass


class _Jobs:
    """Actions in the cluster."""

    def __init__(self, cluster: Cluster, pool: Pool, spec: CampaignPoolSpec, image: str) -> None:
        self._cluster, self._pool, self._spec, self._image = cluster, pool, spec, image

    async def apply(self, action: CreateJob | CreateImagesJob | DeleteJob) -> Event | None:
        match action:
            case CreateJob(number, count):
                return await self._create(number, count)
            case CreateImagesJob(number, failures, campaigns):
                return await self._create_images(number, failures, campaigns)
            case DeleteJob(name, uid, reason, kind):
                await self._cluster.delete_job(self._pool.namespace, name, uid)
                superseded = Reason.SEEDING_SUPERSEDED if kind == "Seeding" else Reason.IMAGES_SUPERSEDED
                return Event("Normal", superseded, f"Job {name} was deleted: {reason}.")

    async def _create_images(self, number: int, failures: int, campaigns: int) -> Event | None:
        job = images_jobs.job(self._pool.ref, self._spec, self._image, number, failures)
        if not await self._make(job):
            return None
        whose = "1 campaign" if campaigns == 1 else f"{campaigns} campaigns"
        return Event("Normal", Reason.IMAGES_STARTED, f"Job {job.name} processes images of {whose}.")

    async def _create(self, number: int, count: int) -> Event | None:
        job = seeding_jobs.job(self._pool.ref, self._spec, number, count)
        if not await self._make(job):
            return None
        campaigns = "campaign" if count == 1 else "campaigns"
        return Event("Normal", Reason.SEEDING_STARTED, f"Job {job.name} makes {count} {campaigns}.")

    async def _make(self, job: JobSpec) -> bool:
        """Create a Job; return False where a loop before this one created it and was interrupted."""
        built = managed.build(self._pool.ref, job, self._spec, self._image)
        return await self._cluster.create_job(self._pool.namespace, built)


def _described(action: Action) -> dict[str, object]:
    """Return the fields of an action's log line."""
    match action:
        case CreateJob(number, count, reason):
            return {"number": number, "campaigns": count, "reason": reason}
        case Retire(keep, count, reason):
            return {"keep": keep, "campaigns": count, "reason": reason}
        case FinishRun(run, outcome, reason, message):
            return {"job": run[0], "outcome": outcome, "reason": reason, "cause": message}
        case Quarantine(changed):
            return {"campaigns": len(changed), "cause": most_frequent(changed.values())}
        case InstallRevision(_, reason, replaces):
            return {"reason": reason, "replaces": replaces}
        case DeleteJob(name, _, reason):
            return {"job": name, "reason": reason}
        case _:
            return asdict(action)

"""Read what is known of a pool's images: what keeps them from being copied, and what ended since the last loop."""

from dataclasses import replace
from datetime import datetime

from campaignpool.api.reasons import Reason
from campaignpool.api.spec import CampaignPoolSpec
from campaignpool.errors import ClusterError, SecretError
from campaignpool.ledger import images
from campaignpool.ledger.database import Connection
from campaignpool_operator.cluster.client import Cluster
from campaignpool_operator.facts import Fault, Observed, Pool
from campaignpool_operator.jobs import images as images_jobs
from campaignpool_operator.resource import Versions, find_secret


async def observe_images(
    cluster: Cluster, connection: Connection, observed: Observed, image: str, read: Versions | None = None
) -> Observed:
    """Return what was observed with what concerns images added; ledger and Jobs were observed before.

    Args:
        cluster: Where the Secret is.
        connection: To the pool's database.
        observed: So far.
        image: Of the seeder, where the pool names none.
        read: The Secret that is read is added to it.
    """
    pool, spec, ledger = observed.pool, observed.spec, observed.ledger
    if spec is None or ledger is None:
        return observed
    fault = None
    if spec.images.copies or ledger.images.unfinished:
        fault = await images_fault(cluster, pool, spec, read)
    reported = pool.status.images.last_finished_at if pool.status.images else None
    since = datetime.fromisoformat(reported) if reported else pool.created_at
    last = ledger.images.last_finished_at
    # Not what ended since the totals were read: the status says `last`, and the next loop would tell of it again.
    ended = await images.finished(connection, pool.key, since, last) if last and last > since else ()
    return replace(
        observed,
        images_fault=fault,
        images_finished=ended,
        images_settings=images_jobs.settings(pool.ref, spec, image),
    )


async def images_fault(
    cluster: Cluster, pool: Pool, spec: CampaignPoolSpec, read: Versions | None = None
) -> Fault | None:
    """Return why images cannot be copied or deleted. A Secret that cannot be read does not concern the rows."""
    reference = spec.images.secret_ref
    if reference is None:
        message = (
            "images queued under the previous strategy still need the store's key: restore spec.images.secretRef "
            "until status.images.pending is 0"
        )
        return Fault(Reason.SECRET_REF_MISSING, message, retry=False)
    try:
        secret = await find_secret(cluster, pool.namespace, reference.name, read)
    except (ClusterError, SecretError) as error:
        return Fault.of(error)
    if secret is None:
        message = (
            f"there is no Secret {reference.name} in namespace {pool.namespace}: create it, with ImageKit's private "
            f"key under the key {reference.key}"
        )
        return Fault(Reason.SECRET_NOT_FOUND, message, retry=False)
    if not secret.values.get(reference.key, b"").strip():
        message = (
            f"the Secret {reference.name} has no key {reference.key}: add it, with ImageKit's private key, or "
            "correct spec.images.secretRef.key"
        )
        return Fault(Reason.SECRET_KEY_MISSING, message, retry=False)
    return None

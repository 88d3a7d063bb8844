"""Read the pods of a pool's Jobs, and the Warning Events that say why there are none or why they do not start."""

from collections.abc import Mapping

from campaignpool_operator.cluster.client import Cluster
from campaignpool_operator.cluster.transport import Json
from campaignpool_operator.facts import Pool
from campaignpool_operator.jobs import managed
from campaignpool_operator.jobs.managed import ManagedJob
from campaignpool_operator.jobs.pods import JobPods, summarize, wants_events


async def observe_pods(cluster: Cluster, pool: Pool, jobs: tuple[ManagedJob, ...]) -> Mapping[str, JobPods]:
    """Return what is known of the pods of Jobs that are active or failed, by the Job's name.

    Args:
        cluster: The Kubernetes API.
        pool: Whose Jobs these are.
        jobs: Listed before the pods.

    Raises:
        ClusterError: The API refused or did not answer.
    """
    wanted = [job for job in jobs if job.state != "Succeeded"]
    if not wanted:
        return {}
    pods = await cluster.pods(pool.namespace, f"{managed.SELECTOR},{managed.selector(pool.name)}")
    result = {}
    for job in wanted:
        mine: list[Json] = [dict(pod) for pod in managed.owned(pods, job.uid)]
        events = [
            event
            for uid in wants_events(job, mine)
            for event in await cluster.events(pool.namespace, uid, kind="Warning")
        ]
        result[job.name] = summarize(job, mine, events)
    return result

"""Where the facts come from: the operator's API by way of the API server, else the cluster alone."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

from campaignpool.errors import CampaignPoolError, ClusterError, ConfigurationError
from campaignpool_kubectl.kubectl import Connection
from campaignpool_kubectl.options import not_found
from campaignpool_operator.cluster.transport import Json
from campaignpool_operator.dashboard import view, workloads
from campaignpool_operator.dashboard.identity import FORWARDED_TOKEN
from campaignpool_operator.dashboard.models import Checks, Claims, PoolList, PoolView, Trends
from campaignpool_operator.dashboard.openapi import PREFIX
from campaignpool_operator.dashboard.sizing_models import ImagesView, SizingView
from campaignpool_operator.dashboard.view import ClusterFacts, LedgerFacts
from campaignpool_operator.dashboard.work_models import Logs, LogView, View

SERVICES = "campaignpool.dev/dashboard=true"
"""Label of the Services of operators that serve the API."""

OFF = (
    "the operator's API is not served: to see what only the database knows, install the chart with "
    "dashboard.enabled=true"
)
_CERTIFICATE = (
    "your kubeconfig has a certificate and no token, and the operator's API knows users by their token: to see what "
    "only the database knows, use a user with a token, such as one that kubectl create token gives"
)

T = TypeVar("T", bound=View)


class Source:
    """Reads pools with the rights of the kubeconfig's user.

    Args:
        connection: To the cluster.
        service: `namespace/name` of the operator's Service; None: it is looked for.
    """

    def __init__(self, connection: Connection, service: str | None) -> None:
        self._connection, self._service = connection, service
        self._found: tuple[str, str] | None = None

    async def pools(self, namespace: str | None) -> PoolList:
        """Return the pools of a namespace, or of all. Raises ClusterError."""
        try:
            answered = await self._ask("/pools", PoolList)
            chosen = [pool for pool in answered.pools if namespace in (None, pool.namespace)]
            return answered.model_copy(update={"pools": chosen})
        except CampaignPoolError as error:
            why = error.message
        now = datetime.now(UTC)
        facts = LedgerFacts(message=why)
        listed = [view.summary(pool, facts, now) for pool in await self._connection.cluster.pools(namespace)]
        return PoolList(at=view.time(now), pools=view.ordered(listed))

    async def pool(self, namespace: str, name: str) -> PoolView:
        """Return everything that is known of a pool. Raises ClusterError and ConfigurationError."""
        try:
            return await self._ask(f"/pools/{namespace}/{name}", PoolView)
        except CampaignPoolError as error:
            why = error.message
        resource = await self.resource(namespace, name)
        hidden: list[str] = []
        jobs = await self._jobs(resource, hidden)
        events = await _allowed(lambda: workloads.read_events(self._connection.cluster, resource), "events", hidden)
        facts = ClusterFacts(jobs, events, hidden)
        return view.pool_view(resource, LedgerFacts(message=why), facts, datetime.now(UTC))

    async def claims(self, namespace: str, name: str, most: int) -> Claims:
        """Return the newest claims of a pool. Raises CampaignPoolError: only the database knows them."""
        return await self._ask(f"/pools/{namespace}/{name}/claims?limit={most}", Claims)

    async def trends(self, namespace: str, name: str, hours: int) -> Trends:
        """Return the last hours of a pool. Raises CampaignPoolError: only the database knows them."""
        return await self._ask(f"/pools/{namespace}/{name}/trends?hours={hours}", Trends)

    async def checks(self, namespace: str, name: str) -> Checks:
        """Have the operator's pod check a pool's database. Raises CampaignPoolError."""
        return await self._ask(f"/pools/{namespace}/{name}/checks", Checks)

    async def sizing(self, namespace: str, name: str) -> SizingView:
        """Return the demand of a pool. Raises CampaignPoolError: only the database knows it."""
        return await self._ask(f"/pools/{namespace}/{name}/sizing", SizingView)

    async def images(self, namespace: str, name: str) -> ImagesView:
        """Return how many images waited. Raises CampaignPoolError: only the database knows it."""
        return await self._ask(f"/pools/{namespace}/{name}/images", ImagesView)

    async def logs(self, namespace: str, name: str, lines: int) -> Logs:
        """Return the last lines that a pool's Jobs wrote, with the user's own rights. Raises ClusterError."""
        resource, hidden = await self.resource(namespace, name), list[str]()
        written = await _allowed(
            lambda: workloads.read_logs(self._connection.cluster, resource, lines), "pods/log", hidden
        )
        logs = [LogView.model_validate(log) for log in written or ()]
        return Logs(pool=f"{namespace}/{name}", logs=logs, hidden=hidden)

    async def with_logs(self, pool: PoolView, lines: int) -> PoolView:
        """Return a pool with the last lines of its Jobs. Raises ClusterError."""
        if not pool.jobs:
            return pool
        logs = {log.job: log.lines for log in (await self.logs(pool.namespace, pool.name, lines)).logs}
        jobs = [job.model_copy(update={"log": logs.get(job.name)}) for job in pool.jobs]
        return pool.model_copy(update={"jobs": jobs})

    async def resource(self, namespace: str, name: str) -> Json:
        """Return a CampaignPool. Raises ConfigurationError where there is none, and ClusterError."""
        resource = await self._connection.cluster.pool(namespace, name)
        if resource is None:
            raise not_found(namespace, name)
        return resource

    async def _jobs(self, resource: Json, hidden: list[str]) -> list[Json] | None:
        """Return the Jobs of a pool with what the user may see of them."""
        cluster = self._connection.cluster
        for pods, events in ((True, True), (True, False), (False, False)):
            try:
                jobs = await workloads.read_jobs(cluster, resource, with_pods=pods, with_events=events)
            except ClusterError as error:
                if error.reason != "Forbidden":
                    raise
            else:
                hidden += [] if pods else ["pods"]
                return jobs
        hidden += ["jobs.batch", "pods"]
        return None

    async def _ask(self, path: str, model: type[T]) -> T:
        """Return what the operator's API answers. Raises CampaignPoolError."""
        if self._connection.token is None:
            raise ConfigurationError(_CERTIFICATE)
        namespace, service = self._found or await self._find()
        headers = {FORWARDED_TOKEN: self._connection.token}
        answer = await self._connection.cluster.proxied(namespace, service, f"{PREFIX}{path}", headers)
        self._found = (namespace, service)
        return model.model_validate(answer)

    async def _find(self) -> tuple[str, str]:
        """Return the namespace of the operator's Service, and its name and port."""
        if self._service:
            namespace, _, name = self._service.partition("/")
            return namespace, name if ":" in name else f"{name}:http"
        services = await self._connection.cluster.services(SERVICES)
        if not services:
            raise ConfigurationError(OFF)
        metadata: dict[str, Any] = services[0]["metadata"]
        return metadata["namespace"], f"{metadata['name']}:http"


async def _allowed(read: Callable[[], Awaitable[list[Json]]], what: str, hidden: list[str]) -> list[Json] | None:
    """Return what the user may read; None, and its name among what is hidden, where they may not."""
    try:
        return await read()
    except ClusterError as error:
        if error.reason != "Forbidden":
            raise
    hidden.append(what)
    return None

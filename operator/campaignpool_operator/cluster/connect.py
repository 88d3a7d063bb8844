"""Connect to the Kubernetes API by service account or kubeconfig: the only module that imports `kubernetes`."""

import os
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import ClientResponse
from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, ApiException, Configuration

from campaignpool.errors import ConfigurationError
from campaignpool_operator.cluster.client import APPLICATION, REQUEST_SECONDS, Cluster
from campaignpool_operator.cluster.transport import Answer, Json

_KUBECONFIG = os.path.expanduser("~/.kube/config")  # noqa: PTH111 (the client takes text)


class KubernetesTransport:
    """Sends requests with the Kubernetes client, which knows certificates, tokens and their renewal."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client
        client.user_agent = APPLICATION

    async def send(self, method: str, path: str, headers: Mapping[str, str], body: Json | None) -> Answer:
        """Send a request; see `Transport`."""
        response = await self._begin(method, path, headers, body, REQUEST_SECONDS)
        return Answer(response.status, response.headers, await response.read())

    @asynccontextmanager
    async def lines(
        self, path: str, headers: Mapping[str, str], seconds: float
    ) -> AsyncIterator[tuple[int, AsyncIterable[bytes]]]:
        """Begin a GET that is answered line by line; see `Transport`."""
        async with await self._begin("GET", path, headers, None, seconds) as response:
            yield response.status, response.content

    async def _begin(
        self, method: str, path: str, headers: Mapping[str, str], body: Json | None, seconds: float
    ) -> ClientResponse:
        try:
            prepared = await self._client.param_serialize(
                method,
                path,
                query_params=[],
                header_params=dict(headers),
                body=body,
                auth_settings=["BearerToken"],
            )
            answer = await self._client.call_api(*prepared, _request_timeout=seconds)
        except ApiException as error:
            raise OSError(type(error).__name__) from error
        response: ClientResponse = answer.response
        return response

    async def close(self) -> None:
        """End the connection."""
        await self._client.close()  # type: ignore[no-untyped-call] # it has no types


async def connect(kubeconfig: Path | None = None) -> Cluster:
    """Connect with the pod's service account, or outside of a pod with the kubeconfig.

    Args:
        kubeconfig: Use this one, wherever the process runs.

    Raises:
        ConfigurationError: There is neither.
    """
    configuration = Configuration()
    configuration.connection_pool_maxsize = 0  # no bound: each watch has a connection of its own
    if kubeconfig is None and _has_service_account(configuration):
        return Cluster(KubernetesTransport(ApiClient(configuration)))
    path = str(kubeconfig or os.environ.get("KUBECONFIG") or _KUBECONFIG)
    try:
        await config.load_kube_config(  # type: ignore[no-untyped-call] # it has no types
            path, client_configuration=configuration, persist_config=False
        )
    except config.ConfigException as error:
        raise ConfigurationError(
            "there is neither a service account nor a kubeconfig: run in a cluster, or set KUBECONFIG",
            reason="ClusterUnknown",
        ) from error
    return Cluster(KubernetesTransport(ApiClient(configuration)))


def _has_service_account(configuration: Configuration) -> bool:
    """Load the pod's service account; return whether there is one."""
    try:
        config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call] # no types
    except config.ConfigException:
        return False
    return True

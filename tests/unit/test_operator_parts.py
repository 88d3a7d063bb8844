"""The smaller parts of the operator: configuration, metrics, probes, and what an event asks for."""

import logging
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from kopf import OperatorSettings
from kubernetes.aio.client import ApiClient, Configuration
from pydantic import ValidationError

from campaignpool.errors import ClusterError
from campaignpool_operator.cluster.client import Cluster
from campaignpool_operator.cluster.connect import KubernetesTransport
from campaignpool_operator.handlers import RetriesAreWarnings, configure
from campaignpool_operator.loops import Loops
from campaignpool_operator.process import Operator
from campaignpool_operator.runtime.config import Config
from campaignpool_operator.runtime.health import HealthServer
from campaignpool_operator.runtime.leader import Election
from campaignpool_operator.runtime.metrics import Metrics


def test_configuration_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAMPAIGNPOOL_NAMESPACES", "game, stage")
    monkeypatch.setenv("CAMPAIGNPOOL_HTTP_PORT", "off")
    config = Config()
    assert config.namespaces == ("game", "stage")
    assert config.http_port is None
    assert config.resync_seconds == 30
    with pytest.raises(ValidationError):
        config.resync_seconds = 5  # type: ignore[misc] # that is the test


def test_the_command_says_what_is_wrong_with_an_option() -> None:
    command = [sys.executable, "-m", "campaignpool_operator", "--resync-seconds", "soon"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode == 2
    assert answer.stderr.startswith("campaignpool-operator: resync_seconds: ")
    assert "Traceback" not in answer.stderr


def test_the_command_without_a_cluster_says_so(tmp_path: Path) -> None:
    nowhere = str(tmp_path / "nowhere")
    environment = {"KUBECONFIG": nowhere, "HOME": nowhere, "CAMPAIGNPOOL_HTTP_PORT": "off"}
    command = [sys.executable, "-m", "campaignpool_operator"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=60)
    assert answer.returncode == 1
    assert "neither a service account nor a kubeconfig" in answer.stdout
    assert "Traceback" not in answer.stdout + answer.stderr


def test_kopf_is_told_to_notice_watches_that_stall_and_to_post_nothing() -> None:
    settings = OperatorSettings()
    configure(settings)
    assert settings.watching.server_timeout is not None
    assert settings.watching.client_timeout is not None
    assert settings.watching.server_timeout < settings.watching.client_timeout
    assert settings.watching.inactivity_timeout < settings.watching.server_timeout
    assert not settings.posting.enabled
    assert settings.peering.standalone


def test_requests_that_kopf_retries_are_warnings() -> None:
    lines = ("Request attempt 1/9 failed; will retry: GET /", "Request attempt 9/9 failed; escalating: GET /")
    levels = []
    for line in lines:
        record = logging.LogRecord("kopf.activities", logging.ERROR, __file__, 1, line, None, None)
        assert RetriesAreWarnings().filter(record)
        levels.append(record.levelname)
    assert levels == ["WARNING", "ERROR"]


async def test_probes_answer_with_what_is_wrong() -> None:
    wrong: dict[str, str | None] = {"alive": None, "ready": "not yet"}
    server = HealthServer(lambda: wrong["alive"], lambda: wrong["ready"], Metrics("9"))
    port = await server.start("127.0.0.1", 0)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        assert (await client.get("/livez")).status_code == 200
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.text) == (503, "not yet\n")
        wrong["alive"] = "stuck: game/chiwar"
        assert (await client.get("/livez")).status_code == 503
        assert "campaignpool_build_info" in (await client.get("/metrics")).text
    await server.close()


async def test_a_leader_is_not_ready_while_nothing_is_watched() -> None:
    operator, client = Operator(Config()), ApiClient()
    operator._election = election = Election(Cluster(KubernetesTransport(client)), "game", "operator", "me")
    election._answered_at = time.monotonic()
    assert operator._unready() is None, "it waits for the lease, as it should"
    election._held_until = time.monotonic() + 60
    assert operator._unready() == "the watches are being opened again"
    operator._loops = Loops(Config(), election._cluster, Metrics("9"))
    assert operator._unready() == "the pools have not been listed yet"
    await client.close()


async def test_an_answer_that_is_not_the_apis_is_a_fault_that_passes() -> None:
    """Else the list of pools would end with an exception, and nobody would list them again."""

    async def page(_: web.Request) -> web.Response:
        return web.Response(text="<html>Please sign in.</html>", content_type="text/html")

    application = web.Application()
    application.router.add_get("/{path:.*}", page)
    async with TestServer(application) as server:
        cluster = Cluster(KubernetesTransport(ApiClient(Configuration(host=str(server.make_url("")).rstrip("/")))))
        with pytest.raises(ClusterError, match="is no JSON object: a proxy answers") as error:
            await cluster.pools(None)
        assert error.value.retry
        await cluster.close()


class Asked(Loops):
    """Loops that only note what they are asked for."""

    def __init__(self, client: ApiClient) -> None:
        super().__init__(Config(http_port=None), Cluster(KubernetesTransport(client)), Metrics("9"))
        self.asked: list[str] = []

    def request(self, key: str) -> None:
        self.asked.append(key)


@pytest.fixture
async def asked() -> AsyncIterator[Asked]:
    client = ApiClient()
    yield Asked(client)
    await client.close()


def resource(**meta: Any) -> dict[str, Any]:
    facts = {"namespace": "game", "name": "chiwar", "uid": "u", "generation": 1}
    return {"metadata": {**facts, **meta}, "status": {}}


async def test_only_what_matters_of_a_pool_asks_for_its_loop(asked: Asked) -> None:
    asked.pool_changed(resource())
    asked.pool_changed(resource(resourceVersion="2"))
    asked.pool_changed({**resource(), "status": {"ready": 5}})
    asked.pool_changed(resource(finalizers=["x"]))
    assert asked.asked == ["game/chiwar"], "our own writing asks for nothing"
    for change in ({"generation": 2}, {"deletionTimestamp": "now"}, {"annotations": {"a": "b"}}, {"uid": "v"}):
        asked.pool_changed(resource(**change))
    assert len(asked.asked) == 5
    asked.pool_gone(resource())
    asked.pool_changed(resource())
    assert len(asked.asked) == 7


async def test_a_job_asks_for_the_loop_of_the_pool_that_controls_it(asked: Asked) -> None:
    owner = {"kind": "CampaignPool", "name": "chiwar", "controller": True}
    asked.pool_changed({"metadata": {"namespace": "game", "name": "chiwar", "uid": "1"}})
    asked.asked.clear()
    asked.job_changed(
        {"metadata": {"namespace": "game", "ownerReferences": [{**owner, "name": "of another operator"}]}}
    )
    asked.job_changed({"metadata": {"namespace": "game", "ownerReferences": [owner]}})
    asked.job_changed({"metadata": {"namespace": "game", "ownerReferences": [{**owner, "kind": "CronJob"}]}})
    asked.job_changed({"metadata": {"namespace": "game"}})
    assert asked.asked == ["game/chiwar"]


async def test_loops_that_have_not_listed_are_not_ready(asked: Asked) -> None:
    assert asked.unready() == "the pools have not been listed yet"
    assert asked.stuck() is None

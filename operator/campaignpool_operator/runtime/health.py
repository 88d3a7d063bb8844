"""One small server for probes and metrics: `/livez`, `/readyz`, `/metrics`.

Alive: the event loop answers, and no pool's loop has outrun its bound. Ready: the operator has started, its pools
were listed, and the API answered lately. An operator that is not ready harms nobody: claims do not need it.
"""

import logging
from collections.abc import Awaitable, Callable

from aiohttp import web

from campaignpool_operator.runtime.metrics import Metrics

Check = Callable[[], str | None]
"""Returns what is wrong, or None."""

_log = logging.getLogger(__name__)


class HealthServer:
    """Serves until it is closed.

    Args:
        alive: What is wrong with the process, if anything.
        ready: What keeps it from working, if anything.
        metrics: What to show at `/metrics`.
    """

    def __init__(self, alive: Check, ready: Check, metrics: Metrics) -> None:
        self._metrics = metrics
        application = web.Application()
        application.router.add_get("/livez", _probe(alive))
        application.router.add_get("/readyz", _probe(ready))
        application.router.add_get("/metrics", self._show)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)

    async def start(self, host: str | None, port: int) -> int:
        """Serve; give the port, which is a free one where 0 was asked for."""
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
        bound = int(self._runner.addresses[0][1])
        _log.info("serving probes and metrics", extra={"port": bound})
        return bound

    async def close(self) -> None:
        """Serve no more."""
        await self._runner.cleanup()

    async def _show(self, _: web.Request) -> web.Response:
        await self._metrics.prepare()
        return web.Response(body=self._metrics.text(), headers={"Content-Type": "text/plain; version=0.0.4"})


def _probe(check: Check) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(_: web.Request) -> web.Response:
        wrong = check()
        return web.Response(text=f"{wrong or 'ok'}\n", status=503 if wrong else 200)

    return answer

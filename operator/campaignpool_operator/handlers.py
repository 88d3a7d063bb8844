"""kopf's part: watches and life cycle. Every handler hands on in a line or two.

Only `on.event` handlers are used, and the finalizer is our own. kopf's daemons and deletion handlers would bring
one, but a daemon is not started again for a pool that was being deleted when the operator restarted, and a deletion
handler keeps its progress in annotations of the resource and its retries to itself. With raw events kopf stores
nothing in the resource, every trigger ends in the same single-flight loop, and a restart is nothing but a first event
of each pool.
"""

import logging
from typing import Any

import kopf

from campaignpool.api.resource import GROUP, PLURAL, VERSION
from campaignpool_operator.jobs import managed
from campaignpool_operator.loops import Loops

_PREFIX = GROUP


def registry(loops: Loops, pool_selector: str = "") -> kopf.OperatorRegistry:
    """Return kopf's registry with the handlers that tell these loops of changes in the pools with these labels."""
    handlers = kopf.OperatorRegistry()

    @kopf.on.login(registry=handlers)
    def login(**facts: Any) -> kopf.ConnectionInfo | None:  # noqa: ANN401 (whatever kopf passes is passed on)
        return kopf.login_via_client(**facts)

    @kopf.on.startup(registry=handlers)
    async def startup(settings: kopf.OperatorSettings, **_: object) -> None:
        configure(settings)
        if pool_selector:
            settings.watching.label_selectors[GROUP, VERSION, PLURAL] = pool_selector

    # kopf waits for tasks that began after its own start; ours have to end before it looks.
    @kopf.on.cleanup(registry=handlers)
    async def cleanup(**_: object) -> None:
        await loops.close()

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=handlers)
    async def pool(event: kopf.RawEvent, **_: object) -> None:
        if event["type"] == "DELETED":
            loops.pool_gone(event["object"])
        else:
            loops.pool_changed(event["object"])

    @kopf.on.event(
        "batch", "v1", "jobs", labels={"app.kubernetes.io/managed-by": managed.MANAGED_BY}, registry=handlers
    )
    async def job(event: kopf.RawEvent, **_: object) -> None:
        loops.job_changed(event["object"])

    return handlers


class RetriesAreWarnings(logging.Filter):
    """Lower kopf's log lines about requests that it retries from errors to warnings."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep every record."""
        if record.name.startswith("kopf") and record.levelno == logging.ERROR and "will retry" in record.getMessage():
            record.levelno, record.levelname = logging.WARNING, logging.getLevelName(logging.WARNING)
        return True


def configure(settings: kopf.OperatorSettings) -> None:
    """Set kopf up for watching, and for nothing else."""
    for handler in logging.getLogger().handlers:
        handler.addFilter(RetriesAreWarnings())
    watching = settings.watching
    # A watch whose connection died without a word (a load balancer, a node) would wait for ever. The server is asked
    # to end each after five minutes; the client gives up a minute later; and since an API server sends a bookmark a
    # minute, a stream that is silent for longer is taken for dead and opened again.
    watching.server_timeout = 300
    watching.client_timeout = 360
    watching.connect_timeout = 10
    watching.inactivity_timeout = 90
    # The API server sends our own Jobs only: a cluster may have very many.
    watching.label_selectors["batch", "v1", "jobs"] = managed.SELECTOR
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 10
    # Events are ours to post, on transitions; kopf's own log lines are no news for users.
    settings.posting.enabled = False
    settings.posting.level = logging.WARNING
    # Nothing is stored as long as there are raw handlers only; should that ever change, then under our name.
    settings.persistence.finalizer = f"{_PREFIX}/kopf"
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=_PREFIX)
    settings.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix=_PREFIX)
    settings.peering.standalone = True
    # The process outlives kopf, which stops with the lease; `process` bounds the exit.
    settings.process.ultimate_exiting_timeout = None
    # Namespaces are given or do not matter, and the CRD is there before kopf starts: no right on either is needed.
    settings.scanning.disabled = True

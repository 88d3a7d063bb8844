"""Whether the operator's service account has the rights that it needs, asked of the API server itself."""

import asyncio
import logging
from collections.abc import Sequence

from campaignpool.errors import ClusterError
from campaignpool_operator.cluster.client import Cluster
from campaignpool_operator.rbac import Right, rights

RETRY_SECONDS = 3.0
"""Pause between checks while a right is missing, and least time between two checks."""

_SHOWN = 5

_log = logging.getLogger(__name__)


class Rights:
    """Checks every right at the start, and again whenever the API refused a request as forbidden.

    Args:
        cluster: The Kubernetes API.
        namespaces: Those that are served; none: the whole cluster.
        lease_namespace: Where the Lease is; None: there is none.
        dashboard: The dashboard is served.
        watches: Secrets and ConfigMaps are watched.
    """

    def __init__(
        self,
        cluster: Cluster,
        namespaces: Sequence[str],
        lease_namespace: str | None,
        *,
        dashboard: bool = False,
        watches: bool = True,
    ) -> None:
        self._cluster = cluster
        self._rights = tuple(rights(namespaces, lease_namespace, dashboard=dashboard, watches=watches))
        self.granted = asyncio.Event()
        """Set while no right is known to be missing."""
        self.missing: str | None = "the operator's rights have not been checked yet"
        """What is wrong, in a sentence."""

    async def run(self) -> None:
        """Check until cancelled."""
        while True:
            self._cluster.forbidden.clear()
            try:
                await self.check()
            except ClusterError as error:
                _log.debug("the rights could not be checked", extra={"cause": error.message})
            await asyncio.sleep(RETRY_SECONDS)
            if self.granted.is_set():
                await self._cluster.forbidden.wait()

    async def check(self) -> None:
        """Ask for every right once. Raises ClusterError."""
        denied = [right for right in self._rights if not await self._cluster.allows(right)]
        before, self.missing = self.missing, sentence(denied) if denied else None
        if denied:
            self.granted.clear()
            if self.missing != before:
                _log.error("%s", self.missing)
        else:
            self.granted.set()


def sentence(denied: Sequence[Right]) -> str:
    """Return a sentence that says which rights are missing, and what to do."""
    shown = ", ".join(map(str, denied[:_SHOWN]))
    additional = f" and {len(denied) - _SHOWN} more" if len(denied) > _SHOWN else ""
    return (
        f"the operator's service account may not {shown}{additional}: grant it the rules of its chart, "
        "or restrict it to the namespaces in which it has them"
    )

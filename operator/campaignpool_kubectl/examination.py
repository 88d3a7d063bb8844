"""Read what the plugin's `doctor` judges: from the cluster with the user's rights, and from the operator's API."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from campaignpool.cli.checks import Finding, Status
from campaignpool.errors import CampaignPoolError, ClusterError
from campaignpool_kubectl import site
from campaignpool_kubectl.kubectl import Connection
from campaignpool_kubectl.site import Operator
from campaignpool_kubectl.source import Source
from campaignpool_operator.cluster.transport import Json
from campaignpool_operator.dashboard import view
from campaignpool_operator.dashboard.view import LedgerFacts
from campaignpool_operator.rbac import Right

OPERATORS = "app.kubernetes.io/part-of=campaignpool"
"""Label of the chart's objects."""

_DEFINITION = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{site.DEFINITION}"


class Examination:
    """Examines a cluster; what the user may not see becomes a note.

    Args:
        connection: To the cluster.
        namespace: Whose pools are checked; None: those of all namespaces.
        service: `namespace/name` of the operator's Service; None: the operator is looked for.
    """

    def __init__(self, connection: Connection, namespace: str | None, service: str | None) -> None:
        self._cluster, self._source = connection.cluster, Source(connection, service)
        self._namespace = namespace
        self._operators_in = service.partition("/")[0] if service else None

    async def findings(self) -> list[Finding]:
        """Return what all checks findings; without an answer of the API server, only that."""
        before = datetime.now(UTC)
        try:
            answer = await self._cluster.at("/version")
        except ClusterError as error:
            return [Finding("api", "fix", error.message)]
        after = datetime.now(UTC)
        findings = _named("api", site.version(answer or {}))
        findings += _named("clock", site.clock(self._cluster.now(), before, after, "this machine"))
        for name, check in (
            ("definition", self._definition),
            ("rights", self._rights),
            ("operator", self._operators),
            ("pools", self._pools),
        ):
            try:
                findings += await check()
            except ClusterError as error:
                findings.append(Finding(name, "fix", f"cannot be checked: {error.message}"))
        return list(dict.fromkeys(findings))

    async def _definition(self) -> list[Finding]:
        try:
            return _named("definition", site.definition(await self._cluster.at(_DEFINITION)))
        except ClusterError as error:
            if error.reason != "Forbidden":
                raise
            return [Finding("definition", "note", f"its fields are not compared: {error.message}")]

    async def _rights(self) -> list[Finding]:
        denied = [
            (verb, rule)
            for rule in site.RIGHTS
            for verb in rule.verbs
            if not await self._cluster.allows(Right(rule, verb, self._namespace or ""))
        ]
        return _named("rights", site.rights(denied, self._namespace))

    async def _operators(self) -> list[Finding]:
        where = f"/namespaces/{self._operators_in}" if self._operators_in else ""
        try:
            answer = await self._cluster.at(f"/apis/apps/v1{where}/deployments", {"labelSelector": OPERATORS})
        except ClusterError as error:
            if error.reason != "Forbidden":
                raise
            return _named("operator", site.no_operator(error.message))
        findings: list[Finding] = []
        for item in (answer or {}).get("items") or ():
            operator = await self._operator(item)
            findings += _named("operator", site.running(operator))
            findings += _named("leader", site.leader(operator, self._cluster.now()))
        return findings or _named("operator", site.no_operator(None))

    async def _operator(self, deployment: Json) -> Operator:
        """Return what the user may see of an operator."""
        operator = Operator(deployment)
        labels = deployment["spec"]["selector"].get("matchLabels") or {}
        selector = ",".join(f"{name}={value}" for name, value in labels.items())
        pods, lease, refused, lease_name = None, None, None, operator.lease_name
        try:
            pods = await self._cluster.pods(operator.namespace, selector)
        except ClusterError as error:
            if error.reason != "Forbidden":
                raise
        try:
            lease = await self._cluster.lease(operator.namespace, lease_name) if lease_name else None
        except ClusterError as error:
            if error.reason != "Forbidden":
                raise
            refused = error.message
        return Operator(deployment, pods, lease, refused)

    async def _pools(self) -> list[Finding]:
        """Check the pools, and each database of theirs once."""
        listed, now = await self._cluster.pools(self._namespace), datetime.now(UTC)
        findings = _named("pools", site.pools([view.summary(pool, LedgerFacts(), now) for pool in listed]))
        databases: dict[tuple[str, ...], list[Json]] = {}
        for pool in listed:
            reference = pool["spec"]["database"]["secretRef"]
            key = (pool["metadata"]["namespace"], reference["name"], reference.get("key", ""))
            databases.setdefault(key, []).append(pool)
        for pools in databases.values():
            findings += await self._database(pools)
        return findings

    async def _database(self, pools: list[Json]) -> list[Finding]:
        metadata: dict[str, Any] = pools[0]["metadata"]
        before = datetime.now(UTC)
        try:
            answer = await self._source.checks(metadata["namespace"], metadata["name"])
        except CampaignPoolError as error:
            return _named("connection", site.reached(pools, error.message))
        operator = datetime.fromisoformat(answer.at)
        # Its time lies between the request and the answer; the API server's clock is read to the second.
        took = datetime.now(UTC) - before
        findings = _named("clock", site.clock(self._cluster.now(), operator, operator + took, "the operator"))
        return findings + [
            Finding(item.check, item.status, f"{metadata['namespace']}/{metadata['name']}: {item.message}")
            for item in answer.checks
        ]


def _named(name: str, findings: Iterable[tuple[Status, str]]) -> list[Finding]:
    return [Finding(name, status, message) for status, message in findings]

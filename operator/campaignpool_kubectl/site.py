"""The checks of a cluster of `kubectl campaignpool doctor`, purely: objects of its API in, findings out."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from campaignpool.api.crd import crd
from campaignpool.api.resource import GROUP, PLURAL, VERSION
from campaignpool.cli.checks import SKEW, Status, fix, note, ok
from campaignpool_operator.cluster.transport import Json
from campaignpool_operator.dashboard.models import PoolSummary
from campaignpool_operator.rbac import Rule
from campaignpool_operator.runtime.config import VERSION as RELEASE
from campaignpool_operator.runtime.leader import LEASE_SECONDS

Found: TypeAlias = Iterator[tuple[Status, str]]

OLDEST_CLUSTER = (1, 30)
DEFINITION = f"{PLURAL}.{GROUP}"
RIGHTS = (
    Rule(GROUP, PLURAL, ("get", "list"), "see pools"),
    Rule(GROUP, PLURAL, ("patch",), "change pools"),
    Rule("batch", "jobs", ("list",), "see Jobs"),
    Rule("", "pods", ("list",), "see why a Job does not run"),
    Rule("", "pods/log", ("get",), "see the last lines of a Job's log"),
    Rule("", "events", ("list",), "see Events"),
    Rule("", "services/proxy", ("get",), "see what only the database knows, by way of the operator's API"),
)
"""What somebody needs who looks after pools; `why` completes "without it you cannot"."""

_APPLY = "upgrade the chart with crds.install, or kubectl apply --server-side -f crds/campaignpools.yaml"
_SHOWN = 3


@dataclass(frozen=True)
class Operator:
    """An operator that the chart installed.

    Attributes:
        deployment: Its Deployment.
        pods: Its pods; None: the user may not list them.
        lease: Its Lease; None: there is none.
        lease_refused: Why the user may not see it; None: they may.
    """

    deployment: Json
    pods: Sequence[Json] | None = None
    lease: Json | None = None
    lease_refused: str | None = None

    @property
    def namespace(self) -> str:
        """Its namespace."""
        return str(self.deployment["metadata"]["namespace"])

    @property
    def name(self) -> str:
        """Namespace and name of its Deployment."""
        return f"{self.namespace}/{self.deployment['metadata']['name']}"

    @property
    def lease_name(self) -> str | None:
        """The name of its Lease; None: it elects no leader."""
        variables = {item["name"]: item.get("value") for item in _container(self.deployment).get("env") or ()}
        return str(variables.get("CAMPAIGNPOOL_LEASE_NAME") or "") or None


def version(found: Mapping[str, Any]) -> Found:
    """Report whether the API server is recent enough."""
    digits = ["".join(filter(str.isdigit, str(found.get(part, "")))) for part in ("major", "minor")]
    name = str(found.get("gitVersion") or ".".join(digits))
    oldest = ".".join(map(str, OLDEST_CLUSTER))
    if all(digits) and tuple(map(int, digits)) < OLDEST_CLUSTER:
        yield fix(f"Kubernetes {name}: upgrade to {oldest} or later")
    else:
        yield ok(f"Kubernetes {name}")


def clock(server: datetime, before: datetime, after: datetime, whose: str) -> Found:
    """Report how far the API server's clock, which was read to the second, and another one differ.

    Args:
        server: What the API server's clock showed.
        before: What the other one showed before that.
        after: And after that.
        whose: The other one.
    """
    skew = max(before - server - timedelta(seconds=1), server - after, timedelta())
    if skew > SKEW:
        seconds = f"{skew.total_seconds():.0f} s"
        yield fix(f"the clocks of the API server and of {whose} differ by {seconds}: check NTP on both")
    else:
        limit = f"{SKEW.total_seconds():.0f} s"
        yield ok(f"the clocks of the API server and of {whose} agree within {limit}")


def definition(found: Mapping[str, Any] | None) -> Found:
    """Report whether the CustomResourceDefinition is established and is this program's."""
    if found is None:
        yield fix(f"there is no CustomResourceDefinition {DEFINITION}: {_APPLY}")
        return
    status, versions = found.get("status") or {}, {item["name"]: item for item in found["spec"]["versions"]}
    conditions = {item["type"]: item for item in status.get("conditions") or ()}
    if found["metadata"].get("deletionTimestamp"):
        yield fix(f"{DEFINITION} is being deleted, and all pools with it: install the chart again afterwards")
        return
    if (conditions.get("Established") or {}).get("status") != "True":
        why = next((item["message"] for item in conditions.values() if item.get("status") == "False"), "not yet")
        yield fix(f"{DEFINITION} is not established ({why}): {_APPLY}")
        return
    served = versions.get(VERSION)
    if served is None or not served.get("served"):
        yield fix(f"{DEFINITION} does not serve {VERSION}, which this program knows: install its release here")
        return
    yield from _fields(served)
    obsolete = [name for name in status.get("storedVersions") or () if name != VERSION]
    if obsolete:
        yield note(
            f"pools may be stored as {', '.join(obsolete)}: write each once, then take these out of "
            f"status.storedVersions of {DEFINITION}"
        )


def _fields(served: Mapping[str, Any]) -> Found:
    """Report how the fields of the definition compare with those that this program knows."""
    ours = dict(_listed(crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]))
    theirs = dict(_listed((served.get("schema") or {}).get("openAPIV3Schema") or {}))
    if lacking := [name for name, kind in ours.items() if theirs.get(name) != kind]:
        yield fix(f"{DEFINITION} is of an older release: it lacks {_some(lacking)}; {_APPLY}")
    elif additional := [name for name in theirs if name not in ours]:
        yield note(f"{DEFINITION} is of a newer release, with {_some(additional)}: install that release here")
    else:
        yield ok(f"{DEFINITION} {VERSION} is established, with the fields of release {RELEASE}")


def _listed(schema: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    """Yield the fields of a schema, each with its type and the values that it may have."""
    for name, item in (schema.get("properties") or {}).items():
        inner = item.get("items") or item
        kind = f"{item.get('type')} {sorted(map(str, inner.get('enum') or ()))}"
        below = f"{path}.{name}" if path else name
        yield below, kind
        if below != "metadata":
            yield from _listed(inner, below)


def _some(names: Sequence[str]) -> str:
    additional = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{', '.join(names[:_SHOWN])}{additional}"


def rights(denied: Sequence[tuple[str, Rule]], namespace: str | None) -> Found:
    """Report which rights the user lacks, each as the verb and the rule; None: in all namespaces."""
    where = f"in namespace {namespace}" if namespace else "in all namespaces"
    for verb, rule in denied:
        yield note(f"you may not {verb} {rule.qualified} {where}: without it you cannot {rule.why}")
    if not denied:
        yield ok(f"you may look at pools and change them {where}")


def no_operator(hidden: str | None) -> Found:
    """Report that no Deployment was found; or that the user may not list them, with the API server's refusal."""
    if hidden is not None:
        yield note(
            f"whether the operator runs is not known: {hidden}; --operator NAMESPACE/SERVICE names its namespace"
        )
    else:
        yield fix("no operator is installed: install its chart; claims go on, and no pool is refilled")


def running(operator: Operator) -> Found:
    """Report whether an operator's pods are ready, and of which release they are."""
    deployment, container = operator.deployment, _container(operator.deployment)
    wanted = deployment["spec"].get("replicas", 1)
    ready = int((deployment.get("status") or {}).get("readyReplicas") or 0)
    image = str(container.get("image") or "")
    why = next(filter(None, map(_obstacle, operator.pods or ())), "")
    counted = f"{operator.name}: {ready} of {wanted} pods are ready"
    look = f"kubectl -n {operator.namespace} describe pods, and their logs, say why"
    if wanted == 0:
        yield fix(f"{operator.name} is scaled to 0, and no pool is refilled: scale it to 1 or more")
    elif ready == 0:
        yield fix(f"{counted}, and no pool is refilled{why}: {look}")
    elif ready < wanted:
        yield note(f"{counted}{why}: {look}")
    else:
        yield ok(f"{counted}, of image {image}")
    release = _release(deployment, image)
    if release is not None and release != RELEASE:
        yield note(f"{operator.name} is of release {release}, and this program of {RELEASE}: use the same here")
    others = {_container(pod).get("image") for pod in operator.pods or ()} - {image}
    if others:
        yield note(f"{operator.name}: pods of {', '.join(map(str, others))} are still there: a roll-out goes on")


def leader(operator: Operator, now: datetime) -> Found:
    """Report whether a replica leads.

    Args:
        operator: Whose replicas.
        now: By the API server's clock.
    """
    name = operator.lease_name
    if name is None:
        yield ok(f"{operator.name} elects no leader: its one replica reconciles")
        return
    if operator.lease_refused is not None:
        yield note(f"who leads is not known: {operator.lease_refused}")
        return
    lease = f"the Lease {operator.namespace}/{name}"
    spec = (operator.lease or {}).get("spec") or {}
    holder = str(spec.get("holderIdentity") or "")
    if not holder:
        yield fix(f"nobody holds {lease}, and no pool is refilled: the operator's log says why it cannot write it")
        return
    age = max(0.0, (now - datetime.fromisoformat(spec["renewTime"])).total_seconds())
    if age > int(spec.get("leaseDurationSeconds") or LEASE_SECONDS) + SKEW.total_seconds():
        yield fix(
            f"{holder} holds {lease} and has not renewed it for {age:.0f} s: no replica reconciles; see that its "
            "pods run, and that they reach the API server"
        )
        return
    yield ok(f"{holder} leads, and has renewed {lease} {age:.0f} s ago")
    names = {pod["metadata"]["name"] for pod in operator.pods or ()}
    if operator.pods is not None and holder.rpartition("_")[0] not in names:
        yield note(f"{holder} is none of the pods of {operator.name}: another operator uses the same Lease")


def pools(listed: Sequence[PoolSummary]) -> Found:
    """Report the pools with which something is wrong, and those that nobody reconciles."""
    wrong = False
    for pool in listed:
        if pool.problem is not None:
            yield fix(f"{pool.pool}: {pool.problem.reason}: {pool.problem.message}")
        elif pool.verdict.answer == "Unknown":
            yield fix(f"{pool.pool}: no operator has reconciled it: check that one serves its namespace")
        wrong = wrong or pool.problem is not None or pool.verdict.answer == "Unknown"
    if not wrong:
        yield ok("there is no pool" if not listed else f"nothing is wrong with {_pools(len(listed))}")


def reached(pools_of: Sequence[Json], why: str) -> Found:
    """Report what the cluster alone knows of a database: whether pods reach it.

    Args:
        pools_of: The CampaignPools in it.
        why: Why the operator's API could not be asked.
    """
    for pool in pools_of:
        name = f"{pool['metadata']['namespace']}/{pool['metadata']['name']}"
        status = pool.get("status") or {}
        conditions = {item["type"]: item for item in status.get("conditions") or ()}
        ready = conditions.get("Ready") or {}
        if not ready or ready["reason"] == "Unavailable" or ready["reason"].startswith("Database"):
            continue  # the check of the pools has said so
        seeded = (status.get("lastSeed") or {}).get("finishedAt")
        seeder = f", and a seeder did at {seeded}" if seeded else ""
        yield ok(f"{name}: the operator's pod reaches the database{seeder}")
        break
    yield note(
        "roles, pooler, TLS, extensions and clock of the database are not checked, because the operator's API does "
        f"not answer ({why}); --database-url-file checks them from this machine"
    )


def _pools(count: int) -> str:
    return "the one pool" if count == 1 else f"the {count} pools"


def _container(owner: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the operator's container of a pod or a Deployment."""
    spec = owner.get("spec") or {}
    listed = ((spec.get("template") or {}).get("spec") or spec).get("containers") or [{}]
    return next((item for item in listed if item.get("name") == "operator"), listed[0])


def _release(deployment: Mapping[str, Any], image: str) -> str | None:
    """Return the release of the image; a digest does not say it, and then the chart does."""
    name = image.rpartition("/")[2]
    if "@" not in name and ":" in name:
        return name.rpartition(":")[2]
    label = (deployment["metadata"].get("labels") or {}).get("app.kubernetes.io/version")
    return str(label) if label else None


def _obstacle(pod: Mapping[str, Any]) -> str:
    """Return what keeps a pod from being ready; empty: nothing that it says."""
    status = pod.get("status") or {}
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return f" ({pod['metadata']['name']}: {condition.get('message') or 'no node takes the pod'})"
    for container in status.get("containerStatuses") or ():
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") and waiting["reason"] != "ContainerCreating":
            message = f": {waiting['message']}" if waiting.get("message") else ""
            return f" ({pod['metadata']['name']}: {waiting['reason']}{message})"
    return ""

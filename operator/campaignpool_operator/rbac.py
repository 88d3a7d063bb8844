"""The rights that the operator needs in the Kubernetes API, each with the reason: the only list of them.

The chart's roles, the table in docs/how-to/install.md and the check at the operator's start are made from it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from campaignpool.api.resource import GROUP, PLURAL


@dataclass(frozen=True)
class Rule:
    """Verbs on one resource.

    Attributes:
        group: API group; empty is the core group.
        resource: Plural, with a subresource after a slash.
        why: What the operator does with it.
    """

    group: str
    resource: str
    verbs: tuple[str, ...]
    why: str

    @property
    def qualified(self) -> str:
        """Return the resource as messages name it: `jobs.batch`, `secrets`."""
        plural, slash, subresource = self.resource.partition("/")
        return f"{plural}{'.' if self.group else ''}{self.group}{slash}{subresource}"


@dataclass(frozen=True)
class Right:
    """One verb on one resource, in one namespace or in all (an empty one)."""

    rule: Rule
    verb: str
    namespace: str

    def __str__(self) -> str:
        """Return it as a refusal names it."""
        where = f" in namespace {self.namespace}" if self.namespace else ""
        return f"{self.verb} {self.rule.qualified}{where}"


POOL_RULES = (
    Rule(GROUP, PLURAL, ("get", "list", "watch"), "Read the pools and notice changes."),
    Rule(GROUP, PLURAL, ("patch",), "Set and remove the finalizer of a pool."),
    Rule(GROUP, f"{PLURAL}/status", ("patch",), "Write the status of a pool."),
    Rule(
        GROUP,
        f"{PLURAL}/finalizers",
        ("update",),
        "Own Jobs with blockOwnerDeletion, where the API server enforces that right.",
    ),
    Rule("batch", "jobs", ("list", "watch"), "See the Jobs of a pool and notice their end."),
    Rule("batch", "jobs", ("create", "delete"), "Run seeding and images Jobs; delete those that are superseded."),
    Rule("", "secrets", ("get",), "Read the database's URL from the Secret that a pool names."),
    Rule("", "configmaps", ("get",), "Read the blueprint from the ConfigMap that a pool names."),
    Rule("", "pods", ("list",), "See why the pods of a Job do not start."),
    Rule("", "events", ("list",), "Read the Warning Events on Jobs and their pods."),
    Rule("", "events", ("create",), "Post Events on pools."),
)
"""In every namespace whose pools are served."""

WATCH_RULES = (
    Rule("", "secrets", ("watch",), "Notice at once that a Secret that a pool names has changed."),
    Rule("", "configmaps", ("watch",), "Notice at once that a ConfigMap that a pool names has changed."),
)
"""In every namespace whose pools are served, unless `watchReferences` is false."""

LEASE_RULES = (
    Rule("coordination.k8s.io", "leases", ("create",), "Create the Lease of the leader election."),
    Rule("coordination.k8s.io", "leases", ("get", "update"), "Hold the Lease, or wait for it to expire."),
)
"""In the operator's own namespace, with leader election only."""


DASHBOARD_RULES = (
    Rule(
        "authentication.k8s.io", "tokenreviews", ("create",), "Find out whose token a request to the dashboard has."
    ),
    Rule(
        "authorization.k8s.io", "subjectaccessreviews", ("create",), "Find out what the user of the dashboard may do."
    ),
)
"""In the whole cluster, with the dashboard only."""

LOG_RULES = (
    Rule("", "pods/log", ("get",), "Show the last lines of a Job's log to users of the dashboard who may read them."),
)
"""In every namespace whose pools are served, with the dashboard only."""


def rights(
    namespaces: Sequence[str], lease_namespace: str | None, *, dashboard: bool = False, watches: bool = True
) -> Iterator[Right]:
    """Yield every right of an operator.

    Args:
        namespaces: Those that it serves; none: the whole cluster.
        lease_namespace: Where its Lease is; None: it elects no leader.
        dashboard: It serves the dashboard.
        watches: It watches Secrets and ConfigMaps.
    """
    rules = (*POOL_RULES, *(WATCH_RULES if watches else ()))
    for namespace in namespaces or ("",):
        yield from (Right(rule, verb, namespace) for rule in rules for verb in rule.verbs)
    if lease_namespace is not None:
        yield from (Right(rule, verb, lease_namespace) for rule in LEASE_RULES for verb in rule.verbs)
    if dashboard:
        yield from (Right(rule, verb, "") for rule in DASHBOARD_RULES for verb in rule.verbs)
        for namespace in namespaces or ("",):
            yield from (Right(rule, verb, namespace) for rule in LOG_RULES for verb in rule.verbs)

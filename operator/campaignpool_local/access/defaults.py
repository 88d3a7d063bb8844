"""The roles that every cluster has, and the aggregation of cluster roles by their labels."""

from campaignpool_local.access.users import MASTERS
from campaignpool_local.objects import Registry
from campaignpool_local.resources import RBAC, find
from campaignpool_local.store import Change
from campaignpool_local.values import Json
from campaignpool_local.watch import selector

_ROLES, _BINDINGS = (RBAC, "clusterroles"), (RBAC, "clusterrolebindings")
_READ = ["get", "list", "watch"]
_WRITE = ["create", "delete", "deletecollection", "patch", "update"]
_WORKLOADS = {
    "": ["configmaps", "endpoints", "persistentvolumeclaims", "pods", "serviceaccounts", "services"],
    "apps": ["deployments", "deployments/scale", "replicasets"],
    "batch": ["jobs"],
    "policy": ["poddisruptionbudgets"],
    "networking.k8s.io": ["ingresses", "networkpolicies"],
}
_SEEN = {"": ["events", "namespaces", "pods/log", "pods/status", "resourcequotas"], "batch": ["jobs/status"]}
_OPEN_PATHS = [
    "/api",
    "/api/*",
    "/apis",
    "/apis/*",
    "/healthz",
    "/livez",
    "/openapi",
    "/openapi/*",
    "/readyz",
    "/version",
]


def _rules(resources: dict[str, list[str]], verbs: list[str]) -> list[Json]:
    return [{"apiGroups": [group], "resources": plurals, "verbs": verbs} for group, plurals in resources.items()]


_SELF = {
    "authorization.k8s.io": ["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
    "authentication.k8s.io": ["selfsubjectreviews"],
}
_BUILT_IN: dict[str, list[Json]] = {
    "cluster-admin": [
        {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},
        {"nonResourceURLs": ["*"], "verbs": ["*"]},
    ],
    "system:basic-user": _rules(_SELF, ["create"]),
    "system:discovery": [{"nonResourceURLs": _OPEN_PATHS, "verbs": ["get"]}],
    "system:aggregate-to-view": [*_rules(_WORKLOADS, _READ), *_rules(_SEEN, _READ)],
    "system:aggregate-to-edit": [*_rules(_WORKLOADS, _WRITE), *_rules({"": ["secrets"]}, [*_READ, *_WRITE])],
    "system:aggregate-to-admin": _rules({RBAC: ["roles", "rolebindings"]}, [*_READ, *_WRITE]),
}
_BOUND = {
    "cluster-admin": MASTERS,
    "system:basic-user": "system:authenticated",
    "system:discovery": "system:authenticated",
}
_AGGREGATED = ("view", "edit", "admin")
_LABEL = "rbac.authorization.k8s.io/aggregate-to-"


class RoleAggregator:
    """Makes the default roles, and keeps the rules of aggregated ones as their selectors say."""

    def __init__(self, registry: Registry) -> None:
        self._registry, self._store = registry, registry.store
        self._store.listeners.append(self._notice)
        kind, bindings = find(self._store, _ROLES), find(self._store, _BINDINGS)
        for name in _AGGREGATED:
            labels = {f"{_LABEL}{wider}": "true" for wider in _AGGREGATED[_AGGREGATED.index(name) + 1 :][:1]}
            rule = {"clusterRoleSelectors": [{"matchLabels": {f"{_LABEL}{name}": "true"}}]}
            registry.create(kind, "", {"metadata": {"name": name, "labels": labels}, "aggregationRule": rule})
        for name, rules in _BUILT_IN.items():
            _, _, wider = name.partition("aggregate-to-")
            labels = {f"{_LABEL}{wider}": "true"} if wider else {}
            registry.create(kind, "", {"metadata": {"name": name, "labels": labels}, "rules": rules})
        for name, group in (
            ("cluster-admin", MASTERS),
            *((item, "system:authenticated") for item in list(_BUILT_IN)[1:3]),
        ):
            reference = {"apiGroup": RBAC, "kind": "ClusterRole", "name": name}
            subject = {"apiGroup": RBAC, "kind": "Group", "name": group}
            registry.create(bindings, "", {"metadata": {"name": name}, "roleRef": reference, "subjects": [subject]})

    def _notice(self, change: Change) -> None:
        if change.key != _ROLES:
            return
        for role in self._store.list(_ROLES):
            if (rules := self._aggregated(role)) is not None and rules != role.get("rules"):
                self._registry.write(_ROLES, {**role, "rules": rules})
                return  # this write is a change of its own

    def _aggregated(self, role: Json) -> list[Json] | None:
        """Return the rules of all roles that a selector of this one matches, None if it has no selectors."""
        if not (selectors := (role.get("aggregationRule") or {}).get("clusterRoleSelectors")):
            return None
        chosen = [selector(_terms(item), "") for item in selectors]
        others = (item for item in self._store.list(_ROLES) if item["metadata"]["name"] != role["metadata"]["name"])
        matched = [other for other in others if any(matches(other) for matches in chosen)]
        rules = [rule for item in matched for rule in item.get("rules") or ()]
        return [rule for number, rule in enumerate(rules) if rule not in rules[:number]]


def _terms(label_selector: Json) -> str:
    """Write the labels that an object must have as a selector of a request."""
    return ",".join(f"{key}={value}" for key, value in (label_selector.get("matchLabels") or {}).items())

"""What a new pod must pass: its ServiceAccount, the pod security of its namespace, quotas; in the server's words."""

from collections.abc import Callable

from campaignpool_local.jobs import has_ended
from campaignpool_local.objects import Registry
from campaignpool_local.resources import NAMESPACES, PODS, ResourceType, find
from campaignpool_local.store import Change
from campaignpool_local.values import ApiError, Json

_ACCOUNTS, _QUOTAS = ("", "serviceaccounts"), ("", "resourcequotas")
_ENFORCE = "pod-security.kubernetes.io/enforce"
_COUNTED = ("pods", "count/pods")


class PodGates:
    """Refuses pods that may not be made; gives every namespace the ServiceAccount that pods have by default."""

    def __init__(self, registry: Registry) -> None:
        self._registry, self._store = registry, registry.store
        registry.gates.append(self.check)
        self._store.listeners.append(self._notice)
        for namespace in self._store.list(NAMESPACES):
            self._give_account(namespace["metadata"]["name"])

    def _notice(self, change: Change) -> None:
        if change.key == NAMESPACES and change.type == "ADDED":
            self._give_account(change.object["metadata"]["name"])

    def _give_account(self, namespace: str) -> None:
        self._registry.create(find(self._store, _ACCOUNTS), namespace, {"metadata": {"name": "default"}})

    def check(self, kind: ResourceType, pod: Json) -> None:
        """Raise a 403 if a pod may not be made; it has its ServiceAccount afterwards."""
        if kind.key != PODS:
            return
        namespace, spec = pod["metadata"]["namespace"], pod["spec"]
        name = spec.setdefault("serviceAccountName", "default")
        spec.setdefault("serviceAccount", name)
        if self._store.get(_ACCOUNTS, namespace, name) is None:
            why = f'error looking up service account {namespace}/{name}: serviceaccount "{name}" not found'
            raise _refused(pod, why)
        labels = (self._store.get(NAMESPACES, "", namespace) or {"metadata": {}})["metadata"].get("labels") or {}
        if (level := labels.get(_ENFORCE, "privileged")) in _LEVELS:
            version = labels.get(f"{_ENFORCE}-version", "latest")
            if broken := [text for item in _LEVELS[level] if (text := item(spec))]:
                raise _refused(pod, f'violates PodSecurity "{level}:{version}": {", ".join(broken)}')
        self._check_quotas(pod)

    def _check_quotas(self, pod: Json) -> None:
        namespace = pod["metadata"]["namespace"]
        used = sum(not has_ended(item) for item in self._store.list(PODS, namespace))
        for quota in self._store.list(_QUOTAS, namespace):
            hard = (quota.get("spec") or {}).get("hard") or {}
            over = [item for item in _COUNTED if item in hard and used + 1 > int(hard[item])]
            if over:
                parts = {"requested": 1, "used": used}
                results = [f"{word}: {','.join(f'{name}={count}' for name in over)}" for word, count in parts.items()]
                results.append(f"limited: {','.join(f'{name}={hard[name]}' for name in over)}")
                raise _refused(pod, f"exceeded quota: {quota['metadata']['name']}, {', '.join(results)}")


def _refused(pod: Json, why: str) -> ApiError:
    name = pod["metadata"]["name"]
    return ApiError(403, "Forbidden", f'pods "{name}" is forbidden: {why}', {"name": name, "kind": "pods"})


def _containers(spec: Json) -> list[Json]:
    return [*(spec.get("initContainers") or ()), *spec["containers"]]


def _without(spec: Json, holds: Callable[[Json], bool]) -> str:
    """Write which containers do not hold something, nothing if all do."""
    names = [
        f'"{container["name"]}"'
        for container in _containers(spec)
        if not holds(container.get("securityContext") or {})
    ]
    return f"container{'s' if len(names) > 1 else ''} {', '.join(names)}" if names else ""


def _either(spec: Json, holds: Callable[[Json], bool]) -> str:
    """Do the same for what can also be said of the pod as a whole."""
    pod = spec.get("securityContext") or {}
    return _without(spec, lambda own: holds({**pod, **own}))


def _escalation(spec: Json) -> str:
    who = _without(spec, lambda own: own.get("allowPrivilegeEscalation") is False)
    must = "must set securityContext.allowPrivilegeEscalation=false"
    return f"allowPrivilegeEscalation != false ({who} {must})" if who else ""


def _capabilities(spec: Json) -> str:
    who = _without(spec, lambda own: "ALL" in ((own.get("capabilities") or {}).get("drop") or ()))
    return f'unrestricted capabilities ({who} must set securityContext.capabilities.drop=["ALL"])' if who else ""


def _root(spec: Json) -> str:
    who = _either(spec, lambda each: each.get("runAsNonRoot") is True)
    return f"runAsNonRoot != true (pod or {who} must set securityContext.runAsNonRoot=true)" if who else ""


def _seccomp(spec: Json) -> str:
    who = _either(
        spec, lambda each: (each.get("seccompProfile") or {}).get("type") in ("RuntimeDefault", "Localhost")
    )
    must = 'must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
    return f"seccompProfile (pod or {who} {must})" if who else ""


def _privileged(spec: Json) -> str:
    who = _without(spec, lambda own: not own.get("privileged"))
    return f"privileged ({who} must not set securityContext.privileged=true)" if who else ""


def _host(spec: Json) -> str:
    used = [f"{item}=true" for item in ("hostNetwork", "hostPID", "hostIPC") if spec.get(item)]
    return f"host namespaces ({', '.join(used)})" if used else ""


_BASELINE = (_host, _privileged)
_LEVELS = {"baseline": _BASELINE, "restricted": (*_BASELINE, _escalation, _capabilities, _root, _seccomp)}

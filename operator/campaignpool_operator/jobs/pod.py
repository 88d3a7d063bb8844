"""The pod of a Job, purely: its security, its one container, and what `seeding.podTemplate` changes."""

import copy
import re
from collections.abc import Mapping, Sequence
from typing import Any

from campaignpool.api.spec import CampaignPoolSpec, ResourceRequirements
from campaignpool.errors import ConfigurationError

CONTAINER = "seeder"

_BY_NAME = ("containers", "initContainers", "env", "volumes")
"""Lists whose entries have a name by which they are merged."""

_REQUESTS = {"cpu": "50m", "memory": "64Mi"}
_LIMITS = {"memory": "256Mi"}


def template(spec: CampaignPoolSpec, labels: Mapping[str, str], container: Mapping[str, Any]) -> dict[str, Any]:
    """Return the template of a Job's pods: as little as can be allowed, and what `seeding.podTemplate` changes."""
    pod = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            # The image's user, which is not root; where that is left open, OpenShift assigns one.
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [dict(container)],
    }
    changes = spec.seeding.pod_template
    metadata: dict[str, Any] = {"labels": dict(labels)}
    if changes:
        # Ours win: the selector of the scale subresource and the operator's watches use them.
        metadata["labels"] = {**(changes.labels or {}), **labels}
        metadata |= {"annotations": dict(changes.annotations)} if changes.annotations else {}
        pod = merged(pod, changes.spec or {})
    return {"metadata": metadata, "spec": pod}


def container(
    spec: CampaignPoolSpec,
    default_image: str,
    module: str,
    arguments: Mapping[str, str],
    secrets: Mapping[str, tuple[str, str]],
) -> dict[str, Any]:
    """Return the one container of a pod; see `JobSpec` for the arguments."""
    resources = spec.seeding.resources
    return {
        "name": CONTAINER,
        "image": spec.seeding.image or default_image,
        "command": ["python", "-m", module],
        # One word each: an owner may begin with a dash, or be empty.
        "args": [*(f"{name}={value}" for name, value in arguments.items()), "--json-logs"],
        "env": [
            {"name": variable, "valueFrom": {"secretKeyRef": {"name": name, "key": key}}}
            for variable, (name, key) in secrets.items()
        ],
        "resources": {"requests": _requests(resources), "limits": dict((resources and resources.limits) or _LIMITS)},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


def _requests(resources: ResourceRequirements | None) -> dict[str, Any]:
    """Return what a container is guaranteed: what the pool says, else the defaults as far as its limits allow."""
    if resources is None:
        return dict(_REQUESTS)
    limits = resources.limits or {}
    fitting = {name: limits[name] for name in _REQUESTS.keys() & limits.keys() if _exceeds(name, limits[name])}
    return dict(resources.requests or {**_REQUESTS, **fitting})


def _exceeds(name: str, limit: str | int) -> bool:
    return _amount(_REQUESTS[name]) > _amount(str(limit))


def _amount(quantity: str) -> float:
    """Return a Kubernetes quantity as a number; infinite where it is none, for the API server refuses that better."""
    parts = re.fullmatch(r"([0-9.]+)(m|[kMGTPE]i?|Ki)?", quantity)
    if parts is None:
        return float("inf")
    suffix = parts[2] or ""
    power = " kMGTPE".find(suffix[:1].replace("K", "k")) if suffix else 0
    factor = 0.001 if suffix == "m" else (1024.0 if suffix.endswith("i") else 1000.0) ** power
    return float(parts[1]) * factor


def merged(target: Mapping[str, Any], patch: Mapping[str, Any], *, keep_nulls: bool = False) -> dict[str, Any]:
    """Apply a JSON merge patch (RFC 7396); lists of `_BY_NAME` are merged by name, other lists are replaced.

    Args:
        target: What is changed; left unchanged.
        patch: The changes. A null removes a key.
        keep_nulls: The target is a patch itself: what the result is applied to loses the keys.

    Raises:
        ConfigurationError: A list that is merged by name holds something else.
    """
    result = copy.deepcopy(dict(target))
    for key, value in patch.items():
        if value is None and not keep_nulls:
            result.pop(key, None)
        elif key in _BY_NAME and isinstance(value, list):
            result[key] = _by_name(key, result.get(key) or [], value, keep_nulls=keep_nulls)
        elif isinstance(value, Mapping):
            current = result.get(key)
            result[key] = merged(current if isinstance(current, Mapping) else {}, value, keep_nulls=keep_nulls)
        else:
            result[key] = copy.deepcopy(value)
    return result


def _by_name(
    key: str, target: Sequence[dict[str, Any]], patch: Sequence[Any], *, keep_nulls: bool
) -> list[dict[str, Any]]:
    default = CONTAINER if key in ("containers", "initContainers") else None
    entries = {item.get("name", default): item for item in target}
    for item in patch:
        name = item.get("name", default) if isinstance(item, Mapping) else None
        if not isinstance(name, str):
            raise ConfigurationError(
                f"spec.seeding.podTemplate.spec: {key} must be a list of objects with a name", reason="SpecInvalid"
            )
        entries[name] = merged(entries.get(name, {}), item, keep_nulls=keep_nulls)
    return list(entries.values())

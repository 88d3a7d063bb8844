"""The pod of a Job, purely: its security, its one container, and what `seeding.podTemplate` changes."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from campaignpool.api.spec import CampaignPoolSpec
from campaignpool.errors import ConfigurationError

CONTAINER = "seeder"
USER = 65532
"""Unix user and group of the seeder: nobody that a node knows."""

_REQUESTS = {"cpu": "50m", "memory": "64Mi"}
_LIMITS = {"memory": "256Mi"}


def template(spec: CampaignPoolSpec, labels: Mapping[str, str], container: Mapping[str, Any]) -> dict[str, Any]:
    """Return the template of a Job's pods: as little as can be allowed, and what `seeding.podTemplate` changes."""
    pod = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
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
        "resources": {
            "requests": dict((resources and resources.requests) or _REQUESTS),
            "limits": dict((resources and resources.limits) or _LIMITS),
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


def merged(target: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """Apply a JSON merge patch (RFC 7396); lists of containers are merged by name, other lists are replaced.

    Raises:
        ConfigurationError: A list of containers holds something else.
    """
    result = copy.deepcopy(dict(target))
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif key in ("containers", "initContainers") and isinstance(value, list):
            result[key] = _by_name(result.get(key, []), value)
        elif isinstance(value, Mapping):
            current = result.get(key)
            result[key] = merged(current if isinstance(current, Mapping) else {}, value)
        else:
            result[key] = copy.deepcopy(value)
    return result


def _by_name(target: Sequence[dict[str, Any]], patch: Sequence[Any]) -> list[dict[str, Any]]:
    containers = {each["name"]: each for each in target}
    for each in patch:
        if not isinstance(each, Mapping) or not isinstance(each.get("name", CONTAINER), str):
            raise ConfigurationError(
                "spec.seeding.podTemplate.spec: containers and initContainers must be lists of objects with a name",
                reason="SpecInvalid",
            )
        name = each.get("name", CONTAINER)
        containers[name] = merged(containers.get(name, {}), each)
    return list(containers.values())

"""What a person can do to a pool, as changes of its resource: the same for the dashboard and for the kubectl plugin.

An action is a merge patch, so it needs the right to patch the CampaignPool and nothing else. The operator obeys an
annotation once for each value, and the status says which value it obeyed last.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from campaignpool.api.resource import DRAIN, PAUSED_BY, REFRESH, RELEASE, RETRY, RETRY_IMAGES

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Request:
    """What an action is asked with.

    Attributes:
        stamp: Tells this request from those before: a time.
        who: The user, for people.
        value: The argument, of actions that have one.
    """

    stamp: str
    who: str = ""
    value: str = ""


@dataclass(frozen=True)
class Action:
    """Something that a person can do to a pool.

    Attributes:
        name: As commands and buttons name it.
        about: What it does, in a sentence.
        patch: The merge patch of the resource.
        done: Whether the resource says that it is done.
        destroys: Something is deleted that cannot be had again.
        argument: The name of its argument; empty: it has none.
    """

    name: str
    about: str
    patch: Callable[[Request], dict[str, Any]]
    done: Callable[[Json, Request], bool]
    destroys: bool = False
    argument: str = ""


def _annotated(name: str, *, by_value: bool = False) -> Callable[[Request], dict[str, Any]]:
    """Return what sets an annotation to a new value."""
    return lambda request: {"metadata": {"annotations": {name: request.value if by_value else request.stamp}}}


def _obeyed(*path: str, by_value: bool = False) -> Callable[[Json, Request], bool]:
    """Return whether the status has the value that was asked for."""

    def check(resource: Json, request: Request) -> bool:
        value: Any = resource.get("status") or {}
        for part in path:
            value = (value or {}).get(part)
        return bool(value == (request.value if by_value else request.stamp))

    return check


def _filled(resource: Json) -> bool:
    status = resource.get("status") or {}
    return int(status.get("ready", 0)) >= int(status.get("desired", 0))


def _seen(resource: Json) -> bool:
    """Return whether the operator has seen the present spec."""
    status = resource.get("status") or {}
    return int(status.get("observedGeneration") or 0) >= int(resource["metadata"].get("generation", 1))


def _is(resource: Json, kind: str, status: str) -> bool:
    conditions = (resource.get("status") or {}).get("conditions") or ()
    return any(item["type"] == kind and item["status"] == status for item in conditions)


def _in_service(resource: Json) -> int:
    """Return the revision that campaigns are made from; 0 before the first."""
    return int(((resource.get("status") or {}).get("rollout") or {}).get("revision", 0))


def earlier(resource: Json) -> int | None:
    """Return the latest revision that is kept and came before the one in service."""
    kept = ((resource.get("status") or {}).get("rollout") or {}).get("kept") or ()
    return max((revision for revision in kept if revision < _in_service(resource)), default=None)


def _pause(request: Request) -> dict[str, Any]:
    return {"metadata": {"annotations": {PAUSED_BY: request.who or None}}, "spec": {"paused": True}}


def _resume(_: Request) -> dict[str, Any]:
    return {"metadata": {"annotations": {PAUSED_BY: None}}, "spec": {"paused": False}}


ACTIONS = (
    Action(
        "replenish",
        "Seed what is missing now, also after runs that failed; done when every campaign is ready.",
        _annotated(RETRY),
        lambda resource, request: _obeyed("retried")(resource, request) and _filled(resource),
    ),
    Action(
        "pause",
        "Make and retire no campaign until the pool is resumed; claims go on.",
        _pause,
        lambda resource, _: _seen(resource) and _is(resource, "Paused", "True"),
    ),
    Action(
        "resume",
        "Make and retire campaigns again.",
        _resume,
        lambda resource, _: _seen(resource) and _is(resource, "Paused", "False"),
    ),
    Action(
        "refresh",
        "Look at the template now instead of after spec.template.checkInterval.",
        _annotated(REFRESH),
        _obeyed("refreshed"),
    ),
    Action(
        "retry-images",
        "Try once more the images that were not copied.",
        _annotated(RETRY_IMAGES),
        _obeyed("images", "retried"),
    ),
    Action(
        "drain",
        "Delete all ready campaigns; what was claimed stays, and unless the pool is paused new ones are made.",
        _annotated(DRAIN),
        _obeyed("drained"),
        destroys=True,
    ),
    Action(
        "resize",
        "Set spec.size, the number of ready campaigns of the master pool; done when as many are ready.",
        lambda request: {"spec": {"size": int(request.value)}},
        lambda resource, _: _seen(resource) and _filled(resource),
        argument="SIZE",
    ),
    Action(
        "pin",
        "Make campaigns from a revision that is kept: those of later ones are replaced, and no change is rolled out.",
        lambda request: {"spec": {"template": {"revision": int(request.value)}}},
        lambda resource, request: _seen(resource) and _in_service(resource) == int(request.value),
        destroys=True,
        argument="REVISION",
    ),
    Action(
        "unpin",
        "Follow the template again: the latest revision goes into service, and changes are rolled out.",
        lambda _: {"spec": {"template": {"revision": None}}},
        lambda resource, _: _seen(resource),
    ),
    Action(
        "release",
        "Undo a claim: delete its campaign with everything that was cloned. Its claimant loses it at once.",
        _annotated(RELEASE, by_value=True),
        _obeyed("released", by_value=True),
        destroys=True,
        argument="CAMPAIGN",
    ),
)
"""All actions."""

BY_NAME = {action.name: action for action in ACTIONS}

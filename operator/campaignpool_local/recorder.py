"""Events, as controllers and the node post them: one object per cause, which is counted up."""

import secrets

from campaignpool_local.objects import Registry
from campaignpool_local.resources import find
from campaignpool_local.values import ApiError, Json, stamp

_EVENTS = ("", "events")
_LONGEST = 1024


class Recorder:
    """Posts Events in the name of one component."""

    def __init__(self, registry: Registry, component: str) -> None:
        self._registry, self._component = registry, component

    def post(self, obj: Json, kind: str, reason: str, message: str) -> None:
        """Post an Event about an object, or count up the one that says the same; none where nothing can be made."""
        store, metadata = self._registry.store, obj["metadata"]
        about = {key: metadata[key] for key in ("name", "namespace", "uid", "resourceVersion") if key in metadata}
        about |= {"kind": obj["kind"], "apiVersion": obj["apiVersion"]}
        message = message[:_LONGEST]
        for event in store.list(_EVENTS, metadata["namespace"]):
            same = (event["involvedObject"].get("uid"), event.get("reason"), event.get("message"))
            if same == (metadata["uid"], reason, message):
                self._registry.write(_EVENTS, {**event, "count": event["count"] + 1, "lastTimestamp": stamp()})
                return
        source = {"component": self._component}
        body = {
            "metadata": {"name": f"{metadata['name']}.{secrets.token_hex(8)}"},
            "involvedObject": about,
            "reason": reason,
            "message": message,
            "type": kind,
            "count": 1,
            "source": source,
            "reportingComponent": self._component,
            "reportingInstance": "",
            **dict.fromkeys(("firstTimestamp", "lastTimestamp"), stamp()),
            "eventTime": None,
        }
        try:
            self._registry.create(find(store, _EVENTS), metadata["namespace"], body)
        except ApiError:  # the namespace goes
            return

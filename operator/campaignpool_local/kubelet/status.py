"""The status of a pod, from the states of its containers; all of it pure."""

from campaignpool_local.values import Json, stamp


def phase(spec: Json, states: dict[str, Json]) -> str:
    """Return the phase of a pod: it ends with its last container, but for those that only accompany others."""
    results = [states.get(item["name"], {}) for item in spec["containers"]]
    if all("terminated" in item for item in results):
        return "Failed" if any(item["terminated"]["exitCode"] for item in results) else "Succeeded"
    return "Pending" if any("waiting" in item or not item for item in results) else "Running"


def pod_status(spec: Json, before: Json, states: dict[str, Json]) -> Json:
    """Return the status of a scheduled pod whose containers are in these states."""
    now, whole = stamp(), phase(spec, states)
    unready = [item["name"] for item in spec["containers"] if "running" not in states.get(item["name"], {})]
    ended = whole in ("Succeeded", "Failed")
    reason = {"Succeeded": "PodCompleted", "Failed": "PodFailed"}.get(whole, "ContainersNotReady")
    message = f"containers with unready status: [{' '.join(unready)}]"
    conditions = {item["type"]: item for item in before.get("conditions") or ()}
    for kind in ("Ready", "ContainersReady"):
        why = {"reason": reason, **({} if ended else {"message": message})} if unready else {}
        new = {"type": kind, "status": "False" if unready else "True", **why}
        old = conditions.get(kind, {})
        times = {key: old.get(key, now) for key in ("lastTransitionTime",)}
        if old.get("status") != new["status"]:
            times = {"lastTransitionTime": now}
        conditions[kind] = {**new, "lastProbeTime": None, **times}
    parts = {
        key: [_container(item, states[item["name"]]) for item in spec.get(name) or () if states.get(item["name"])]
        for key, name in (("initContainerStatuses", "initContainers"), ("containerStatuses", "containers"))
    }
    listed = {key: value for key, value in parts.items() if value}
    return {"startTime": now, **before, "phase": whole, "conditions": list(conditions.values()), **listed}


def _container(container: Json, state: Json) -> Json:
    running = "running" in state
    identity = {
        "imageID": "",
        **({"containerID": f"containerd://{container['name']}"} if "waiting" not in state else {}),
    }
    shown = {"name": container["name"], "image": container.get("image", ""), **identity}
    return {**shown, "restartCount": 0, "ready": running, "started": running, "state": state}


def condition_of(kind: str, *, holds: bool, reason: str = "", message: str = "") -> Json:
    """Return a condition of a pod."""
    why = {key: value for key, value in (("reason", reason), ("message", message)) if value}
    times = {"lastProbeTime": None, "lastTransitionTime": stamp()}
    return {"type": kind, "status": "True" if holds else "False", **times, **why}

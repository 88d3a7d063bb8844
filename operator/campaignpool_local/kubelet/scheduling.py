"""The one node, and whether a pod can be put on it, in the words of the scheduler."""

import os
from decimal import Decimal

from campaignpool_local.admission.pods import quantity
from campaignpool_local.values import Json

NODE = "campaignpool-local"
NODES = ("", "nodes")
_PREEMPTION = (
    " no new claims to deallocate, preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
)


def node() -> Json:
    """Return the node that stands for this machine."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    room = {"cpu": str(os.cpu_count() or 1), "memory": f"{memory // 1024}Ki", "pods": "110"}
    labels = {"kubernetes.io/hostname": NODE, "kubernetes.io/os": "linux", "kubernetes.io/arch": os.uname().machine}
    status = {"capacity": room, "allocatable": room, "conditions": [{"type": "Ready", "status": "True"}]}
    return {"metadata": {"name": NODE, "labels": labels}, "spec": {}, "status": status}


def why_unschedulable(spec: Json, where: Json) -> str:
    """Return why a pod cannot be put on the node, or nothing."""
    labels, room = where["metadata"].get("labels") or {}, where["status"].get("allocatable") or {}
    wanted = spec.get("nodeSelector") or {}
    if not wanted.items() <= labels.items():
        return f"0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.{_PREEMPTION}"
    lacking = []
    for resource in ("cpu", "memory"):
        asked = sum((_request(item, resource) for item in spec["containers"]), Decimal(0))
        if resource in room and asked > quantity(room[resource]):
            lacking.append(f"1 Insufficient {resource}")
    return f"0/1 nodes are available: {', '.join(lacking)}.{_PREEMPTION}" if lacking else ""


def _request(container: Json, resource: str) -> Decimal:
    resources = container["resources"]
    asked = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
    return quantity(asked[resource]) if resource in asked else Decimal(0)

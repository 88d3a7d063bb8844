"""Events on a pool's resource, as the API takes them; pure."""

from datetime import datetime
from hashlib import sha256
from typing import Any

from campaignpool.api.resource import GROUP, KIND, VERSION
from campaignpool_operator.cluster.client import APPLICATION
from campaignpool_operator.facts import Event, Pool
from campaignpool_operator.text import stamp

_MESSAGE = 1024
"""Longest message that the API takes in an Event."""


def build(pool: Pool, event: Event, now: datetime) -> dict[str, Any]:
    """Return an Event that happened now."""
    unique = sha256(f"{pool.uid} {now.isoformat()} {event.reason} {event.message}".encode()).hexdigest()[:16]
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{pool.name[:200]}.{unique}", "namespace": pool.namespace},
        "involvedObject": {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": KIND,
            "namespace": pool.namespace,
            "name": pool.name,
            "uid": pool.uid,
            "resourceVersion": pool.resource_version,
        },
        "type": event.type,
        "reason": event.reason,
        "message": event.message[:_MESSAGE],
        "count": 1,
        "firstTimestamp": stamp(now),
        "lastTimestamp": stamp(now),
        "source": {"component": APPLICATION},
        "reportingComponent": f"{GROUP}/operator",
        "reportingInstance": APPLICATION,
    }

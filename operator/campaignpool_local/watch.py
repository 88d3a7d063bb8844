"""Watches: the history of a collection and what comes after it, as the events of one client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from campaignpool_local.errors import ApiError
from campaignpool_local.resources import ResourceType
from campaignpool_local.selectors import Predicate
from campaignpool_local.store import Change, Store
from campaignpool_local.values import Json

BOOKMARK_EVERY = 1.0
"""Seconds; a real server takes a minute, but tests should not."""


@dataclass(frozen=True)
class Wish:
    """What a client wants to watch, and how."""

    kind: ResourceType
    namespace: str
    matches: Predicate
    version: str
    timeout: float
    bookmarks: bool


def seen(change: Change, matches: Predicate) -> tuple[str, Json] | None:
    """Give the event that a change is to a client with this selector, if it is any."""
    before = change.before is not None and matches(change.before)
    after = change.type != "DELETED" and matches(change.object)
    if after:
        return ("MODIFIED" if before else "ADDED"), change.object
    if not before:
        return None
    if change.type == "DELETED" or change.before is None:
        return "DELETED", change.object
    version = change.object["metadata"]["resourceVersion"]
    return "DELETED", {
        **change.before,
        "metadata": {**change.before["metadata"], "resourceVersion": version},
    }


def _bookmark(kind: ResourceType, version: int, *, ends_list: bool = False) -> tuple[str, Json]:
    metadata: Json = {"resourceVersion": str(version)}
    if ends_list:
        metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
    return "BOOKMARK", {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": metadata}


def _expired(version: int, current: int) -> tuple[str, Json]:
    error = ApiError(410, "Expired", f"too old resource version: {version} ({current})")
    return "ERROR", error.status


async def watch(store: Store, wish: Wish) -> AsyncIterator[tuple[str, Json]]:
    """Give (type, stored object) of every event until the time is over or the server stops."""
    loop = asyncio.get_running_loop()
    end = loop.time() + wish.timeout
    collection = store.collection(wish.kind.key)

    def matches(obj: Json) -> bool:
        return wish.namespace in ("", obj["metadata"].get("namespace")) and wish.matches(obj)

    with store.listen(wish.kind.key) as queue:
        from_start = wish.version in ("", "0")
        if from_start:
            for obj in store.list(wish.kind.key, wish.namespace):
                if wish.matches(obj):
                    yield "ADDED", obj
            if wish.bookmarks:
                yield _bookmark(wish.kind, store.version, ends_list=True)
        elif not collection.floor <= int(wish.version) <= store.version:
            # A version of the future is one of an earlier life of this emulator.
            yield _expired(int(wish.version), store.version)
            return
        reached = store.version
        replay = [] if from_start else [each for each in collection.history if each.version > int(wish.version)]
        for change in replay:
            if event := seen(change, matches):
                yield event
        while (left := end - loop.time()) > 0:
            try:
                pause = min(left, BOOKMARK_EVERY) if wish.bookmarks else left
                next_change = await asyncio.wait_for(queue.get(), pause)
            except TimeoutError:
                if wish.bookmarks and store.version > reached and loop.time() < end:
                    reached = store.version
                    yield _bookmark(wish.kind, reached)
                continue
            if next_change is None:
                return
            if event := seen(next_change, matches):
                reached = next_change.version
                yield event

"""Watches: the history of a collection and what comes after it, as the events of one client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

from campaignpool_local.errors import ApiError
from campaignpool_local.resources import ResourceType
from campaignpool_local.selectors import Predicate
from campaignpool_local.store import Change, Store
from campaignpool_local.values import Json

Event = tuple[str, Json]
"""Its type, and the object."""

BOOKMARK_EVERY = 1.0
"""Seconds; a real server takes a minute, but tests should not."""


@dataclass(frozen=True)
class Wish:
    """What a client wants to watch, and how."""

    kind: ResourceType
    matches: Predicate
    version: str
    timeout: float
    bookmarks: bool


def seen(change: Change, matches: Predicate) -> Event | None:
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
    return "DELETED", {**change.before, "metadata": {**change.before["metadata"], "resourceVersion": version}}


def _bookmark(kind: ResourceType, version: int, *, ends_list: bool = False) -> Event:
    metadata: Json = {"resourceVersion": str(version)}
    if ends_list:
        metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
    return "BOOKMARK", {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": metadata}


def _beginning(store: Store, wish: Wish) -> Iterator[Event]:
    """Give what a watch starts with: all that exists, or all that came after its version."""
    collection = store.collection(wish.kind.key)
    if wish.version in ("", "0"):
        for obj in store.list(wish.kind.key):
            if wish.matches(obj):
                yield "ADDED", obj
        if wish.bookmarks:
            yield _bookmark(wish.kind, store.version, ends_list=True)
    elif not collection.floor <= int(wish.version) <= store.version:
        # A version of the future is one of an earlier life of this emulator.
        message = f"too old resource version: {wish.version} ({store.version})"
        yield "ERROR", ApiError(410, "Expired", message).status
    else:
        for change in list(collection.history):
            if change.version > int(wish.version) and (event := seen(change, wish.matches)):
                yield event


async def watch(store: Store, wish: Wish) -> AsyncIterator[Event]:
    """Give every event until the time is over or the server stops."""
    loop = asyncio.get_running_loop()
    end = loop.time() + wish.timeout
    with store.listen(wish.kind.key) as queue:
        reached, beginning = store.version, list(_beginning(store, wish))
        for event in beginning:
            yield event
        if beginning and beginning[-1][0] == "ERROR":
            return
        while (left := end - loop.time()) > 0:
            try:
                change = await asyncio.wait_for(queue.get(), min(left, BOOKMARK_EVERY) if wish.bookmarks else left)
            except TimeoutError:
                if wish.bookmarks and store.version > reached and loop.time() < end:
                    reached = store.version
                    yield _bookmark(wish.kind, reached)
                continue
            if change is None:
                return
            if found := seen(change, wish.matches):
                reached = change.version
                yield found

"""The objects in memory: versions that only grow, a bounded history, and who listens to it.

A stored object is never changed: every write puts a new one in its place. So whatever was read stays as it
was, and can be sent without a copy.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

from campaignpool_local.values import Json

Key = tuple[str, str]
"""Group and plural: one collection."""

FIRST_VERSION = 1000
"""Versions below it are always too old, so that a client's handling of that can be tried at once."""
HISTORY = 2000
"""How many changes of a collection can be replayed."""


class Change(NamedTuple):
    """One entry of the history: the object as it is now and as it was before."""

    version: int
    type: str
    object: Json
    before: Json | None


class Collection:
    """The objects of one key, what happened to them, and the queues of those who watch."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], Json] = {}
        self.history: deque[Change] = deque(maxlen=HISTORY)
        self.floor = FIRST_VERSION
        self.queues: set[asyncio.Queue[Change | None]] = set()


def name_of(obj: Json) -> tuple[str, str]:
    """Give (namespace, name) of an object; the namespace of a cluster-wide one is empty."""
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


class Store:
    """All collections, and the one counter of versions they share."""

    def __init__(self) -> None:
        self.version = FIRST_VERSION
        self._collections: dict[Key, Collection] = {}
        self.uids: set[str] = set()
        """Of all objects there are."""
        self.listeners: list[Callable[[Key, Change], None]] = []
        """Called with every change, at once: the controllers of the emulator."""

    def collection(self, key: Key) -> Collection:
        """Give a collection, which is empty unless something was stored in it."""
        return self._collections.setdefault(key, Collection())

    def get(self, key: Key, namespace: str, name: str) -> Json | None:
        """Give one object, or None."""
        return self.collection(key).objects.get((namespace, name))

    def list(self, key: Key, namespace: str = "") -> list[Json]:
        """Give the objects of a namespace, or of all, in the order of their names."""
        found = self.collection(key).objects
        return [found[name] for name in sorted(found) if not namespace or name[0] == namespace]

    def everything(self) -> Iterator[tuple[Key, Json]]:
        """Give all objects with the keys of their collections."""
        for key, collection in list(self._collections.items()):
            for obj in list(collection.objects.values()):
                yield key, obj

    def put(self, key: Key, obj: Json) -> Json:
        """Store a new object, or a new state of one, and give it with its new version."""
        collection = self.collection(key)
        before = collection.objects.get(name_of(obj))
        stored = self._versioned(obj)
        collection.objects[name_of(obj)] = stored
        self.uids.add(obj["metadata"]["uid"])
        self._publish(key, "MODIFIED" if before else "ADDED", stored, before)
        return stored

    def remove(self, key: Key, obj: Json) -> Json:
        """Remove an object; its last state gets a version of its own."""
        before = self.collection(key).objects.pop(name_of(obj))
        self.uids.discard(obj["metadata"]["uid"])
        last = self._versioned(obj)
        self._publish(key, "DELETED", last, before)
        return last

    def swap(self, key: Key, obj: Json) -> None:
        """Show an object differently from now on, without a change: the defaults of a new schema."""
        self.collection(key).objects[name_of(obj)] = obj

    @contextlib.contextmanager
    def listen(self, key: Key) -> Iterator[asyncio.Queue[Change | None]]:
        """Give a queue of all changes from now on; None in it means that the server stops."""
        queue: asyncio.Queue[Change | None] = asyncio.Queue()
        queues = self.collection(key).queues
        queues.add(queue)
        try:
            yield queue
        finally:
            queues.discard(queue)

    def close(self) -> None:
        """Tell all who watch that the server stops."""
        for collection in self._collections.values():
            for queue in collection.queues:
                queue.put_nowait(None)

    def _versioned(self, obj: Json) -> Json:
        self.version += 1
        return {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(self.version)}}

    def _publish(self, key: Key, kind: str, obj: Json, before: Json | None) -> None:
        collection = self.collection(key)
        if len(collection.history) == HISTORY:
            collection.floor = collection.history[0].version
        change = Change(self.version, kind, obj, before)
        collection.history.append(change)
        for queue in collection.queues:
            queue.put_nowait(change)
        for listener in self.listeners:
            listener(key, change)

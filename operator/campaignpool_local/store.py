"""The objects in memory, a bounded history, and who listens to it; stored objects are replaced, never changed."""

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from campaignpool_local.values import Json

Key = tuple[str, str]  # group and plural: one collection
Name = tuple[str, str]  # namespace, which is empty for what is cluster-wide, and name
Places = list[tuple[Key, Json]]
_FIRST_VERSION = 1000  # versions below it are always too old, so that a client's handling of that can be tried
_HISTORY = 20_000  # how many changes can be replayed


class Change(NamedTuple):
    """One entry of the history: the object of now and as it was before."""

    key: Key
    version: int
    type: str
    object: Json
    before: Json | None


def name_of(obj: Json) -> Name:
    """Return namespace and name of an object."""
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


class Store:
    """All collections, and the one counter of versions that they share; `listeners` hear of every change at once."""

    def __init__(self) -> None:
        self.version = _FIRST_VERSION
        self.history: deque[Change] = deque(maxlen=_HISTORY)
        self.listeners: list[Callable[[Change], None]] = []
        self._objects: dict[Key, dict[Name, Json]] = {}

    def get(self, key: Key, namespace: str, name: str) -> Json | None:
        """Return one object, or None."""
        return self._objects.get(key, {}).get((namespace, name))

    def list(self, key: Key, namespace: str = "") -> list[Json]:
        """Return the objects of a namespace, or of all, in the order of their names."""
        return [obj for name, obj in sorted(self._objects.get(key, {}).items()) if namespace in ("", name[0])]

    def everything(self) -> Places:
        """Return all objects with the keys of their collections."""
        return [(key, obj) for key, objects in self._objects.items() for obj in objects.values()]

    def put(self, key: Key, obj: Json, *, remove: bool = False) -> Json:
        """Store a new state of an object, or take it away in this last one, and give that with its new version."""
        self.version += 1
        objects, name = self._objects.setdefault(key, {}), name_of(obj)
        stored = {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(self.version)}}
        before = objects.pop(name, None)
        if not remove:
            objects[name] = stored
        kind = "DELETED" if remove else "MODIFIED" if before else "ADDED"
        self.history.append(change := Change(key, self.version, kind, stored, before))
        for listener in list(self.listeners):
            listener(change)
        return stored

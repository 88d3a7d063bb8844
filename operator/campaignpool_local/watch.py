"""Selectors, and watches: what exists or came after a version, and then every change, as the events of one client."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from campaignpool_local.resources import ResourceType
from campaignpool_local.store import Change, Store
from campaignpool_local.values import ApiError, Json, json_path

Event = tuple[str, Json]  # its type, and the object
Predicate = Callable[[Json], bool]
_BOOKMARK_EVERY = 1.0  # seconds; a real server takes a minute, but tests should not
_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9_./-]*[A-Za-z0-9])?"
_TERM = re.compile(rf"(?P<absent>!)? *(?P<key>{_NAME}) *(?P<operator>in|notin|==|!=|=|<|>|)(?P<value>.*)")


def _label_term(term: str) -> Callable[[dict[str, str]], bool]:
    match = _TERM.fullmatch(term.strip())
    key, operator, value = match.group("key", "operator", "value") if match else ("", "", "")
    values = {part.strip() for part in value.strip(" ()").split(",")}
    fits = re.fullmatch(r" *\([^()]*\)" if operator.endswith("in") else rf" *({_NAME})?" if operator else "", value)
    if match is None or fits is None:
        raise ApiError(400, "BadRequest", f"unable to parse requirement: {term!r}")
    if not operator:
        return lambda labels: (key in labels) != bool(match["absent"])
    if operator in "<>":
        sign, bound = 1 if operator == ">" else -1, int(value)
        return lambda labels: labels.get(key, "").isdigit() and sign * (int(labels[key]) - bound) > 0
    return lambda labels: (labels.get(key) in values) == (operator in ("in", "=", "=="))


def _field(obj: Json, path: str) -> str:
    """Return a field as selectors see it."""
    if path == "status.successful":
        return str((obj.get("status") or {}).get("succeeded", 0))
    return str(json_path(obj, path) or "")


def selector(labels: str, fields: str) -> Predicate:
    """Compile both selectors of a request; an empty one matches everything."""
    by_label = [_label_term(term) for term in re.split(r",(?![^(]*\))", labels)] if labels.strip() else []
    by_field = [re.split(r"(!=|==?)", term, maxsplit=1) for term in fields.split(",") if term]

    def matches(obj: Json) -> bool:
        given = obj["metadata"].get("labels") or {}
        result = ((_field(obj, path) == value) == (sign != "!=") for path, sign, value in by_field)
        return all(term(given) for term in by_label) and all(result)

    return matches


@dataclass(frozen=True)
class Wish:
    """What a client wants to watch, and how."""

    kind: ResourceType
    matches: Predicate
    version: int
    timeout: float
    bookmarks: bool

    def event(self, change: Change) -> Event | None:
        """Return the event that a change is to a client with this selector, if it is any."""
        before = change.before is not None and self.matches(change.before)
        if change.key == self.kind.key and change.type != "DELETED" and self.matches(change.object):
            return ("MODIFIED" if before else "ADDED"), change.object
        if change.key != self.kind.key or not before:
            return None
        seen = change.object if change.type == "DELETED" else change.before or {}
        return "DELETED", {**seen, "metadata": {**seen["metadata"], "resourceVersion": str(change.version)}}

    def bookmark(self, version: int, **more: Json) -> Event:
        """Return how far the watch has come."""
        metadata = {"resourceVersion": str(version), **more}
        return "BOOKMARK", {"kind": self.kind.kind, "apiVersion": self.kind.api_version, "metadata": metadata}


async def watch(store: Store, wish: Wish) -> AsyncIterator[Event]:
    """Return every event until the time is over."""
    loop, queue, reached = asyncio.get_running_loop(), asyncio.Queue[Change](), store.version
    end, floor = loop.time() + wish.timeout, store.history[0].version - 1 if store.history else 0
    if wish.version and not floor <= wish.version <= reached:  # one of the future is of an earlier life
        yield "ERROR", ApiError(410, "Expired", f"too old resource version: {wish.version} ({reached})").status
        return
    for missed in (item for item in store.history if 0 < wish.version < item.version):
        queue.put_nowait(missed)
    existing = [] if wish.version else list(filter(wish.matches, store.list(wish.kind.key)))
    store.listeners.append(queue.put_nowait)
    try:
        for obj in existing:
            yield "ADDED", obj
        if wish.bookmarks and not wish.version:  # the mark by which a streamed list ends
            yield wish.bookmark(reached, annotations={"k8s.io/initial-events-end": "true"})
        while (left := end - loop.time()) > 0:
            try:
                change = await asyncio.wait_for(queue.get(), min(left, _BOOKMARK_EVERY))
            except TimeoutError:
                if wish.bookmarks and store.version > reached and queue.empty():
                    reached = store.version
                    yield wish.bookmark(reached)
            else:
                if result := wish.event(change):
                    yield result
    finally:
        store.listeners.remove(queue.put_nowait)

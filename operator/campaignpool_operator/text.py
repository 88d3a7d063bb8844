"""How the operator writes sentences, times and statuses."""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from pydantic import BaseModel


def sentence(text: str) -> str:
    """Return a message as a sentence: a capital at its start, unless a name stands there, and a full stop."""
    first = text.split(maxsplit=1)[0] if text else ""
    text = text[:1].upper() + text[1:] if first.isalpha() else text
    return text if text.endswith((".", "!", "?")) else f"{text}."


def most_frequent(causes: Iterable[str]) -> str:
    """Return the most frequent causes, each with how often it occurs."""
    return "; ".join(f"{count}: {cause}" for cause, count in Counter(causes).most_common(3))


def stamp(moment: datetime) -> str:
    """Return a time as the Kubernetes API writes it, in whole seconds."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def dump(model: BaseModel) -> dict[str, Any]:
    """Return a model as the Kubernetes API takes it."""
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)


def merge_patch(before: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return a JSON merge patch that makes one object the other: it leaves alone what it does not name."""
    result: dict[str, Any] = dict.fromkeys(key for key in before if key not in wanted)
    for key, value in wanted.items():
        old = before.get(key)
        result[key] = merge_patch(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return result

"""How the operator writes sentences, times and statuses."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel


def sentence(text: str) -> str:
    """Return a message as a sentence: a capital at its start, unless a name stands there, and a full stop."""
    first = text.split(maxsplit=1)[0] if text else ""
    text = text[:1].upper() + text[1:] if first.isalpha() else text
    return text if text.endswith((".", "!", "?")) else f"{text}."


def stamp(moment: datetime) -> str:
    """Return a time as the Kubernetes API writes it, in whole seconds."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def dump(model: BaseModel) -> dict[str, Any]:
    """Return a model as the Kubernetes API takes it."""
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)

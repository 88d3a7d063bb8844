"""Models as JSON over HTTP: what many get is written and compressed once."""

import gzip
from dataclasses import dataclass
from functools import cached_property

from aiohttp import web
from pydantic import BaseModel

_KEPT = 100
_WORTH_BYTES = 1000


@dataclass(frozen=True)
class _Document:
    model: BaseModel

    @cached_property
    def text(self) -> bytes:
        return self.model.model_dump_json(by_alias=True, exclude_none=True).encode()

    @cached_property
    def gzipped(self) -> bytes:
        return gzip.compress(self.text, compresslevel=6, mtime=0)


class Documents:
    """Keeps the latest."""

    def __init__(self) -> None:
        self._latest: dict[int, _Document] = {}

    def response(self, request: web.Request, model: BaseModel, status: int = 200) -> web.Response:
        """Return a model as an answer to a request; the same one is not written again."""
        document = self._latest.get(id(model))
        if document is None or document.model is not model:
            document = self._latest[id(model)] = _Document(model)
            if len(self._latest) > _KEPT:
                del self._latest[next(iter(self._latest))]
        if len(document.text) < _WORTH_BYTES or "gzip" not in request.headers.get("Accept-Encoding", ""):
            return web.Response(body=document.text, status=status, content_type="application/json")
        headers = {"Content-Encoding": "gzip"}
        return web.Response(body=document.gzipped, status=status, content_type="application/json", headers=headers)

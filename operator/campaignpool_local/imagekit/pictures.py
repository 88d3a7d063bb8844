"""Pictures: small ones made by code, and what a media library knows of the bytes it is given."""

import mimetypes
import struct
import zlib
from dataclasses import dataclass

_PNG = b"\x89PNG\r\n\x1a\n"
_WITH_ALPHA = (4, 6)
"""Of the colour types in a PNG's header."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What bytes are.

    Attributes:
        mime: The MIME type.
        width: Pixels; None for what is no picture, and for formats that are not looked into.
        height: Likewise.
        alpha: Whether there is an alpha channel.
    """

    mime: str
    width: int | None = None
    height: int | None = None
    alpha: bool = False

    @property
    def file_type(self) -> str:
        """`image` or `non-image`; those are all that ImageKit knows."""
        return "image" if self.mime.startswith("image/") else "non-image"


def kind(name: str, content: bytes) -> Kind:
    """Look at a file: a PNG is known by its bytes, anything else by its name."""
    if content.startswith(_PNG) and len(content) > len(_PNG) + 18:
        width, height, _, colours = struct.unpack_from(">IIBB", content, len(_PNG) + 8)
        return Kind("image/png", width, height, colours in _WITH_ALPHA)
    return Kind(mimetypes.guess_type(name)[0] or "application/octet-stream")


def picture(number: int, width: int = 48, height: int = 32) -> bytes:
    """Make a PNG with two bands whose colours follow from the number: the same number gives the same bytes."""
    colours = [bytes((number * step + 40 * band) % 256 for step in (67, 29, 151)) for band in (0, 1)]
    rows = b"".join(b"\0" + colours[2 * row // height] * width for row in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return _PNG + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(rows)) + _chunk(b"IEND", b"")


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

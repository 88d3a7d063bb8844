"""Small generated images, and the properties that a media library derives from a file's bytes."""

import mimetypes
import struct
import zlib
from dataclasses import dataclass

_PNG = b"\x89PNG\r\n\x1a\n"
_WITH_ALPHA = (4, 6)
"""The colour types of a PNG header that include an alpha channel."""


@dataclass(frozen=True, slots=True)
class Kind:
    """The type of a file.

    Attributes:
        mime: The MIME type.
        width: In pixels; None for other files than PNG images.
        height: In pixels, or None.
        alpha: Whether the image has an alpha channel.
    """

    mime: str
    width: int | None = None
    height: int | None = None
    alpha: bool = False

    @property
    def file_type(self) -> str:
        """`image` or `non-image`, as ImageKit classifies files."""
        return "image" if self.mime.startswith("image/") else "non-image"


def kind(name: str, content: bytes) -> Kind:
    """Return the type of a file: of a PNG by its bytes, of any other file by its name."""
    if content.startswith(_PNG) and len(content) > len(_PNG) + 18:
        width, height, _, colours = struct.unpack_from(">IIBB", content, len(_PNG) + 8)
        return Kind("image/png", width, height, colours in _WITH_ALPHA)
    return Kind(mimetypes.guess_type(name)[0] or "application/octet-stream")


def picture(number: int, width: int = 48, height: int = 32) -> bytes:
    """Return a PNG with two bands; the number determines their colours and thus the bytes."""
    colours = [bytes((number * step + 40 * band) % 256 for step in (67, 29, 151)) for band in (0, 1)]
    rows = b"".join(b"\0" + colours[2 * row // height] * width for row in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return _PNG + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(rows)) + _chunk(b"IEND", b"")


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

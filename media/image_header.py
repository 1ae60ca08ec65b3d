"""What the first and last bytes of a JPEG or PNG say: kind, size, and whether it is whole."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from ..core.errors import EpisodeRejected

# The first chunk is always IHDR, 13 bytes that begin with width and height (PNG specification, 11.2.2).
_PNG_START, _PNG_END = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"IEND\xaeB`\x82"
_JPEG_START, _JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"
# Start-of-frame markers (ITU-T T.81, table B.1): C0 to CF without DHT (C4), JPG (C8) and DAC (CC).
_START_OF_FRAME = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


@dataclass(frozen=True, slots=True)
class Header:
    """Facts about an encoded image.

    Attributes:
        codec: FFmpeg's name: ``mjpeg`` or ``png``.
        height: Rows.
        width: Pixels per row.
    """

    codec: str
    height: int
    width: int


def read_header(content: bytes) -> Header:
    """Return kind and size of an image.

    Args:
        content: All bytes of it, nothing after its end.

    Raises:
        EpisodeRejected: ``bad_image`` if it is neither JPEG nor PNG, or ends early.
    """
    if content.startswith(_JPEG_START):
        if not content.endswith(_JPEG_END):
            raise _bad(f"a JPEG of {len(content)} bytes ends early: its end-of-image marker is missing")
        return Header("mjpeg", *_jpeg_size(content))
    if content.startswith(_PNG_START):
        if not content.endswith(_PNG_END):
            raise _bad(f"a PNG of {len(content)} bytes ends early: its IEND chunk is missing")
        width, height = struct.unpack_from(">II", content, 16)
        return Header("png", height, width)
    raise _bad(f"{len(content)} bytes are neither JPEG nor PNG; they begin with {content[:8]!r}")


def _jpeg_size(content: bytes) -> tuple[int, int]:
    """Return (height, width) from the frame header (ITU-T T.81, B.2.2)."""
    position = 2
    while position + 10 <= len(content) and content[position] == 0xFF:
        marker = content[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
        elif marker in _START_OF_FRAME:
            height, width, components = struct.unpack_from(">HHB", content, position + 5)
            if components not in (1, 3):
                raise _bad(f"a JPEG with {components} colour components; only grey and colour are supported")
            return height, width
        else:
            position += 2 + int.from_bytes(content[position + 2 : position + 4], "big")
    raise _bad("a JPEG without a frame header")


def _bad(detail: str) -> EpisodeRejected:
    return EpisodeRejected("bad_image", detail)

"""Pictures of 16 bits, which robotrove itself does not write."""

from __future__ import annotations

import struct
import zlib

import numpy as np

_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}


def chunk(kind: bytes, content: bytes) -> bytes:
    """Return a chunk of a PNG."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png16(pixels: np.ndarray) -> bytes:
    """Return the PNG of (height, width) or (height, width, 1 to 4) uint16: grey, grey and alpha, colour, with alpha."""
    height, width, *channels = pixels.shape
    header = struct.pack(">2I5B", width, height, 16, _COLOUR_TYPES[channels[0] if channels else 1], 0, 0, 0)
    lines = b"".join(b"\0" + line.astype(">u2").tobytes() for line in pixels)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(lines)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)

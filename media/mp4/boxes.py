"""Boxes of mp4 files: taking them apart, and putting them together (ISO/IEC 14496-12, 4.2)."""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_IGNORED = frozenset({b"free", b"skip", b"udta", b"meta", b"iods"})  # nothing in them changes which frame is where

# Sample entry: codec, and the box with its parameters (ISO/IEC 14496-15 5.4.2, 8.4.1; AV1 in ISOBMFF 2.2, 2.3).
# What has another one is encrypted, or stored in a way that has to be looked at frame by frame.
_CODECS = {
    b"av01": ("av1", b"av1C"),
    b"avc1": ("h264", b"avcC"),
    b"hvc1": ("hevc", b"hvcC"),
    b"hev1": ("hevc", b"hvcC"),
}
_FIELDS = 78  # bytes of a VisualSampleEntry before its boxes (ISO/IEC 14496-12, 12.1.3)
# OBU types (AV1 6.2.2): sequence headers, frames with their header and headers alone, delimiters and metadata.
_SEQUENCE_HEADER, _FRAMES, _HARMLESS = 1, (3, 6), (2, 5)


class Unusual(Exception):
    """A file is damaged, or not built as mp4 files with nothing but one video usually are."""


def boxes(data: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Yield type and content of the boxes that fill `data`; Unusual if they do not."""
    position = 0
    while position < len(data):
        size, kind = unpack(">I4s", data, position)
        if not 8 <= size <= len(data) - position:
            raise Unusual
        yield kind, data[position + 8 : position + size]
        position += size


def children(data: memoryview, needed: Collection[bytes], allowed: Collection[bytes] = ()) -> dict[bytes, memoryview]:
    """Return the contents of the boxes in a box by type.

    Args:
        data: Content of the outer box.
        needed: Types that must be there.
        allowed: Types that may be there.

    Raises:
        Unusual: If there are others than these, any is missing, or there is more than one of a type.
    """
    found: dict[bytes, memoryview] = {}
    for kind, content in boxes(data):
        if kind in _IGNORED:
            continue
        if kind in found or not (kind in needed or kind in allowed):
            raise Unusual
        found[kind] = content
    if not found.keys() >= set(needed):
        raise Unusual
    return found


def unpack(form: str, data: memoryview, position: int = 0) -> tuple[Any, ...]:
    """Return the values at a place; Unusual if the data ends before."""
    if position + struct.calcsize(form) > len(data):
        raise Unusual
    return struct.unpack_from(form, data, position)


def rows(data: memoryview, kind: str, columns: int = 1) -> NDArray[np.int64]:
    """Return the table in a full box: its number of rows, then the rows; Unusual if the data ends before.

    Args:
        data: Content of the box.
        kind: How the numbers are written, such as ``>u4``.
        columns: Numbers per row.

    Returns:
        (rows, columns) int64.
    """
    _, count = unpack(">II", data)
    values = np.dtype(kind)
    if count * columns * values.itemsize > len(data) - 8:
        raise Unusual
    return np.frombuffer(data, values, count * columns, 8).reshape(count, columns).astype(np.int64)


def box(kind: bytes, *contents: bytes) -> bytes:
    """Return a box with the contents one after the other."""
    return b"".join((struct.pack(">I4s", 8 + sum(map(len, contents)), kind), *contents))


def full_box(
    kind: bytes, form: str, *values: int | bytes, table: bytes = b"", version: int = 0, flags: int = 0
) -> bytes:
    """Return a box with a version and flags, some numbers, and what follows them."""
    return box(kind, struct.pack(">I" + form, version << 24 | flags, *values), table)


@dataclass(frozen=True, slots=True)
class SampleEntry:
    """A sample entry; equal for files that are encoded alike.

    Attributes:
        kind: Type of the box.
        content: What is in it but for the bit rate, which differs from file to file.
        parameters: The codec's, as FFmpeg calls them extradata: what is in the box avcC, hvcC or av1C.
        path: A file that has it.
    """

    kind: bytes
    content: bytes
    parameters: bytes
    path: Path = field(compare=False)

    @property
    def codec(self) -> str:
        """Name of the format."""
        return _CODECS[self.kind][0]

    @property
    def table(self) -> bytes:
        """The entry as a box."""
        return box(self.kind, self.content)


def read_entry(path: Path, stsd: memoryview) -> SampleEntry:
    """Return the only entry of a table of entries; Unusual if there are more, or it is of another kind.

    Args:
        path: File, for the entry.
        stsd: Content of the box.
    """
    entries = list(boxes(stsd[8:]))
    if unpack(">II", stsd) != (0, 1) or len(entries) != 1:
        raise Unusual
    kind, data = entries[0]
    if kind not in _CODECS or len(data) < _FIELDS or unpack(">H", data, 6) != (1,):
        raise Unusual
    parameters, kept = _CODECS[kind][1], [bytes(data[:_FIELDS])]
    inner = list(boxes(data[_FIELDS:]))
    names = [name for name, _ in inner]
    if names.count(parameters) != 1 or set(names) - {parameters, b"colr", b"pasp", b"btrt", b"fiel"}:
        raise Unusual
    kept += [box(name, bytes(content)) for name, content in inner if name != b"btrt"]
    return SampleEntry(kind, b"".join(kept), bytes(dict(inner)[parameters]), path)


def sequence_header(head: bytes) -> bytes:
    """Return the sequence header that an AV1 keyframe begins with; Unusual if it is no keyframe, or begins otherwise.

    Args:
        head: First bytes of the keyframe: OBUs one after the other, each with its size (AV1 5.3.1).
    """
    header, position = b"", 0
    while position + 2 < len(head) and head[position] & 6 == 2:
        kind, start = head[position] >> 3 & 15, position
        size, position = _leb128(head, position + 1)
        if kind in _FRAMES:
            # AV1 5.9.2: it is no repetition of another frame (1 bit), is of type 0 (2 bits), and is shown (1 bit).
            if header and head[position : position + 1] and head[position] >> 4 == 1:
                return header
            break
        position += size
        if kind == _SEQUENCE_HEADER:
            header = head[start:position]
        elif kind not in _HARMLESS:
            break
    raise Unusual


def _leb128(data: bytes, position: int) -> tuple[int, int]:
    """Return a number (AV1 4.10.5) and the place after it."""
    value = 0
    for number, byte in enumerate(data[position : position + 8]):
        value |= (byte & 127) << 7 * number
        if byte < 128:
            return value, position + number + 1
    raise Unusual

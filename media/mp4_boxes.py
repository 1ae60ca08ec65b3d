"""Boxes of mp4 files: taking them apart, and putting them together (ISO/IEC 14496-12, 4.2)."""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

_IGNORED = frozenset({b"free", b"skip", b"udta", b"meta", b"iods"})  # nothing in them changes which frame is where


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

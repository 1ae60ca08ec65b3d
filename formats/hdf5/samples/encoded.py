"""Writing encoded frames: rows of variable length, or padded with zeros to the longest."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from itertools import accumulate
from typing import TypeAlias

import h5py
import numpy as np

from ....core.columns import Array

Encode: TypeAlias = Callable[[Array], bytes]


def write_vlen(group: h5py.Group, path: str, frames: Iterable[Array], count: int, encode: Encode) -> None:
    """Write one image per row as variable-length uint8, (count,)."""
    dataset = group.create_dataset(path, (count,), h5py.vlen_dtype(np.uint8))
    for row, frame in enumerate(frames):
        dataset[row] = np.frombuffer(encode(frame), np.uint8)


def write_padded(group: h5py.Group, path: str, frames: Iterable[Array], encode: Encode) -> list[int]:
    """Write (count, longest) uint8, one image per row and chunk, and return the true lengths."""
    with tempfile.TemporaryFile() as stream:
        lengths = [stream.write(encode(frame)) for frame in frames]
        dataset = group.create_dataset(path, (len(lengths), max(lengths)), np.uint8, chunks=(1, max(lengths)))
        for row, (length, end) in enumerate(zip(lengths, accumulate(lengths), strict=True)):
            stream.seek(end - length)
            dataset[row, :length] = np.frombuffer(stream.read(length), np.uint8)
    return lengths

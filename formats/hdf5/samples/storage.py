"""Storage of a sample's frames and vectors: bounded memory, each chunk written once."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import accumulate, islice
from math import prod
from typing import TypeAlias

import h5py
import numpy as np

from ....core.columns import Array
from ..chunked_rows import BAND_BYTES, BATCH_BYTES, SLAB_BYTES, block_grid
from .sample_spec import SampleSpec

Encode: TypeAlias = Callable[[Array], bytes]


def write_vectors(group: h5py.Group, values: Mapping[str, Array], spec: SampleSpec) -> None:
    """Write arrays at their paths below a group."""
    for path, rows in values.items():
        group.create_dataset(path, data=rows, compression=spec.compression)


def write_frames(
    group: h5py.Group,
    path: str,
    frames: Iterable[Array],
    spec: SampleSpec,
    *,
    chunk_rows: int | None = None,
) -> None:
    """Write a (T, H, W, 3) uint8 dataset from single frames.

    Args:
        group: The episode.
        path: Path of the dataset below it.
        frames: T frames (H, W, 3).
        spec: Gives T, H, W and the compression; with one, the chunks are h5py's automatic ones.
        chunk_rows: Cut chunks of that many whole frames instead; the first axis can then grow.
    """
    shape = (spec.frames, spec.height, spec.width, 3)
    chunks = (chunk_rows, *shape[1:]) if chunk_rows else None
    maxshape = (None, *shape[1:]) if chunk_rows else None
    dataset = group.create_dataset(
        path, shape, np.uint8, chunks=chunks, maxshape=maxshape, compression=spec.compression
    )
    row_bytes = prod(shape[1:])
    band = dataset.chunks[0] if dataset.chunks else 1
    source = iter(frames)
    if band * row_bytes > BAND_BYTES:
        _write_bands(dataset, source, band)
        return
    rows = band * max(1, BATCH_BYTES // (band * row_bytes))
    for first in range(0, spec.frames, rows):
        dataset[first : first + rows] = np.stack(list(islice(source, rows)))


def _write_bands(dataset: h5py.Dataset, source: Iterator[Array], band: int) -> None:
    """Collect a band of frames in a file, then write it chunk by chunk."""
    shape = dataset.shape
    with tempfile.TemporaryFile() as stream:
        for first in range(0, shape[0], band):
            rows = min(band, shape[0] - first)
            stream.seek(0)
            for frame in islice(source, rows):
                stream.write(frame.data)
            stream.flush()
            held = np.memmap(stream, np.uint8, "r", shape=(rows, *shape[1:]))
            for block in block_grid(shape, dataset.chunks, rows, SLAB_BYTES):
                dataset[(slice(first, first + rows), *block)] = held[(slice(None), *block)]


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

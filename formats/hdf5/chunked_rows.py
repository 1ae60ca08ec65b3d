"""Reading the rows of a dataset in bounded memory, each chunk inflated exactly once.

A chunk band is the rows that one layer of chunks covers: HDF5 cannot read one of its rows without
inflating all its chunks. h5py's automatic chunks cut 10,000 frames of 480×640×3 into bands of 313
frames (275 MB), each of many small tiles; LeIsaac's chunks are 100 whole frames (92 MB).
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from math import prod
from typing import IO, Any

import h5py
import numpy as np

from ...core.columns import Array
from ...core.errors import RobotroveError
from .hdf5_file import open_dataset, reading

SCRATCH_VARIABLE = "ROBOTROVE_SCRATCH"
BATCH_BYTES = 4 << 20
SLAB_BYTES = 16 << 20
BAND_BYTES = 64 << 20

# Two cameras that inflate at the same time would double the peak.
_inflating = threading.Lock()


@dataclass(frozen=True, slots=True)
class ChunkedRows:
    """Streams the rows of one dataset.

    The dataset is named, not held: HDF5 sets a dataset's chunk cache when it is opened first, so
    nothing else may keep it open while a large chunk is read.

    Attributes:
        file: The open file.
        path: Absolute path of the dataset.
        batch_bytes: Size of the batches, in bytes as stored.
        slab_bytes: Most that is inflated at a time where the chunks allow it.
        band_bytes: Chunk bands larger than this go through a scratch file.
    """

    file: h5py.File
    path: str
    batch_bytes: int = BATCH_BYTES
    slab_bytes: int = SLAB_BYTES
    band_bytes: int = BAND_BYTES

    def batches(self, start: int, stop: int) -> Iterator[Array]:
        """Yield rows start..stop in order, a few MB at a time, with the dataset's own dtype.

        Raises:
            EpisodeRejected: unreadable_data if HDF5 cannot read them.
            RobotroveError: If the scratch folder has no room.
        """
        with reading(self.path):
            dataset = open_dataset(self.file, self.path)
            chunks, shape = dataset.chunks, dataset.shape
            row_bytes = max(1, prod(shape[1:]) * dataset.dtype.itemsize)
            inflates = chunks is not None and not (
                dataset.id.get_create_plist().get_nfilters() == 0 and _whole(dataset)
            )
        step = max(1, self.batch_bytes // row_bytes)
        if not inflates:
            yield from self._directly(dataset, start, stop, step)
            return
        band = chunks[0]
        if band * row_bytes > self.band_bytes:
            del dataset
            yield from self._through_scratch(shape, chunks, start, stop, step)
            return
        rows_at_once = band * max(1, step // band)
        for first, last in _aligned(start, stop, rows_at_once):
            rows = self._band(dataset, first, last)
            for begin in range(0, len(rows), step):
                # A copy, so that a consumer that keeps a batch does not keep the band.
                yield rows[begin : begin + step].copy() if len(rows) > step else rows
            del rows

    def _directly(self, dataset: h5py.Dataset, start: int, stop: int, step: int) -> Iterator[Array]:
        for first in range(start, stop, step):
            with reading(f"{self.path} rows {first}..{min(stop, first + step)}"):
                rows = dataset[first : min(stop, first + step)]
            yield rows

    def _band(self, dataset: h5py.Dataset, first: int, last: int) -> Array:
        blocks = block_grid(dataset.shape, dataset.chunks, (last - first) * dataset.dtype.itemsize, self.band_bytes)
        with reading(f"{self.path} rows {first}..{last}"):
            if len(blocks) == 1:
                return np.asarray(dataset[first:last])
            rows = np.empty((last - first, *dataset.shape[1:]), dataset.dtype)
            for block in blocks:
                rows[(slice(None), *block)] = dataset[(slice(first, last), *block)]
        return rows

    def _through_scratch(
        self, shape: tuple[int, ...], chunks: tuple[int, ...], start: int, stop: int, step: int
    ) -> Iterator[Array]:
        with _scratch_file() as scratch:
            for first, last in _aligned(start, stop, chunks[0]):
                with _inflating:
                    band = self._inflate(scratch, shape, chunks, first, last)
                for begin in range(0, last - first, step):
                    yield band.read(begin, min(last - first, begin + step))

    def _inflate(
        self, scratch: IO[bytes], shape: tuple[int, ...], chunks: tuple[int, ...], first: int, last: int
    ) -> _Band:
        rows = last - first
        dataset = self.file[self.path]
        itemsize = dataset.dtype.itemsize
        if prod(chunks) * itemsize > self.slab_bytes:
            # Only such chunks are read piece by piece; a cache of one's own costs HDF5 the memory of every
            # chunk of a last, partial band.
            del dataset
            dataset = self._open(prod(chunks))
        blocks = block_grid(shape, chunks, rows * itemsize, self.slab_bytes)
        scratch.seek(0)
        for block in blocks:
            row_bytes = prod(s.stop - s.start for s in block) * itemsize
            step = max(1, self.slab_bytes // row_bytes)
            for begin in range(first, last, step):
                with reading(f"{self.path} rows {begin}..{min(last, begin + step)}"):
                    piece = dataset[(slice(begin, min(last, begin + step)), *block)]
                _write(scratch, piece)
        scratch.flush()
        return _Band(scratch, dataset.dtype, shape[1:], rows, blocks)

    def _open(self, chunk_items: int) -> h5py.Dataset:
        """Open the dataset with a cache that holds one chunk, so that it can be read piece by piece."""
        with reading(self.path):
            access = h5py.h5p.create(h5py.h5p.DATASET_ACCESS)
            itemsize = self.file[self.path].dtype.itemsize
            access.set_chunk_cache(521, chunk_items * itemsize + 1, 1.0)
            return h5py.Dataset(h5py.h5d.open(self.file.id, self.path.encode(errors="surrogateescape"), access))


@dataclass(frozen=True, slots=True)
class SampledRows:
    """Rows of a dataset, and hashes of the first, the middle and the last of them, kept when they are read anyway.

    Attributes:
        file: The open file.
        path: Absolute path of the dataset.
        rows: Rows that count: those of the episode.
    """

    file: h5py.File
    path: str
    rows: range
    _hashes: dict[int, bytes] = field(default_factory=dict, init=False)

    @property
    def _sample(self) -> tuple[int, int, int]:
        return self.rows[0], self.rows[len(self.rows) // 2], self.rows[-1]

    def batches(self, start: int, stop: int) -> Iterator[Array]:
        """See `ChunkedRows`."""
        for rows in ChunkedRows(self.file, self.path).batches(start, stop):
            self.passed(start, rows)
            yield rows
            start += len(rows)

    def passed(self, first: int, rows: Array) -> None:
        """Take note of consecutive rows from `first` on that were read elsewhere."""
        for row in self._sample:
            if first <= row < first + len(rows) and row not in self._hashes:
                self._hashes[row] = hashlib.sha256(row_bytes(rows[row - first])).digest()

    def digest(self) -> bytes:
        """Return the hashes of the three rows; only those that have not passed are read.

        Raises:
            EpisodeRejected: unreadable_data if HDF5 cannot read one.
        """
        for row in self._sample:
            if row not in self._hashes:
                for _ in self.batches(row, row + 1):
                    pass
        return b"".join(self._hashes[row] for row in self._sample)


def row_bytes(row: Any) -> bytes:
    """Return a row as bytes: those of the file where it is an encoded image."""
    if isinstance(row, str):
        row = row.encode(errors="surrogateescape")
    return bytes(row) if isinstance(row, bytes) else np.asarray(row).tobytes()


def block_grid(shape: Sequence[int], chunks: Sequence[int], bytes_per_item: int, limit: int) -> list[tuple[slice, ...]]:
    """Cut the axes after the first into blocks of whole chunks of at most `limit` bytes, or one chunk.

    Args:
        shape: Shape of the dataset.
        chunks: Shape of its chunks.
        bytes_per_item: Bytes of one item of a row over all rows of the band.
        limit: Size of a block in bytes.

    Returns:
        Per block its slices of axes 1 and up; together they cover each item of a row once.
    """
    size = list(chunks[1:])
    axes = list(reversed(range(len(size))))
    if len(axes) > 1 and size[-1] < shape[-1] <= 4:
        # Chunks with some of the colours are read one after the other: HDF5 interleaves them byte by byte.
        axes = axes[1:]
    for axis in axes:
        fits = max(1, limit // (bytes_per_item * prod(size)))
        size[axis] = min(shape[axis + 1], size[axis] * fits)
        if size[axis] < shape[axis + 1]:
            break
    starts = [range(0, extent, step) for extent, step in zip(shape[1:], size, strict=True)]
    return [
        tuple(slice(begin, min(extent, begin + step)) for begin, step, extent in zip(at, size, shape[1:], strict=True))
        for at in product(*starts)
    ]


@dataclass(frozen=True, slots=True)
class _Band:
    """Inflated rows in a scratch file: block after block, each block contiguous with rows first."""

    scratch: IO[bytes]
    dtype: np.dtype[Any]
    row_shape: tuple[int, ...]
    rows: int
    blocks: list[tuple[slice, ...]]

    def read(self, start: int, stop: int) -> Array:
        """Return rows start..stop of the band, counted from its first row."""
        out = np.empty((stop - start, *self.row_shape), self.dtype)
        offset = 0
        for block in self.blocks:
            extents = tuple(s.stop - s.start for s in block)
            row_bytes = prod(extents) * self.dtype.itemsize
            raw = os.pread(self.scratch.fileno(), (stop - start) * row_bytes, offset + start * row_bytes)
            entry = out.shape[1 + len(extents) :]  # of the type H5T_ARRAY
            out[(slice(None), *block)] = np.frombuffer(raw, out.dtype).reshape(stop - start, *extents, *entry)
            offset += self.rows * row_bytes
        return out


def _whole(dataset: h5py.Dataset) -> bool:
    return tuple(dataset.chunks[1:]) == tuple(dataset.shape[1:])


def _aligned(start: int, stop: int, band: int) -> Iterator[tuple[int, int]]:
    """Cut start..stop at the multiples of `band`."""
    while start < stop:
        end = min(stop, (start // band + 1) * band)
        yield start, end
        start = end


def _scratch_file() -> IO[bytes]:
    folder = os.environ.get(SCRATCH_VARIABLE) or None
    try:
        return tempfile.TemporaryFile(dir=folder, prefix="robotrove-")
    except OSError as exc:
        raise _no_scratch(exc) from exc


def _write(scratch: IO[bytes], piece: Array) -> None:
    try:
        scratch.write(np.ascontiguousarray(piece).data)
    except OSError as exc:
        raise _no_scratch(exc) from exc


def _no_scratch(exc: OSError) -> RobotroveError:
    return RobotroveError(
        f"scratch folder {os.environ.get(SCRATCH_VARIABLE) or tempfile.gettempdir()}",
        f"cannot unpack frames into it: {exc}",
        "room for one chunk band of each camera",
        f"set {SCRATCH_VARIABLE} to a folder with room on a local disk",
    )

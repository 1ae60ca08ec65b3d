"""Preview of a dataset of an HDF5 file: numbers, texts or pictures, from a bounded sample of its rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Any

import h5py
import numpy as np

from ...core.columns import Array
from ...core.errors import EpisodeRejected, in_utf8
from ...media.image.pixels import Pixels
from .columns import EncodedFrameColumn, RawFrameColumn, begins_like_image, is_camera, is_encoded
from .hdf5_file import DAMAGE, form, lookup, missing_filter
from .tree import plain

MAX_BYTES = 16 << 20
MAX_ROW = 32  # values shown of one row
_MAX_CHUNK = 256 << 20  # HDF5 inflates a chunk as a whole
_MAX_TEXTS = 4096  # rows read of texts
_BLOCKS = 16  # runs of rows that a sample has


@dataclass(frozen=True, slots=True)
class Preview:
    """Values of a dataset of numbers or texts, those that are larger than 16 MB by a sample of their rows.

    Attributes:
        first: First row, None if it has more than 32 values; the value itself for a single one.
        last: Last row, likewise.
        minimum: Smallest finite number, None if there is none.
        mean: Mean of the finite numbers.
        maximum: Largest finite number.
        not_finite: Number of NaN and infinite values.
        different: Number of different texts; None for numbers.
        rows: Rows of the dataset; 1 of a single value.
        rows_read: Rows of the sample.
        problem: Fault of the rows that cannot be read; the rest is that of the others.
        skipped: Why no row is read, where it would take too much memory.
    """

    first: Any = None
    last: Any = None
    minimum: Any = None
    mean: float | None = None
    maximum: Any = None
    not_finite: int = 0
    different: int | None = None
    rows: int = 0
    rows_read: int = 0
    problem: str = ""
    skipped: str = ""


@dataclass(frozen=True, slots=True)
class Pictures:
    """Some rows of a dataset of pictures.

    Attributes:
        rows: (row, (height, width, 3) uint8 RGB) of each; none if the dataset has no pictures.
        problem: Fault of a row that cannot be read.
        skipped: Why no row is read, where it would take too much memory.
    """

    rows: Sequence[tuple[int, Pixels]] = ()
    problem: str = ""
    skipped: str = ""


def preview(file: h5py.File, path: str) -> Preview | None:
    """Return the preview of a dataset; None if it is empty, of another type, or has encoded or many pictures."""
    try:
        dataset = lookup(file, path)
        if not isinstance(dataset, h5py.Dataset) or dataset.shape is None or not prod(form(dataset)[0]):
            return None
        if missing := missing_filter(dataset):
            return Preview(skipped=f"it needs the filter {missing}: pip install hdf5plugin")
        kind = form(dataset)[1].kind
        is_text = h5py.check_string_dtype(dataset.dtype) is not None
        if kind not in "biuf" and not is_text:
            return None
        if pictures_in(dataset) and (is_encoded(dataset) or dataset.nbytes > MAX_BYTES):
            return None
    except (*DAMAGE, EpisodeRejected) as exc:
        return Preview(problem=_said(exc))
    if skipped := _too_large(dataset, is_text):
        return Preview(rows=dataset.shape[0] if dataset.shape else 1, skipped=skipped)
    blocks, problem = _sample(dataset, is_text)
    rows, rows_read = dataset.shape[0] if dataset.shape else 1, sum(map(len, blocks))
    if not blocks:
        return Preview(rows=rows, problem=problem)
    is_shown = prod(blocks[0].shape[1:]) <= MAX_ROW
    first, last = (plain(blocks[0][0]), plain(blocks[-1][-1])) if is_shown else (None, None)
    if is_text:
        texts = {text for block in blocks for text in block.ravel().tolist()}
        return Preview(first, last, different=len(texts), rows=rows, rows_read=rows_read, problem=problem)
    finite = [found for block in blocks if (found := block[np.isfinite(block)]).size]
    count = sum(found.size for found in finite)
    return Preview(
        first=first,
        last=last,
        minimum=plain(min(found.min() for found in finite)) if finite else None,
        mean=float(sum(found.sum(dtype=np.float64) for found in finite) / count) if finite else None,
        maximum=plain(max(found.max() for found in finite)) if finite else None,
        not_finite=sum(block.size for block in blocks) - count,
        rows=rows,
        rows_read=rows_read,
        problem=problem,
    )


def _sample(dataset: h5py.Dataset, is_text: bool) -> tuple[list[Array], str]:
    """Return runs of rows (n, …) with the first and the last one, and the fault of one that cannot be read."""
    shape, dtype = form(dataset)
    row_bytes = prod(shape[1:]) * dtype.itemsize
    most = _MAX_TEXTS if is_text else MAX_BYTES // max(1, row_bytes)
    found, problem = [], ""
    source = dataset.asstr("utf-8", "surrogateescape") if is_text else dataset
    for start, stop in _spans(shape[0], most) if dataset.shape else [(0, 1)]:
        try:
            rows = np.asarray(source[start:stop] if dataset.shape else source[()])
            found.append(rows if dataset.shape else rows[None])
        except DAMAGE as exc:
            problem = problem or f"rows {start} to {stop - 1} cannot be read: {_said(exc)}"
    return found, problem


def _spans(rows: int, most: int) -> Iterator[tuple[int, int]]:
    """Yield runs of rows in order, `most` rows at most together; the first and the last row are in one."""
    blocks = min(_BLOCKS, rows, most)
    size = min(most, rows) // blocks
    if rows <= most:
        edges = [rows * block // blocks for block in range(blocks + 1)]
        yield from pairwise(edges)
        return
    for block in range(blocks):
        start = (rows - size) * block // max(1, blocks - 1)
        yield start, start + size


def pictures_in(dataset: h5py.Dataset) -> bool:
    """True if the rows of a dataset are pictures: colours in uint8, JPEG or PNG.

    Raises:
        EpisodeRejected: unreadable_data.
    """
    if not dataset.shape:
        return False
    if is_encoded(dataset):
        return begins_like_image(dataset)
    return bool(is_camera(dataset) and form(dataset)[1] == np.uint8 and len(dataset))


def pictures(file: h5py.File, path: str, count: int) -> Pictures:
    """Return at most `count` rows of a dataset of pictures, evenly spread, with the first and the last one."""
    found: list[tuple[int, Pixels]] = []
    problem = ""
    try:
        dataset = lookup(file, path)
        if not isinstance(dataset, h5py.Dataset) or dataset.shape is None or not pictures_in(dataset):
            return Pictures()
        if skipped := _too_large(dataset, is_text=False):
            return Pictures(skipped=skipped)
        column = EncodedFrameColumn(dataset) if is_encoded(dataset) else RawFrameColumn(dataset)
        del dataset  # `ChunkedRows` sets the cache of a dataset that is not open
    except (*DAMAGE, EpisodeRejected) as exc:
        return Pictures(problem=_said(exc))
    for row in spread(column.length, count):
        try:
            found.append((row, column.read(row, row + 1)[0]))
        except EpisodeRejected as exc:
            problem = problem or exc.detail
    return Pictures(found, problem)


def spread(length: int, count: int) -> Sequence[int]:
    """Return at most `count` numbers below `length`, evenly spread, with 0 and the last one."""
    if length <= count:
        return range(length)
    return [round(index * (length - 1) / max(1, count - 1)) for index in range(count)]


def _too_large(dataset: h5py.Dataset, is_text: bool) -> str:
    """Return why no row of a dataset can be read in little memory, empty if one can."""
    shape, dtype = form(dataset)
    row, chunk = (prod(sizes) * dtype.itemsize for sizes in (shape[1:], dataset.chunks or (0,)))
    what, size, most = ("row", row, MAX_BYTES) if row > MAX_BYTES and not is_text else ("chunk", chunk, _MAX_CHUNK)
    return f"a {what} has {size:,} bytes, more than the {most:,} that a preview reads" if size > most else ""


def _said(exc: Exception) -> str:
    return exc.detail if isinstance(exc, EpisodeRejected) else in_utf8(str(exc))

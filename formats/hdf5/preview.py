"""Preview of a dataset of an HDF5 file: numbers, texts or pictures, from a bounded sample of its rows."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Any, Literal

import h5py
import numpy as np

from ...core.columns import Array
from ...core.errors import EpisodeRejected, in_utf8
from ...media.image.pixels import Pixels
from .columns import EncodedFrameColumn, begins_like_image, colour_axis, is_encoded, picture_size, upright
from .hdf5_file import DAMAGE, form, lookup, missing_filter
from .mapping import ColumnSpec
from .stored_rows import check_rows
from .tree import plain

_LARGE = np.errstate(over="ignore", invalid="ignore")  # sums of numbers as large as 1e308
MAX_BYTES = 16 << 20
MAX_ROW = 32  # values shown of one row
# HDF5 inflates a chunk as a whole, and takes two to three times its size for that. LeIsaac's chunks are 100 frames.
_MAX_CHUNK = 96 << 20
_MAX_INFLATED = 256 << 20  # of a sample, chunks counted each time
_MAX_TEXTS = 4096  # rows read of texts
_BLOCKS = 16  # runs of rows that a sample has
_PIECE = 64 << 10  # bytes inflated at a time
# Joints, poses and pieces of trajectories are narrower; (T, n) numbers of one value each are wider or longer.
_FEWEST_PIXELS, _FEWEST_OF_ONE, _MOST_RATIO = 32, 64, 2


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
        note: How numbers became pixels, or stored pixels those that the layout converts; empty if they are the same.
        problem: Fault of a row that cannot be read.
        skipped: Why no row is read, where it would take too much memory.
    """

    rows: Sequence[tuple[int, Pixels]] = ()
    note: str = ""
    problem: str = ""
    skipped: str = ""


@_LARGE
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
        rows = dataset.shape[0] if dataset.shape else 1
        if skipped := _too_large(dataset, is_text):
            return Preview(rows=rows, skipped=skipped)
        pictured = _pictured(dataset)
        is_video = pictured == "frames" and form(dataset)[1] == np.uint8
        if pictured == "encoded" or (is_video and dataset.nbytes > MAX_BYTES):
            return None
    except (*DAMAGE, EpisodeRejected) as exc:
        is_outside = isinstance(exc, EpisodeRejected) and exc.reason == "outside_file"  # which is no damage
        return Preview(skipped=_said(exc)) if is_outside else Preview(problem=_said(exc))
    blocks, problem = _sample(dataset, is_text)
    rows_read = sum(map(len, blocks))
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
    blocks = max(2, min(_BLOCKS, _MAX_INFLATED // max(1, _chunk_bytes(dataset))))
    found, problem = [], ""
    source = dataset.asstr("utf-8", "surrogateescape") if is_text else dataset
    for start, stop in _spans(shape[0], most, blocks) if dataset.shape else [(0, 1)]:
        try:
            _check_sources(dataset, start, stop)
            rows = np.asarray(source[start:stop] if dataset.shape else source[()])
            found.append(rows if dataset.shape else rows[None])
        except (*DAMAGE, EpisodeRejected) as exc:
            problem = problem or f"rows {start} to {stop - 1} cannot be read: {_said(exc)}"
    return found, problem


def _check_sources(dataset: h5py.Dataset, start: int, stop: int) -> None:
    """Refuse rows that are not in the file and that HDF5 would make up, or crash on; see `check_rows`."""
    if dataset.is_virtual or dataset.external:
        check_rows(dataset, start, stop)


def _spans(rows: int, most: int, blocks: int) -> Iterator[tuple[int, int]]:
    """Yield runs of rows in order, `most` rows at most together; the first and the last row are in one."""
    blocks = min(blocks, rows, most)
    size = min(most, rows) // blocks
    if rows <= most:
        edges = [rows * block // blocks for block in range(blocks + 1)]
        yield from pairwise(edges)
        return
    for block in range(blocks):
        start = (rows - size) * block // max(1, blocks - 1)
        yield start, start + size


def _pictured(dataset: h5py.Dataset) -> Literal["encoded", "frames", "one", ""]:
    """Return how a dataset has pictures: as JPEG or PNG, as frames, or being one itself; empty if it has none."""
    shape, dtype = form(dataset)
    if prod(shape) and is_encoded(dataset) and begins_like_image(dataset):
        return "encoded"
    if not prod(shape) or dtype.kind not in "biuf":
        return ""
    size, is_pixels = picture_size(shape), dtype == np.uint8
    if size and ((is_pixels and colour_axis(shape) is not None) or _has_sides(size, _FEWEST_PIXELS)):
        return "frames"
    is_colour = len(shape) == 3 and is_pixels and shape[2] in (3, 4) and _has_sides(shape[:2], _FEWEST_PIXELS)
    return "one" if is_colour or (len(shape) == 2 and _has_sides(shape, _FEWEST_OF_ONE)) else ""


def _has_sides(size: Sequence[int], fewest: int) -> bool:
    return min(size) >= fewest and max(size) <= _MOST_RATIO * min(size)


@_LARGE
def pictures(file: h5py.File, path: str, count: int, specs: Mapping[str, ColumnSpec] | None = None) -> Pictures:
    """Return at most `count` rows of a dataset of pictures, evenly spread, with the first and the last one.

    Depth, and other numbers than uint8, are grey from their smallest to their largest value.

    Args:
        file: An open file.
        path: The dataset.
        count: Most rows.
        specs: Source in an episode to what the layout converts it to, see `conversions`; None shows pixels as stored.
    """
    spec = next(
        (spec for source, spec in (specs or {}).items() if path.endswith(f"/{source}")), ColumnSpec(source=path)
    )
    changes = (("color", spec.color, "rgb"), ("flip", spec.flip, "none"))
    notes = [f"{name}: {value}" for name, value, default in changes if value != default]
    try:
        dataset = lookup(file, path)
        if not isinstance(dataset, h5py.Dataset) or dataset.shape is None or missing_filter(dataset):
            return Pictures()
        if skipped := _too_large(dataset, is_text=False):
            return Pictures(skipped=skipped)
        pictured = _pictured(dataset)
        if pictured == "encoded":
            column = EncodedFrameColumn(dataset, color=spec.color, flip=spec.flip)
            del dataset  # `ChunkedRows` sets the cache of a dataset that is not open
            return _decoded(column, count, notes)
        if not pictured:
            return Pictures()
        found, problem = _frames(dataset, spread(len(dataset), count) if pictured == "frames" else None)
    except EpisodeRejected as exc:  # what has more than 8 bits, or is out of reach, is no damage
        is_whole = exc.reason in ("image_dtype", "outside_file")
        return Pictures(skipped=exc.detail) if is_whole else Pictures(problem=exc.detail)
    except DAMAGE as exc:
        return Pictures(problem=_said(exc))
    if pictured == "one":
        notes.append("one picture")
    if found and form(dataset)[1] != np.uint8:
        low, high = _ends([frame for _, frame in found])
        notes.append(f"black is {low:.4g}, white is {high:.4g}")
        found = [(row, _levels(frame, low, high)) for row, frame in found]
    return Pictures([(row, _rgb(frame, spec)) for row, frame in found], ", ".join(notes), problem)


def _decoded(column: EncodedFrameColumn, count: int, notes: Sequence[str]) -> Pictures:
    found, problem = [], ""
    for row in spread(column.length, count):
        try:
            found.append((row, column.read(row, row + 1)[0]))
        except EpisodeRejected as exc:
            problem = problem or exc.detail
    return Pictures(found, ", ".join(notes), problem)


def _frames(dataset: h5py.Dataset, rows: Sequence[int] | None) -> tuple[list[tuple[int, Array]], str]:
    """Return rows (height, width) or (height, width, channels), and the fault of one; None takes all as one picture."""
    found: list[tuple[int, Array]] = []
    axis, problem = colour_axis(form(dataset)[0]), ""
    for row in [0] if rows is None else rows:
        try:
            _check_sources(dataset, row, len(dataset) if rows is None else row + 1)
            frame = np.asarray(dataset[()]) if rows is None else _row(dataset, row)
            found.append((row, frame if axis is None else np.moveaxis(frame, axis - 1, -1)))
        except (*DAMAGE, EpisodeRejected) as exc:
            problem = problem or f"row {row} cannot be read: {_said(exc)}"
    return found, problem


def _row(dataset: h5py.Dataset, row: int) -> Array:
    """Return one row; of a chunk of whole rows that gzip alone packs, nothing behind it is inflated."""
    made, size = dataset.id.get_create_plist(), dataset.dtype.itemsize * prod(dataset.shape[1:])
    filters = [made.get_filter(at)[0] for at in range(made.get_nfilters())]
    if filters == [h5py.h5z.FILTER_DEFLATE] and dataset.chunks[1:] == dataset.shape[1:] and not dataset.dtype.subdtype:
        with suppress(*DAMAGE, zlib.error):  # HDF5 names the fault
            inside = row % dataset.chunks[0]
            place = row - inside, *[0] * (dataset.ndim - 1)
            stored = dataset.id.get_chunk_info_by_coord(place)
            if stored.byte_offset is not None and not stored.filter_mask:
                data = _inflated(dataset.id.read_direct_chunk(place)[1], inside * size, size)
                return np.frombuffer(data, dataset.dtype).reshape(dataset.shape[1:])
    return np.asarray(dataset[row])


def _inflated(packed: bytes, start: int, size: int) -> bytes:
    """Return `size` bytes from `start` on of what zlib packed; fewer if it ends before."""
    inflater, found = zlib.decompressobj(), bytearray()
    for begin in range(0, len(packed), _PIECE):
        piece = packed[begin : begin + _PIECE]
        while piece:
            found += inflater.decompress(piece, _PIECE)
            piece = inflater.unconsumed_tail
            if start:
                passed = min(start, len(found))
                start -= passed
                del found[:passed]
            elif len(found) >= size:
                return bytes(found[:size])
    return bytes(found[:size])


def _ends(frames: Sequence[Array]) -> tuple[float, float]:
    """Return the smallest and largest number of frames; of colours between 0 and 1, these."""
    finite = [part for frame in frames if (part := frame[np.isfinite(frame)]).size]
    low, high = (float(end([end(part) for part in finite])) if finite else 0.0 for end in (np.min, np.max))
    return (0.0, 1.0) if frames[0].ndim == 3 and low >= 0 and high <= 1 else (low, high)


def _levels(values: Array, low: float, high: float) -> Pixels:
    """Return numbers as 0 to 255; those that are not finite are black or white."""
    scaled = (values.astype(np.float32) - np.float32(low)) * np.float32(255 / (high - low) if high > low else 0)
    levels: Pixels = np.rint(np.nan_to_num(scaled, copy=False, posinf=255, neginf=0)).clip(0, 255).astype(np.uint8)
    return levels


def _rgb(frame: Array, spec: ColumnSpec) -> Pixels:
    colours = frame[..., None] if frame.ndim == 2 else frame[..., :3]
    colours = colours if colours.shape[2] == 3 else np.repeat(colours[..., :1], 3, axis=2)
    turned: Pixels = upright(colours[None], spec.color, spec.flip)[0]
    return turned


def spread(length: int, count: int) -> Sequence[int]:
    """Return at most `count` numbers below `length`, evenly spread, with 0 and the last one."""
    if length <= count:
        return range(length)
    return [round(index * (length - 1) / max(1, count - 1)) for index in range(count)]


def _too_large(dataset: h5py.Dataset, is_text: bool) -> str:
    """Return why no row of a dataset can be read in little memory, empty if one can."""
    shape, dtype = form(dataset)
    row, chunk = prod(shape[1:]) * dtype.itemsize, _chunk_bytes(dataset)
    what, size, most = ("row", row, MAX_BYTES) if row > MAX_BYTES and not is_text else ("chunk", chunk, _MAX_CHUNK)
    return f"a {what} has {size:,} bytes, more than the {most:,} that a preview reads" if size > most else ""


def _chunk_bytes(dataset: h5py.Dataset) -> int:
    """Return what HDF5 inflates for one value; 0 without filters, where it reads no more than that value."""
    is_packed = dataset.chunks is not None and dataset.id.get_create_plist().get_nfilters()
    return int(prod(dataset.chunks) * dataset.dtype.itemsize) if is_packed else 0


def _said(exc: Exception) -> str:
    return exc.detail if isinstance(exc, EpisodeRejected) else in_utf8(str(exc))

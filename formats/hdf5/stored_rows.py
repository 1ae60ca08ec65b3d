"""Stored rows of a dataset: HDF5 gives fill values for those that were never written, or are in a missing file."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, MutableSet, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, TypeAlias

import h5py
import numpy as np
from numpy.typing import NDArray

from ...core.errors import EpisodeRejected
from ...core.source_file import beside
from .hdf5_file import (
    block_name,
    check_declared,
    check_filters,
    chunk_grid,
    file_name,
    lookup,
    open_from,
    place,
    reading,
)

_UNLIMITED = h5py.h5s.UNLIMITED
_MOST_SPANS = 5
_NEVER = "never written"

Mask: TypeAlias = NDArray[np.bool_]
Counts: TypeAlias = NDArray[np.int64]
Block: TypeAlias = tuple[Sequence[int], Sequence[int], Sequence[int], Sequence[int]]  # start, stride, count, size
Selection: TypeAlias = Sequence[Block] | None  # None for the whole of a dataset


@dataclass(frozen=True, slots=True)
class _Gap:
    """Rows of a dataset that are not stored.

    Attributes:
        rows: (n,) bool, True for these of its n rows.
        reason: Name of the rejection.
        cause: Why they are not.
    """

    rows: Mask
    reason: str
    cause: str

    def of(self, place: str, rows: Mask) -> str:
        """Return rows, place and cause, of those that are among other rows."""
        return f"{_spans(np.flatnonzero(self.rows & rows))} of {place}: {self.cause}"


def check_rows(dataset: h5py.Dataset, start: int, stop: int, files: MutableSet[Path] | None = None) -> None:
    """Refuse rows start..stop of a dataset if HDF5 would make some of them up.

    It gives fill values for chunks without storage, for a contiguous dataset that was never written, where an external
    raw file is missing or ends early, and in a virtual dataset where no source covers a row, or where its file, its
    dataset or its rows are missing. Other files count only beside the file that names them, see `beside`.

    Args:
        dataset: As `lookup` opens it.
        start: First of the rows in use.
        stop: End of the rows in use.
        files: Takes the other files that these rows come from.

    Raises:
        EpisodeRejected: missing_filter if HDF5 lacks a filter of the dataset; missing_rows, missing_file or
            missing_dataset, with the rows; unreadable_data if the dataset is damaged; too_large by `check_size`.
    """
    with reading(f"storage of {dataset.name}"):
        check_declared(dataset, stop - start)
        used = np.zeros(len(dataset), bool)
        used[start:stop] = True
        for gap in _gaps(dataset, used, set() if files is None else files, ()):
            is_whole = not len(used) and gap.reason != "missing_rows"  # a missing source makes a dataset of no rows
            if is_whole or (gap.rows & used).any():
                raise EpisodeRejected(gap.reason, gap.of(place(dataset), used))


def missing_rows(dataset: h5py.Dataset) -> Mask:
    """Return per row of a dataset if HDF5 would make up some of it: (n,) bool."""
    is_missing = np.zeros(len(dataset), bool)
    with reading(f"storage of {dataset.name}"):
        for gap in _gaps(dataset, ~is_missing, set(), ()):
            is_missing |= gap.rows
    return is_missing


def _spans(rows: NDArray[np.int64]) -> str:
    """Return row numbers for people: row 3; rows 8..19; rows 0, 4..7 and 12 more."""
    if not len(rows):
        return "all rows"
    runs = np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1)
    shown = [f"{run[0]}..{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs[:_MOST_SPANS]]
    more = sum(map(len, runs[_MOST_SPANS:]))
    return f"row{'s' if len(rows) > 1 else ''} {', '.join(shown)}" + (f" and {more} more" if more else "")


def _gaps(dataset: h5py.Dataset, used: Mask, files: MutableSet[Path], above: tuple[str, ...]) -> Iterator[_Gap]:
    """Yield the gaps among the used rows; others may come too."""
    made = dataset.id.get_create_plist()
    check_filters(dataset)
    if made.get_layout() == h5py.h5d.VIRTUAL:
        yield from _virtual_gaps(dataset, used, files, above)
    elif made.get_external_count():
        yield from _raw_gaps(dataset, len(used), files, is_source=bool(above))
    elif made.get_layout() == h5py.h5d.CHUNKED:
        yield from _chunk_gaps(dataset)
    elif dataset.size and not dataset.id.get_storage_size():
        yield _Gap(np.ones(len(used), bool), "missing_rows", _NEVER)


def _chunk_gaps(dataset: h5py.Dataset) -> Iterator[_Gap]:
    bands, *across = chunk_grid(dataset)
    if dataset.id.get_num_chunks() == bands * prod(across):
        return
    step, stored = dataset.chunks[0], np.zeros(bands, np.int64)

    def count(chunk: h5py.h5d.StoreInfo) -> None:
        stored[chunk.chunk_offset[0] // step] += 1

    dataset.id.chunk_iter(count)  # in linear time; get_chunk_info counts from the first for each
    is_missing = stored < prod(across)
    yield _Gap(is_missing[np.arange(len(dataset)) // step], "missing_rows", _NEVER)


def _raw_gaps(dataset: h5py.Dataset, n_rows: int, files: MutableSet[Path], *, is_source: bool) -> Iterator[_Gap]:
    """Yield rows of raw files that are missing or end early; HDF5 looks for those of a source in the current folder."""
    _check_prefix(dataset, "HDF5_EXTFILE_PREFIX")
    made, folder = dataset.id.get_create_plist(), os.path.dirname(os.path.abspath(file_name(dataset)))
    total = dataset.size * dataset.id.get_type().get_size()
    row_bytes, begin = total // max(1, n_rows), 0
    for index in range(made.get_external_count()):
        name, offset, size = made.get_external(index)
        path, size = Path(folder, os.fsdecode(name)), min(size, total - begin)  # the last may be unlimited
        there = 0
        reason, cause = "missing_file", _of_missing(os.fsdecode(name))
        if is_source and not os.path.isabs(name):
            cause = f"from {os.fsdecode(name)}, which a virtual dataset finds only by an absolute path"
        elif path.is_file():
            files.add(path)
            found = path.stat().st_size
            there = min(size, max(0, found - offset))
            cause = f"from {os.fsdecode(name)}, which ends after {found:,} of {offset + size:,} bytes"
            reason = "missing_rows"
        if there < size:
            rows = np.zeros(n_rows, bool)
            rows[(begin + there) // row_bytes : -(-(begin + size) // row_bytes)] = True
            yield _Gap(rows, reason, cause)
        begin += size


def _of_missing(place: str) -> str:
    return f"from {place}, and this file is missing"


def _check_prefix(dataset: h5py.Dataset, variable: str) -> None:
    if os.environ.get(variable, "") not in ("", "${ORIGIN}"):
        raise EpisodeRejected(
            "missing_file", f"{place(dataset)} takes rows from other files, and {variable} leads elsewhere: unset it"
        )


def _virtual_gaps(dataset: h5py.Dataset, used: Mask, files: MutableSet[Path], above: tuple[str, ...]) -> Iterator[_Gap]:
    """Yield rows that no source covers, and those that sources lack."""
    _check_prefix(dataset, "HDF5_VDS_PREFIX")
    place = f"{os.path.realpath(file_name(dataset))}:{dataset.name}"
    if place in above:
        yield _Gap(np.ones(len(used), bool), "missing_rows", "virtual datasets lead in a circle")
        return
    covered, blocks = np.zeros(len(used), np.int64), []
    sources: dict[tuple[str, str], list[tuple[Sequence[Block], Selection]]] = {}
    for source in dataset.virtual_sources():
        given = _selection(source.src_space)
        targets = list(_targets(source, dataset.shape))
        if lost := _lost_block(dataset, source.file_name, len(targets)):
            yield _Gap(np.ones(len(used), bool), "missing_file", f"rows after these are lost: {lost}")
        for name, path, filled in targets:
            counts = _row_counts(filled, len(used))
            if counts[used].any() or not len(used):
                covered += counts
                blocks += filled
                sources.setdefault((name, path), []).append((filled, given))
    for (name, path), parts in sources.items():
        yield from _source_gaps(dataset, name, path, parts, files, (*above, place))
    row_size = prod(dataset.shape[1:])
    yield _Gap(covered < row_size, "missing_rows", "no source of this virtual dataset covers them")
    if len(blocks) > 1 and _points(blocks, dataset.shape) < covered.sum():
        yield _Gap(covered > 0, "missing_rows", "sources of this virtual dataset overlap")


def _targets(source: Any, shape: Sequence[int]) -> Iterator[tuple[str, str, list[Block]]]:
    """Yield file, dataset and the blocks of the virtual dataset that they fill; a `%b` in a name counts blocks."""
    names, whole = (source.file_name, source.dset_name), _selection(source.vspace)
    if not whole or not any("%b" in name.replace("%%", "") for name in names):
        file, path = (block_name(name, 0) for name in names)
        yield file, path, _within(whole, shape)
        return
    start, stride, _, size = whole[0]
    axis = _unlimited_axis(whole[0]) or 0
    for number, at in enumerate(range(start[axis], shape[axis], stride[axis])):
        file, path = (block_name(name, number) for name in names)
        begin = [at if index == axis else begin for index, begin in enumerate(start)]
        yield file, path, [(begin, stride, [1] * len(start), size)]


def _lost_block(dataset: h5py.Dataset, pattern: str, number: int) -> str:
    """Return why HDF5 stops at a number of a pattern `p%b.h5`: its file is missing, and a later one is there."""
    begin, *ends = (part.replace("\0", "%") for part in pattern.replace("%%", "\0").split("%b"))
    if len(ends) != 1 or beside(file_name(dataset), f"{begin}{number}{ends[0]}") is not None:
        return ""
    begin = os.path.join(os.path.dirname(os.path.abspath(file_name(dataset))), begin)
    paths = glob.glob(f"{glob.escape(begin)}*{glob.escape(ends[0])}")
    found = [path[len(begin) : len(path) - len(ends[0])] for path in paths]
    later = [int(text) for text in found if text.isdecimal() and int(text) > number]
    name = os.path.basename(begin)
    return f"{name}{number}{ends[0]} is missing, {name}{min(later)}{ends[0]} is not" if later else ""


def _source_gaps(
    dataset: h5py.Dataset,
    name: str,
    path: str,
    parts: Sequence[tuple[Sequence[Block], Selection]],
    files: MutableSet[Path],
    above: tuple[str, ...],
) -> Iterator[_Gap]:
    """Yield rows of a virtual dataset that one source should fill and does not have.

    Args:
        dataset: The virtual dataset.
        name: File of the source.
        path: Its name there.
        parts: Blocks of the virtual dataset, and the selection of the source that fills them.
        files: See `check_rows`.
        above: Virtual datasets on the way.
    """
    n_rows, where = len(dataset), path if name == "." else f"{path} in {name}"
    filled = _row_counts([block for target, _ in parts for block in target], n_rows) > 0
    file = None if name == "." else beside(file_name(dataset), name)
    if name != "." and file is None:
        yield _Gap(filled, "missing_file", _of_missing(where))
        return
    try:
        with nullcontext(dataset.file) if file is None else open_from(dataset, file, files) as opened:
            source = lookup(opened, path, files)
            if not isinstance(source, h5py.Dataset) or source.shape is None:
                yield _Gap(filled, "missing_dataset", f"from {where}, and this dataset is missing")
                return
            shape = source.shape or (1,)
            pairs = [(target, _within(given, shape)) for target, given in parts]
            is_used, is_short = np.zeros(shape[0], bool), np.zeros(n_rows, bool)
            for target, given in pairs:
                counts = _row_counts(given, shape[0])
                is_used |= counts > 0
                is_outside = _row_counts([block for block in given if not _fits(block, shape)], shape[0]) > 0
                is_short |= _lost(_row_counts(target, n_rows), counts, is_outside)
            yield _Gap(is_short, "missing_rows", f"from {where}, which has only the shape {source.shape}")
            for gap in _gaps(source, is_used, files, above) if source.shape else ():
                is_lost = np.zeros(n_rows, bool)
                for target, given in pairs:
                    is_lost |= _lost(_row_counts(target, n_rows), _row_counts(given, shape[0]), gap.rows)
                yield _Gap(is_lost, gap.reason, f"from {gap.of(place(source), is_used)}")
    except EpisodeRejected as exc:
        yield _Gap(filled, exc.reason, f"from {where}: {exc.detail}")


def _lost(target: Counts, source: Counts, is_bad: Mask) -> Mask:
    """Return the rows of a virtual dataset that get entries of bad rows of a source, or entries behind its last.

    Args:
        target: (n,) int64, entries of each virtual row that the source fills; entry by entry, in the order of rows.
        source: (m,) int64, entries of each row of the source that it gives.
        is_bad: (m,) bool.
    """
    ends = np.concatenate(([0], np.cumsum(source)))
    bad = np.concatenate(([0], np.cumsum(source * is_bad)))
    filled = np.concatenate(([0], np.cumsum(target)))
    if (beyond := filled[-1] - ends[-1]) > 0:
        ends, bad = np.append(ends, filled[-1]), np.append(bad, bad[-1] + beyond)
    return np.diff(np.interp(filled, ends, bad)) > 0.5


def _selection(space: h5py.h5s.SpaceID) -> Selection:
    """Return a selection as regular blocks, with counts and sizes that may be unlimited."""
    if space.get_select_type() == h5py.h5s.SEL_ALL:
        return None
    if space.get_select_type() != h5py.h5s.SEL_HYPERSLABS:
        return []
    if space.is_regular_hyperslab():
        return [space.get_regular_hyperslab()]
    corners = space.get_select_hyper_blocklist().astype(np.int64)
    ones = [1] * corners.shape[2]
    return [(low.tolist(), ones, ones, (high - low + 1).tolist()) for low, high in corners]


def _unlimited_axis(block: Block) -> int | None:
    _, _, count, size = block
    return next((axis for axis in range(len(count)) if _UNLIMITED in (count[axis], size[axis])), None)


def _within(selection: Selection, shape: Sequence[int]) -> list[Block]:
    """Return the blocks of a selection, unlimited ones as far as a dataset with a shape goes."""
    if selection is None:
        ones = [1] * len(shape)
        return [([0] * len(shape), ones, ones, shape)]
    return [part for block in selection for part in _limited(block, shape)]


def _limited(block: Block, shape: Sequence[int]) -> list[Block]:
    axis = _unlimited_axis(block)
    if axis is None or axis >= len(shape):
        return [block]
    start, stride, count, size = map(list, block)
    room = max(0, shape[axis] - start[axis])
    if size[axis] == _UNLIMITED:
        size[axis] = room
        return [(start, stride, count, size)]
    count[axis] = (room - size[axis]) // stride[axis] + 1 if room >= size[axis] else 0
    begin, rest = list(start), list(size)
    begin[axis] += count[axis] * stride[axis]
    rest[axis] = max(0, min(size[axis], shape[axis] - begin[axis]))
    return [(start, stride, count, size), (begin, stride, [1] * len(start), rest)]


def _fits(block: Block, shape: Sequence[int]) -> bool:
    ends = [begin + (n - 1) * step + size for begin, step, n, size in zip(*block, strict=True)]
    return len(ends) == len(shape) and all(end <= n for end, n in zip(ends[1:], shape[1:], strict=True))


def _row_counts(blocks: Sequence[Block], n_rows: int) -> Counts:
    """Return how many entries of each of the first rows are in the blocks: (n_rows,) int64."""
    counts = np.zeros(n_rows, np.int64)
    for start, stride, count, size in blocks:
        begins = np.arange(start[0], n_rows, stride[0])[: count[0], None]
        rows = (begins + np.arange(min(size[0], n_rows))).ravel()
        counts[rows[rows < n_rows]] += prod(count[1:]) * prod(size[1:])
    return counts


def _points(blocks: Sequence[Block], shape: Sequence[int]) -> int:
    """Return the number of entries that are in some of the blocks."""
    space = h5py.h5s.create_simple(tuple(shape))
    space.select_none()
    for start, stride, count, size in blocks:
        if prod(count) * prod(size):
            space.select_hyperslab(*map(tuple, (start, count, stride, size)), op=h5py.h5s.SELECT_OR)
    return int(space.get_select_npoints())

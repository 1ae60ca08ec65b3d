"""Recording in HDF5, read a second time: links followed by hand, storage checked, rows by pyfive where it can.

Independent of formats/hdf5 on purpose: a fault there must not repeat here. The rules are those of the HDF5 file format
specification 3.0 (links: IV.A.2.g, storage of a dataset: IV.A.2.i, external files: IV.A.2.h).
"""

from __future__ import annotations

import os
import posixpath
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from itertools import product
from math import ceil, prod
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeAlias

import h5py
import numpy as np
import pyfive
from numpy.typing import NDArray

from ...core.errors import RobotroveError

Rows: TypeAlias = NDArray[Any]

_HOPS = 40  # links from one to the next; HDF5 itself stops at 16 (H5L_NUM_LINKS)
_DEPTH = 100
_BATCH_BYTES = 4 << 20
_BAND_BYTES = 128 << 20  # LeIsaac's chunks are 92 MB, and as large in memory once they are inflated
# Errors of h5py, for damage and for what it does not know.
_FAILURES = (OSError, RuntimeError, KeyError, ValueError, TypeError)
# Filters that pyfive 1.3 applies itself: deflate, shuffle, Fletcher-32.
_PYFIVE_FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32}

# The folder of the recording for raw files; `_external_rows` does not depend on it.
_ORIGIN = h5py.h5p.create(h5py.h5p.DATASET_ACCESS)
_ORIGIN.set_efile_prefix(b"${ORIGIN}")

_PYFIVE_CHUNKS = 50_000  # it holds the index of a dataset in memory, some 400 bytes per chunk


class ObjectPlace(NamedTuple):
    """Place of an object once all links are followed: file and absolute path in it."""

    file: Path
    path: str

    def __str__(self) -> str:
        return f"{self.file.name}:{self.path}"


class HDF5Recording:
    """A recording and the files that its links, virtual and external datasets lead to.

    Args:
        path: The recording. No file outside of its folder is opened, unless `allow` says so.

    Attributes:
        readers: Library that read the rows of each dataset so far: pyfive, or h5py where pyfive cannot.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._folders = {os.path.realpath(path.parent)}
        self.allow([path])
        self.readers: dict[ObjectPlace, str] = {}
        self._stack = ExitStack()
        self._h5py: dict[Path, h5py.File] = {}
        self._pyfive: dict[Path, Any] = {}
        nothing = ObjectPlace(path, "")
        self._indexed: tuple[ObjectPlace, Any] = nothing, None  # the last dataset of pyfive, which has its chunk index
        self._band: tuple[tuple[ObjectPlace, int], Rows] = (nothing, 0), np.zeros(0)  # the last one inflated

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def allow(self, files: Iterable[Path]) -> None:
        """Allow the folders of files that the manifest names for an episode."""
        self._folders |= {os.path.dirname(os.path.realpath(file)) for file in files}

    def find(self, path: str, group: ObjectPlace | None = None) -> ObjectPlace:
        """Return the place of an object: of the recording, or at a path relative to a group.

        Raises:
            RobotroveError: If the path, or a link on it, leads nowhere.
        """
        file, above = group or (self.path, "/")
        return self._followed(file, posixpath.join(above, path), 0)

    def datasets(self, group: ObjectPlace) -> dict[str, ObjectPlace | str]:
        """Return every dataset below a group, links included, by its path relative to the group.

        The value is its place, or, where a link leads nowhere, the reason. A group inside itself ends there.
        """
        found: dict[str, ObjectPlace | str] = {}
        self._walk(group, "", found, ())
        return found

    def shape(self, place: ObjectPlace) -> tuple[int, ...]:
        """Return the shape of a dataset; a type that is an array counts as axes after the rows."""
        dataset = self._dataset(place)
        array = dataset.dtype.subdtype
        return (*(dataset.shape or ()), *(array[1] if array else ()))

    def dtype(self, place: ObjectPlace) -> np.dtype[Any]:
        """Return the dtype of the entries of a dataset as stored."""
        dtype: np.dtype[Any] = self._dataset(place).dtype.base
        return dtype

    def attributes(self, group: ObjectPlace) -> dict[str, Rows]:
        """Return the attributes of a group as flat arrays, without those of types that h5py does not know."""
        found: dict[str, Rows] = {}
        for name in (attributes := self._object(group).attrs):
            with suppress(*_FAILURES):
                found[name] = np.ravel(attributes[name])
        return found

    def gap(self, place: ObjectPlace, first: int, last: int) -> str:
        """Return which of the rows first..last have no data behind them, where HDF5 gives zeros; empty if none.

        Looks at stored chunks, the storage of contiguous datasets, external files and the sources of virtual datasets.

        Raises:
            RobotroveError: If the dataset, or a source of it, cannot be opened.
        """
        try:
            return self._gap(place, first, last, ())
        except _FAILURES as exc:
            raise _unreadable(str(place), exc) from exc

    def _gap(self, place: ObjectPlace, first: int, last: int, above: tuple[ObjectPlace, ...]) -> str:
        dataset = self._dataset(place)
        layout = dataset.id.get_create_plist().get_layout()
        if not dataset.size or layout == h5py.h5d.COMPACT or place in above:
            return ""
        if dataset.external:
            return _external_gap(place, dataset, first, last)
        if layout == h5py.h5d.VIRTUAL:
            return self._virtual_gap(place, dataset, first, last, (*above, place))
        if layout == h5py.h5d.CHUNKED:
            return _span(place, _unstored(dataset, first, last), first, "no stored chunks: they were never written")
        return f"{place} has no storage: it was never written" if dataset.id.get_offset() is None else ""

    def rows(self, place: ObjectPlace, first: int, last: int, entries: tuple[slice, ...] = ()) -> Rows:
        """Return rows first..last in the source's own dtype, whole or some entries of the axes after the first."""
        dataset = self._dataset(place)
        if dataset.external:
            self.readers[place] = "h5py"
            return _external_rows(place, dataset, first, last).reshape(-1, *self.shape(place)[1:])[
                (slice(None), *entries)
            ]
        where = (slice(first, last), *entries)
        rows = self._by_pyfive(place, dataset, where)
        self.readers[place] = "h5py" if rows is None else "pyfive"
        try:
            return np.asarray(dataset[where]) if rows is None else rows
        except _FAILURES as exc:
            raise _unreadable(f"{place} rows {first}..{last}", exc) from exc

    def batches(self, place: ObjectPlace, first: int, last: int) -> Iterator[Rows]:
        """Yield rows first..last in order, a few MB at a time.

        Chunks that are filtered are inflated as a band, all that share their rows, and the last band is kept: rows that
        are sampled one by one are often in the same one.
        """
        dataset = self._dataset(place)
        row_bytes = max(1, prod(self.shape(place)[1:]) * dataset.dtype.base.itemsize)
        is_filtered = dataset.chunks and dataset.id.get_create_plist().get_nfilters()
        band, tile = (dataset.chunks[0], dataset.chunks[1:]) if is_filtered else (0, ())
        del dataset  # HDF5 sets the chunk cache of a dataset when it is opened first, and the reader sets another
        step = max(1, _BATCH_BYTES // row_bytes)
        while first < last:
            stop = min(last, first + step)
            if band:
                start = first - first % band
                stop = min(stop, start + band)
                yield np.array(self._inflated(place, start, band, tile)[first - start : stop - start])
            else:
                yield self.rows(place, first, stop)
            first = stop

    def _inflated(self, place: ObjectPlace, start: int, rows: int, tile: tuple[int, ...]) -> Rows:
        """Return a band of chunks, in a scratch file if it is large."""
        if (place, start) != self._band[0]:
            self._band = (place, start), np.zeros(0)  # two bands at a time would double the peak
            shape, dtype = self.shape(place), self.dtype(place)
            stop = min(shape[0], start + rows)
            if (stop - start) * prod(shape[1:]) * dtype.itemsize <= _BAND_BYTES:
                self._band = (place, start), self.rows(place, start, stop)
            else:
                with tempfile.TemporaryFile(dir=os.environ.get("ROBOTROVE_SCRATCH"), prefix="robotrove-") as scratch:
                    held = np.memmap(scratch, dtype, "w+", shape=(stop - start, *shape[1:]))
                for entries in product(*map(_tiles, shape[1:], tile)):
                    held[(slice(None), *entries)] = self.rows(place, start, stop, entries)
                self._band = (place, start), held
        return self._band[1]

    def _followed(self, file: Path, path: str, hops: int) -> ObjectPlace:
        if hops > _HOPS:
            raise RobotroveError(f"{file.name}:{path}", "a circle of links")
        names = [name for name in path.split("/") if name not in ("", ".")]
        done = ""
        for index, name in enumerate(names):
            group = self._object(ObjectPlace(file, done or "/"))
            link = group.get(name, getlink=True) if isinstance(group, h5py.Group) else None
            rest = "/".join(names[index + 1 :])
            if isinstance(link, h5py.ExternalLink):
                other = self._beside(file, os.fsdecode(link.filename), f"{file.name}:{done}/{name}")
                return self._followed(other, f"{link.path}/{rest}".rstrip("/"), hops + 1)
            if isinstance(link, h5py.SoftLink):
                target = link.path if link.path.startswith("/") else f"{done}/{link.path}"
                return self._followed(file, f"{target}/{rest}".rstrip("/"), hops + 1)
            if link is None:
                raise RobotroveError(f"{file.name}:{done}/{name}", "leads to nothing")
            done += f"/{name}"
        return ObjectPlace(file, done or "/")

    def _beside(self, file: Path, name: str, link: str) -> Path:
        """Return the file that a file names: in its folder, or in that which a symlink to it leads to."""
        names = [name, os.path.basename(name)] if os.path.isabs(name) else [name]
        for other in (folder / part for part in names for folder in (file.parent, file.resolve().parent)):
            if other.is_file():
                return other
        is_here = Path(os.path.basename(name)).is_file()
        here = " (the file of this name in the current folder is another one)" if is_here else ""
        raise RobotroveError(link, f"leads to {file.parent / name}, which is missing{here}")

    def _walk(
        self, place: ObjectPlace, prefix: str, found: dict[str, ObjectPlace | str], above: tuple[h5py.Group, ...]
    ) -> None:
        group = self._object(place)
        if group in above or len(above) > _DEPTH:
            return
        for name in group:
            if isinstance(name, bytes):  # not UTF-8: h5py lists it, and cannot open it
                found[prefix + name.decode(errors="backslashreplace")] = "a name with bytes outside UTF-8"
                continue
            try:
                target = self._followed(place.file, f"{place.path}/{name}", 0)
                item = self._object(target)
            except RobotroveError as exc:
                found[prefix + name] = f"{exc.where} {exc.found}"
                continue
            if isinstance(item, h5py.Dataset):
                found[prefix + name] = target
            elif isinstance(item, h5py.Group):
                self._walk(target, f"{prefix}{name}/", found, (*above, group))

    def _object(self, place: ObjectPlace) -> Any:
        if place.file not in self._h5py:
            self._check_place(place.file)
            self._h5py[place.file] = self._stack.enter_context(_opened(place.file))
        file = self._h5py[place.file]
        try:
            return file[place.path]
        except _FAILURES as exc:
            with suppress(*_FAILURES):  # the reader holds it with a folder for raw files, and HDF5 insists on the same
                return h5py.Dataset(h5py.h5d.open(file.id, place.path.encode(), _ORIGIN))
            raise _unreadable(str(place), exc) from exc

    def _dataset(self, place: ObjectPlace) -> h5py.Dataset:
        found = self._object(place)
        if not isinstance(found, h5py.Dataset):
            raise RobotroveError(str(place), "is a group instead of a dataset")
        names = [os.fsdecode(name) for name, _, _ in found.external or ()]
        if found.is_virtual:  # HDF5 opens its sources for the shape alone
            names += [source.file_name.replace("%%", "%") for source in found.virtual_sources()]
        for name in names:
            if name != "." and (file := place.file.parent / name).exists():
                self._check_place(file)
        return found

    def _check_place(self, file: Path) -> None:
        real = os.path.realpath(file)
        if not any(os.path.commonpath([folder, real]) == folder for folder in self._folders):
            raise RobotroveError(real, "is outside of the folders of the recording and of its files in the manifest")

    def _by_pyfive(self, place: ObjectPlace, dataset: h5py.Dataset, where: tuple[slice, ...]) -> Rows | None:
        """Return rows as pyfive reads them, None where it cannot, or where it is known to give other values instead."""
        plist, stored = dataset.id.get_create_plist(), dataset.id.get_type()
        filters = {plist.get_filter(index)[0] for index in range(plist.get_nfilters())}
        is_known = not dataset.is_virtual and filters <= _PYFIVE_FILTERS and dataset.dtype.kind in "biufS"
        if self._h5py[place.file].userblock_size:  # pyfive counts addresses from the begin of the file
            is_known = False
        elif dataset.dtype.kind == "S":  # it keeps the spaces of texts that Fortran pads
            is_known = is_known and stored.get_strpad() != h5py.h5t.STR_SPACEPAD
        elif dataset.dtype.kind in "iuf":  # of floats it looks at the size alone, which may have room to spare
            is_known = is_known and stored.equal(h5py.h5t.py_create(dataset.dtype, logical=True))
        if not is_known or prod(_bands(dataset)) > _PYFIVE_CHUNKS:
            return None
        try:  # pyfive raises errors of any kind for what it does not know, AssertionError among them
            if place.file not in self._pyfive:
                self._pyfive[place.file] = self._stack.enter_context(pyfive.File(place.file))
            if place != self._indexed[0]:
                self._indexed = place, self._pyfive[place.file][place.path]
            rows = np.asarray(self._indexed[1][where])
        except Exception:
            return None
        if rows.dtype != dataset.dtype and (rows.dtype.kind, dataset.dtype.kind) == ("i", "b"):  # an enum of int8
            rows = rows.astype(bool)
        return rows if rows.dtype == dataset.dtype else None

    def _virtual_gap(
        self, place: ObjectPlace, dataset: h5py.Dataset, first: int, last: int, above: tuple[ObjectPlace, ...]
    ) -> str:
        covered = np.zeros(len(dataset), np.int64)
        for source in dataset.virtual_sources():
            rows, points = _rows_of(source.vspace)
            is_within = rows < len(dataset)  # a pattern of block numbers has no end
            rows, points = rows[is_within], np.broadcast_to(points, rows.shape)[is_within]
            covered[rows] += points
            file_name, path = (name.replace("%%", "\0") for name in (source.file_name, source.dset_name))
            if not ((first <= rows) & (rows < last)).any() or "%b" in file_name + path:
                continue  # a pattern of block numbers: the sources that exist decide how long the dataset is
            file_name, path = file_name.replace("\0", "%"), path.replace("\0", "%")
            where = f"{place} takes rows {rows.min()}..{rows.max()} from {file_name}:{path}"
            try:
                file = place.file if file_name == "." else self._beside(place.file, file_name, file_name)
                behind = self._followed(file, path, 0)
                start, stop, problem = _taken(source, self.shape(behind))
                if len(rows) == stop - start == rows.max() - rows.min() + 1:  # row by row: those of the episode count
                    skipped = max(0, first - rows.min())
                    start, stop = start + skipped, min(stop, start + last - rows.min())
                if problem := problem or self._gap(behind, start, stop, above):
                    return f"{where}: {problem}"
            except RobotroveError as exc:
                return f"{where}: {exc.where} {exc.found}"
        lost = first + np.flatnonzero(covered[first:last] < prod(dataset.shape[1:]))
        return _span(place, lost, 0, "no source in this virtual dataset")


def _opened(path: Path) -> h5py.File:
    failure = OSError()
    for locking in (False, "best-effort", True):  # HDF5 wants the mode in which the reader has it open already
        try:
            return h5py.File(path, "r", locking=locking)
        except OSError as exc:
            failure = exc
    raise _unreadable(str(path), failure) from failure


def _unreadable(where: str, exc: Exception) -> RobotroveError:
    return RobotroveError(where, f"is unreadable for h5py: {exc}")


def _bands(dataset: h5py.Dataset) -> list[int]:
    """Return the number of chunks along each axis; none where it has no chunks."""
    return [ceil(size / chunk) for size, chunk in zip(dataset.shape, dataset.chunks or (), strict=False)]


def _unstored(dataset: h5py.Dataset, first: int, last: int) -> Rows:
    """Return the rows, counted from `first`, that miss a chunk."""
    bands, *tiles = _bands(dataset)
    if dataset.id.get_num_chunks() == bands * prod(tiles):
        return np.zeros(0, np.int64)
    stored = np.zeros(bands, np.int64)

    def count(chunk: Any) -> None:
        stored[chunk.chunk_offset[0] // dataset.chunks[0]] += 1

    dataset.id.chunk_iter(count)
    return np.flatnonzero(stored[np.arange(first, last) // dataset.chunks[0]] < prod(tiles))


def _span(place: ObjectPlace, rows: Rows, first: int, what: str) -> str:
    if not len(rows):
        return ""
    return f"{place}: {len(rows)} rows between {first + rows[0]} and {first + rows[-1]} have {what}"


def _rows_of(space: h5py.h5s.SpaceID) -> tuple[Rows, Rows]:
    """Return the rows that a selection of a virtual dataset covers, and the number of its points in each, or in all."""
    if _is_regular(space):
        start, stride, count, block = space.get_regular_hyperslab()
        rows = np.arange(start[0], min(space.shape[0], start[0] + stride[0] * (count[0] - 1) + block[0]))
        points = prod(n * size for n, size in zip(count[1:], block[1:], strict=True))
        return rows[(rows - start[0]) % stride[0] < block[0]], np.array(points)
    if space.get_select_type() != h5py.h5s.SEL_HYPERSLABS:
        (low, *_), (high, *_) = space.get_select_bounds()
        return np.arange(low, high + 1), np.array(space.get_select_npoints() // (high + 1 - low))
    points = np.zeros(space.shape[0], np.int64)
    for low, high in space.get_select_hyper_blocklist().astype(np.int64):
        points[low[0] : high[0] + 1] += np.prod(high[1:] - low[1:] + 1)
    rows = np.flatnonzero(points)
    return rows, points[rows]


def _is_regular(space: h5py.h5s.SpaceID) -> bool:
    return bool(space.get_select_type() == h5py.h5s.SEL_HYPERSLABS and space.is_regular_hyperslab())


def _taken(source: Any, shape: tuple[int, ...]) -> tuple[int, int, str]:
    """Return the rows [start, stop) that a virtual dataset takes of a source, and how the source is too small."""
    if source.src_space.get_select_type() == h5py.h5s.SEL_ALL:
        wanted, found = source.vspace.get_select_npoints(), prod(shape)
        return 0, shape[0], f"it has {found} values of {wanted}" if found < wanted else ""
    if _is_regular(source.src_space) and h5py.h5s.UNLIMITED in source.src_space.get_regular_hyperslab()[2]:
        return 0, shape[0], ""  # as many as it has
    low, high = source.src_space.get_select_bounds()
    is_inside = len(high) == len(shape) and all(end < size for end, size in zip(high, shape, strict=True))
    return low[0], high[0] + 1, "" if is_inside else f"it has shape {shape} and ends before {tuple(high)}"


def _external_gap(place: ObjectPlace, dataset: h5py.Dataset, first: int, last: int) -> str:
    row_bytes = prod(dataset.shape[1:]) * dataset.dtype.itemsize
    begin = 0
    for name, offset, size in dataset.external:
        file = place.file.parent / os.fsdecode(name)
        here = file.stat().st_size - offset if file.is_file() else 0
        end = begin + max(0, min(size, here))
        if end < min(begin + size, last * row_bytes) and first * row_bytes < begin + size:
            state = "is too short" if file.is_file() else "is missing"
            return f"{place} has no data for rows {max(first, end // row_bytes)}..{last - 1}: {file} {state}"
        begin += size
    return ""


def _external_rows(place: ObjectPlace, dataset: h5py.Dataset, first: int, last: int) -> Rows:
    """Return the numbers of rows, flat, from files beside the recording: HDF5 would look in the current folder."""
    row_bytes = prod(dataset.shape[1:]) * dataset.dtype.itemsize
    content, begin = bytearray(), 0
    for name, offset, size in dataset.external:
        low, high = max(first * row_bytes, begin), min(last * row_bytes, begin + size)
        if low < high:
            with open(place.file.parent / os.fsdecode(name), "rb") as stream:
                stream.seek(offset + low - begin)
                content += stream.read(high - low)
        begin += size
    return np.frombuffer(bytes(content), dataset.dtype.base)


def _tiles(size: int, step: int) -> Iterator[slice]:
    return (slice(begin, min(size, begin + step)) for begin in range(0, size, step))

"""HDF5 file: open it, name its damage, follow its links, compute the digest of its content."""

from __future__ import annotations

import errno
import hashlib
import os
import re
from collections.abc import Callable, Iterator, MutableSet
from contextlib import contextmanager, nullcontext, suppress
from importlib import import_module
from itertools import count
from math import prod
from pathlib import Path
from typing import Any, TypeAlias

import h5py
import numpy as np

from ...core.columns import check_size
from ...core.errors import EpisodeRejected, RobotroveError, in_utf8
from ...core.source_file import IRREGULAR, Reach, beside, check_regular, not_opened

_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}
# h5py's ways to say that an object is damaged, or of a type that numpy does not have.
DAMAGE = (OSError, RuntimeError, KeyError, ValueError, TypeError)

MAX_DIGEST_ROW = 64 * 1024
_MAX_LINKS = 32  # one that leads to the next; HDF5 itself follows 16
_MAX_OBJECTS = 100_000

# By default HDF5 looks for raw data files in the current folder, not beside the recording.
_BESIDE = h5py.h5p.create(h5py.h5p.DATASET_ACCESS)
_BESIDE.set_efile_prefix(b"${ORIGIN}")

# Registered numbers, https://github.com/HDFGroup/hdf5_plugins; those below 256 are HDF5's own.
_FILTERS = {
    1: "gzip",
    4: "szip",
    305: "lzo",
    307: "bzip2",
    32000: "lzf",
    32001: "blosc",
    32004: "lz4",
    32008: "bitshuffle",
    32013: "zfp",
    32015: "zstd",
    32017: "sz",
    32024: "sz3",
    32026: "blosc2",
    32028: "sperr",
}
_FIRST_REGISTERED = 256
_OF_H5PY = (1, 4, 32000)

Object: TypeAlias = h5py.Group | h5py.Dataset
RowCheck: TypeAlias = Callable[[h5py.Dataset, int, int], None]

HDF5_SUFFIXES = (".hdf5", ".h5")
_REACHES: dict[str, Reach] = {}  # of files, by real path, that may lead elsewhere than a file by itself
RENAMED_FROM = "robotrove_renamed_from"  # attribute of an episode that `repack` gave another name


class FlatGroup(h5py.Group):
    """One of the episodes that lie end to end in the datasets of a group.

    Attributes:
        rows: Its rows of each dataset with a row per frame.
        total: Rows of such a dataset.
    """

    def __init__(self, group: h5py.Group, rows: range, total: int) -> None:
        super().__init__(group.id)
        self.rows = rows
        self.total = total


def rows_of(group: h5py.Group, dataset: h5py.Dataset) -> range:
    """Return the rows of a dataset that belong to the episode in `group`: all, unless it has several end to end."""
    is_shared = isinstance(group, FlatGroup) and len(dataset) == group.total
    return group.rows if is_shared else range(len(dataset))


def split_key(key: str) -> tuple[str, range | None]:
    """Return the path of a group, and the rows of an episode in it: `data/a[12:24]` has 12 to 23 of data/a."""
    found = re.fullmatch(r"(.*)\[([0-9]+):([0-9]+)\]", key, re.DOTALL)
    return (found[1], range(int(found[2]), int(found[3]))) if found else (key, None)


def object_name(name: str | bytes) -> str:
    """Return the name of an object as text; h5py gives one that is no UTF-8 as bytes, and cannot open it."""
    return name if isinstance(name, str) else name.decode(errors="backslashreplace")


def undecodable(where: str, text: str) -> str:
    """Return the problem of a text that UTF-8 cannot hold, an empty string for others."""
    if in_utf8(text) == text:
        return ""
    with suppress(UnicodeEncodeError):  # a surrogate that is written in JSON stands for no bytes
        return f"{where} is not UTF-8: it begins with the bytes {text.encode(errors='surrogateescape')[:8].hex(' ')}"
    return f"{where} is not UTF-8: {in_utf8(text[:20])}"


def natural_key(text: str) -> tuple[tuple[str | int, ...], str]:
    """Return a sort key that puts demo_2 before demo_10; any two strings can be compared.

    The parts alternate text, number, text …, so equal positions always hold equal types; the text
    itself comes last and orders demo_1 and demo_01.
    """
    parts = re.split(r"([0-9]+)", text)
    return tuple(int(part) if index % 2 else part for index, part in enumerate(parts)), text


def open_hdf5(path: Path, *, locking: bool, reach: Reach | None = None, is_fresh: bool = False) -> h5py.File:
    """Open a demonstration file for reading.

    Args:
        path: The file.
        locking: True to take HDF5's shared lock, which a writer's lock refuses; where the file
            system knows no locks the file is opened without one. False does not lock, unless this
            process has the file open with a lock already.
        reach: Folders of other files that its objects may be in; its own by default.
        is_fresh: True for the data as they are now, also behind links, where this process has the file open already.

    Raises:
        EpisodeRejected: missing_file, empty_file, not_hdf5, truncated_file, being_written or
            unreadable_file.
    """
    check_regular(path)
    _set_reach(path, reach)
    # "best-effort" is h5py's default; HDF5 insists that a file which this process has open already is
    # opened again in the same mode, whichever that was.
    failure = OSError()
    driver = "stdio" if is_fresh else None  # HDF5 shares what it holds of an inode only with the same driver
    for mode in ("best-effort", True, False) if locking else (False, "best-effort", True):
        try:
            return h5py.File(path, "r", driver=driver, locking=mode)
        except OSError as exc:
            failure = exc
            if exc.errno not in _NO_LOCKS and "flag values don't match" not in str(exc):
                break
    raise not_opened(path, failure) from failure


@contextmanager
def new_hdf5(path: Path, *, track_order: bool = False, oldest: str = "earliest") -> Iterator[h5py.File]:
    """Make a file, give it to the block, and close it.

    Args:
        path: The file; it must not exist.
        track_order: Keep the order in which members of the root are created.
        oldest: First format of HDF5 that the file may have, `libver` of h5py.

    Raises:
        RobotroveError: If it cannot be written.
    """
    try:
        with h5py.File(path, "x", track_order=track_order, libver=(oldest, "latest")) as file:
            yield file
    except (OSError, RuntimeError) as exc:  # as HDF5 says it, for example of a disk that is full
        raise RobotroveError(str(path), f"HDF5 cannot write it: {exc}", "a folder that exists, with room") from exc


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Turn HDF5's errors while reading `what` into EpisodeRejected("unreadable_data")."""
    try:
        yield
    except DAMAGE as exc:
        raise EpisodeRejected("unreadable_data", f"{what} cannot be read: {exc}") from exc


class LinkedGroup(h5py.Group):
    """A group behind an external link; its parent is the group with the link, as that of an episode says more of it."""

    def __init__(self, group: h5py.Group, parent: h5py.Group) -> None:
        super().__init__(group.id)
        self._parent = parent

    @property
    def parent(self) -> h5py.Group:
        """The group that contains the link."""
        return self._parent


def lookup(group: h5py.Group, path: str, files: MutableSet[Path] | None = None) -> Object | None:
    """Return the object at a path, links followed; None if nothing has this name.

    Args:
        group: Where a relative path begins.
        path: Path as HDF5 writes it; one that begins with "/" is of the group's file.
        files: Takes the other files that links on the way lead to.

    Raises:
        EpisodeRejected: For a link that leads nowhere: missing_file, missing_dataset, or what `open_hdf5` raises for
            its file; outside_file if it, or HDF5 for the data of a dataset, would leave the reach of the recording;
            unreadable_data for a damaged object.
    """
    with reading(f"{group.name.rstrip('/')}/{path}"):
        found = _find(group, path, set() if files is None else files, 0)
        _check_sources(found, set())
        return found


def member(group: h5py.Group, path: str) -> Object | None:
    """Return the object at a path; None also where a link on it leads nowhere, or out of reach."""
    with suppress(EpisodeRejected):
        return lookup(group, path)
    return None


def episode_group(file: h5py.File, key: str, files: MutableSet[Path] | None = None) -> h5py.Group:
    """Return the group of an episode; `files` takes the other files that links to it lead to.

    Raises:
        EpisodeRejected: missing_dataset if it does not exist, or what `lookup` raises.
    """
    group = lookup(file, key or "/", files)
    if not isinstance(group, h5py.Group):
        raise EpisodeRejected("missing_dataset", f"{file.filename} has no group {key!r}")
    return group


def open_dataset(group: h5py.Group, path: str) -> h5py.Dataset:
    """Open a dataset again that was found before.

    Raises:
        EpisodeRejected: unreadable_data if it no longer exists.
    """
    found = lookup(group, path)
    if not isinstance(found, h5py.Dataset):
        raise EpisodeRejected("unreadable_data", f"{path} in {file_name(group)} is no longer a dataset")
    return found


def _find(group: h5py.Group, path: str, files: MutableSet[Path], n_links: int) -> Object | None:
    found: Object | None = group["/"] if path.startswith("/") else group
    for name in path.encode(errors="surrogateescape").split(b"/"):
        if name not in (b"", b"."):
            found = _member(found, name, files, n_links) if isinstance(found, h5py.Group) else None
    return found


def _member(group: h5py.Group, name: bytes, files: MutableSet[Path], n_links: int) -> Object | None:
    links = group.id.links
    return _reached(group, name, links.get_info(name).type, files, n_links) if links.exists(name) else None


def _reached(group: h5py.Group, name: bytes, kind: int, files: MutableSet[Path], n_links: int) -> Object:
    if kind == h5py.h5l.TYPE_HARD:
        return _opened(group, name)
    link = f"link {group.name.rstrip('/')}/{object_name(name)}"
    if n_links == _MAX_LINKS:
        raise EpisodeRejected("missing_dataset", f"{link} is behind {_MAX_LINKS} others: they lead in a circle")
    value = group.id.links.get_val(name)
    if kind == h5py.h5l.TYPE_SOFT:
        path, where = os.fsdecode(value), file_name(group)
        target = _find(group, path, files, n_links + 1)
        expected, real = (where, "") if target is None else (file_name(target), target.name)
    else:
        where, path = map(os.fsdecode, value)
        file = beside(file_name(group), where)
        if file is None:
            raise EpisodeRejected("missing_file", f"{link} leads to {path} in {where}, and this file is missing")
        try:
            with open_from(group, file, files) as other:
                target = _find(other, path, files, n_links + 1)
                expected, real = (where, "") if target is None else (file_name(target), target.name)
        except EpisodeRejected as exc:
            raise EpisodeRejected(exc.reason, f"{link} leads to {path} in {where}: {exc.detail}") from exc
    if target is None:
        raise EpisodeRejected("missing_dataset", f"{link} leads to {path} in {where}, which has no such object")
    item = _opened(group, name)
    if not os.path.samefile(file_name(item), expected):
        taken = f"{link} leads to {expected}, but HDF5 takes {file_name(item)}; unset HDF5_EXT_PREFIX"
        raise EpisodeRejected("missing_file", taken)
    if kind == h5py.h5l.TYPE_SOFT and os.path.samefile(expected, file_name(group)):
        return item
    if item.name != real:  # HDF5 names it by the first of several links, and its own file may not have that name
        item = _opened(item.file, real.encode(errors="surrogateescape"))
    return LinkedGroup(item, group) if isinstance(item, h5py.Group) else item


def _opened(group: h5py.Group, name: bytes) -> Object:
    try:
        item = group[name]
    except KeyError:  # it is open with that prefix already, or damaged
        return h5py.Dataset(h5py.h5d.open(group.id, name, _BESIDE))
    if isinstance(item, h5py.Dataset):
        names = [name for name, _, _ in item.external or ()]
        if not all(map(os.path.isabs, names)):
            del item  # HDF5 refuses another prefix while the dataset is open
            item = h5py.Dataset(h5py.h5d.open(group.id, name, _BESIDE))
    return item


def open_from(item: Object, path: Path, files: MutableSet[Path]) -> h5py.File:
    """Open the file that a link or a virtual dataset leads to exactly as HDF5 will do it, and add it to `files`.

    Raises:
        EpisodeRejected: outside_file, or see `open_hdf5`. HDF5 takes fill values for a source that it cannot open, for
            example because this process has it open with other locks.
    """
    reach = _reach(item)
    if problem := reach.problem(path):
        raise EpisodeRejected("outside_file", problem)
    files.add(path)
    check_regular(path)
    _set_reach(path, reach)
    access = h5py.h5i.get_file_id(item.id).get_access_plist()
    try:
        return h5py.File(h5py.h5f.open(os.fsencode(path), h5py.h5f.ACC_RDONLY, access))
    except OSError as exc:
        raise not_opened(path, exc) from exc


def _set_reach(path: Path, reach: Reach | None) -> None:
    real = os.path.realpath(path)
    _REACHES.pop(real, None)
    if reach is not None:
        _REACHES[real] = reach


def _reach(item: Object) -> Reach:
    path = file_name(item)
    return _REACHES.get(os.path.realpath(path)) or Reach.of(Path(path))


def _check_sources(found: Object | None, seen: set[tuple[str, str]]) -> None:
    """Refuse a dataset with rows in files out of reach: HDF5 opens them by itself, and some for the shape alone.

    Args:
        found: Any object.
        seen: Virtual datasets that take rows of it, and others that are checked.
    """
    if not isinstance(found, h5py.Dataset):
        return
    folder = os.path.dirname(os.path.abspath(file_name(found)))
    for name, _, _ in found.external or ():
        raw = Path(folder, os.fsdecode(name))
        if raw.exists() and (problem := _reach(found).problem(raw)):
            raise EpisodeRejected("outside_file", f"{found.name} has rows in another file: {problem}")
        if not found.shape:
            check_regular(raw)
    place = os.path.realpath(file_name(found)), str(found.name)
    if not found.is_virtual or place in seen:
        return
    seen.add(place)
    for source in found.virtual_sources():
        names = source.file_name, source.dset_name
        is_pattern = any("%b" in name.replace("%%", "") for name in names)
        last = None
        for number in count() if is_pattern else range(1):
            file, path = (block_name(name, number) for name in names)
            block = _check_source(found, file, path, seen)
            if block is None:  # HDF5 stops here
                break
            if block == last:
                raise EpisodeRejected("unreadable_data", f"sources of the virtual dataset {found.name} have no end")
            last = block


def _check_source(
    dataset: h5py.Dataset, name: str, path: str, seen: set[tuple[str, str]]
) -> tuple[Path | None, str] | None:
    """Return a source of a virtual dataset, None if it is missing; refuse one that is, or takes rows, out of reach."""
    file = None if name == "." else beside(file_name(dataset), name)
    if file is None and name != ".":
        return None
    try:
        with nullcontext(dataset.file) if file is None else open_from(dataset, file, set()) as opened:
            found = _find(opened, path, set(), 0)
            _check_sources(found, seen)
            return (file, path) if found is not None else None
    except EpisodeRejected as exc:
        if exc.reason == "outside_file" or exc.detail.endswith(IRREGULAR):
            raise EpisodeRejected(exc.reason, f"{dataset.name} takes rows of {path} in {name}: {exc.detail}") from exc
        return None  # `check_rows` names it


def block_name(pattern: str, number: int) -> str:
    """Return a name of a source of a virtual dataset, in which `%b` counts blocks."""
    return pattern.replace("%%", "\0").replace("%b", str(number)).replace("\0", "%")


def file_name(item: Object) -> str:
    """Return the path of the file that an object is in, as HDF5 opened it."""
    return os.fsdecode(h5py.h5f.get_name(item.id))


def objects(group: h5py.Group, files: MutableSet[Path] | None = None) -> dict[str, Object | EpisodeRejected]:
    """Return everything below a group by path relative to it, in natural order, links followed.

    An object is listed under each of its names, and what is below a group that contains itself once. A link that leads
    nowhere is listed as its rejection.

    Args:
        group: The group.
        files: Takes the other files that links lead to.

    Raises:
        EpisodeRejected: unreadable_data if the file's structure is damaged, or links multiply its objects.
    """
    found = {path: item for path, item, _ in _walk(group, set() if files is None else files)}
    return dict(sorted(found.items(), key=lambda entry: natural_key(entry[0])))


def _walk(group: h5py.Group, files: MutableSet[Path]) -> Iterator[tuple[str, Object | EpisodeRejected, bool]]:
    """Yield path, object and whether hard links alone lead to it; parents first, siblings by name."""
    count = 0
    pending: list[tuple[str, Object | EpisodeRejected, bool, frozenset[Any]]] = [("", group, True, frozenset())]
    while pending:
        path, item, is_hard, above = pending.pop()
        if path:
            yield path, item, is_hard
        if not isinstance(item, h5py.Group) or (address := _address(item)) in above:
            continue
        with reading(f"group {item.name}"):
            links = group_links(item)
            members = [_listed(item, name, kind, files) for name, kind in links]
        count += len(links)
        if count > _MAX_OBJECTS:
            detail = (
                f"group {group.name} has more than {_MAX_OBJECTS:,} objects, counted under each name that links give"
            )
            raise EpisodeRejected("unreadable_data", detail)
        for (name, kind), member in reversed(list(zip(links, members, strict=True))):
            below = f"{path}/{object_name(name)}" if path else object_name(name)
            pending.append((below, member, is_hard and kind == h5py.h5l.TYPE_HARD, above | {address}))


def group_links(group: h5py.Group) -> list[tuple[bytes, int]]:
    """Return name and type of each link in a group, in the order in which HDF5 visits them."""
    found: list[tuple[bytes, int]] = []
    group.id.links.iterate(lambda name, link: found.append((name, link.type)), info=True)
    return found


def _listed(group: h5py.Group, name: bytes, kind: int, files: MutableSet[Path]) -> Object | EpisodeRejected:
    is_hard = kind == h5py.h5l.TYPE_HARD
    try:
        with nullcontext() if is_hard else reading(f"{group.name.rstrip('/')}/{object_name(name)}"):
            item = _reached(group, name, kind, files, 0)
            _check_sources(item, set())
            return item
    except EpisodeRejected as exc:
        # One that was raised refers to this stack, and so keeps files open that other links lead to.
        return EpisodeRejected(exc.reason, exc.detail)


def _address(item: Object) -> tuple[int, int]:
    with reading(str(item.name)):
        info = h5py.h5o.get_info(item.id)
    return info.fileno, info.addr


def stores_all_rows(dataset: h5py.Dataset) -> bool:
    """True if all rows are stored in the dataset's own file, by filters that HDF5 has; False if that is to be seen."""
    made = dataset.id.get_create_plist()
    if made.get_layout() == h5py.h5d.VIRTUAL or made.get_external_count():
        return False
    if missing_filter(dataset):
        return False
    if dataset.chunks is not None:
        return bool(dataset.id.get_num_chunks() == prod(chunk_grid(dataset)))
    return not dataset.size or dataset.id.get_storage_size() > 0


def missing_filter(dataset: h5py.Dataset) -> str:
    """Return name and number of a dataset's filter that HDF5 lacks; empty if it has all of them."""
    for code, name in _filters(dataset):
        if not h5py.h5z.filter_avail(code):
            with suppress(ImportError):
                import_module("hdf5plugin")  # which registers its filters
            if not h5py.h5z.filter_avail(code):
                return name
    return ""


def check_filters(dataset: h5py.Dataset) -> None:
    """Refuse a dataset with a filter that HDF5 lacks; its own message would not name it.

    Raises:
        EpisodeRejected: missing_filter.
    """
    if name := missing_filter(dataset):
        text = f"{place(dataset)} is packed by the HDF5 filter {name}, which is missing: pip install hdf5plugin"
        raise EpisodeRejected("missing_filter", text)


def place(dataset: h5py.Dataset) -> str:
    """Return a dataset and the name of its file, for messages."""
    return f"{dataset.name} in {os.path.basename(file_name(dataset))}"


def check_declared(dataset: h5py.Dataset, n_rows: int) -> None:
    """Refuse some rows of a dataset by what it declares; see `core.columns.check_size`."""
    shape, dtype = form(dataset)
    stored = dataset.id.get_storage_size if dataset.chunks else int
    check_size(place(dataset), shape, dtype.itemsize, n_rows, stored)


def compression(dataset: h5py.Dataset) -> str | None:
    """Return what a dataset is compressed by, with the number of a filter that is not h5py's own; None without."""
    names = [name for code, name in _filters(dataset) if code in _OF_H5PY or code >= _FIRST_REGISTERED]
    return ", ".join(names) or None


def _filters(dataset: h5py.Dataset) -> Iterator[tuple[int, str]]:
    made = dataset.id.get_create_plist()
    for index in range(made.get_nfilters()):
        code, _, _, text = made.get_filter(index)
        name = _FILTERS.get(code) or text.decode(errors="replace") or "unknown"
        yield code, name if code in _OF_H5PY else f"{name} ({code})"


def chunk_grid(dataset: h5py.Dataset) -> tuple[int, ...]:
    """Return the number of a dataset's chunks along each axis."""
    return tuple(-(-size // chunk) for size, chunk in zip(dataset.shape, dataset.chunks, strict=True))


def datasets(group: h5py.Group) -> dict[str, h5py.Dataset]:
    """Return the datasets below a group by path relative to it, in natural order, links followed."""
    return {path: item for path, item in objects(group).items() if isinstance(item, h5py.Dataset)}


def searched_datasets(group: h5py.Group) -> dict[str, h5py.Dataset]:
    """Return the datasets below a group in which a layout searches: a link that leads nowhere may be one of them.

    Raises:
        EpisodeRejected: See `lookup`.
    """
    found = objects(group)
    for item in found.values():
        if isinstance(item, EpisodeRejected):
            raise item
    return {path: item for path, item in found.items() if isinstance(item, h5py.Dataset)}


def source_digests(group: h5py.Group, check: RowCheck = lambda dataset, start, stop: None) -> tuple[str, str]:
    """Return the digest of an episode's content, independent of chunks and compression, and that of 0.2.2.

    sha256 over the sorted (path, shape, dtype, attributes) of the group and all below it, and the
    first and last row of its numeric datasets of at most two dimensions. Rows of images are left
    out: reading one row of h5py's automatic chunks inflates a whole band of frames. So are rows
    over 64 KiB, which are encoded images. Of a `FlatGroup` the rows of the episode count, and where they are. Of an
    object with several hard links the first name counts. Up to 0.2.2 soft and external links did not count: only with
    them do the two differ.

    Args:
        group: The episode.
        check: Refuses rows of a virtual dataset that HDF5 does not have, as `check_rows` does; they are not read.

    Raises:
        EpisodeRejected: unreadable_data if an object of the episode is damaged.
    """
    seen = set()
    parts = []
    for path, item, is_hard in (("", group, True), *_walk(group, set())):
        if is_hard and not isinstance(item, EpisodeRejected):
            if (address := _address(item)) in seen:
                continue
            seen.add(address)
        with reading(f"{group.name}/{path}"):
            parts.append((path, b"".join(_described(group, path, item, check)), is_hard))
    now, before = hashlib.sha256(), hashlib.sha256()
    if isinstance(group, FlatGroup):
        now.update(f"{group.rows}\0".encode())
    for _, content, is_hard in sorted(parts):
        now.update(content)
        if is_hard:
            before.update(content)
    return now.hexdigest(), before.hexdigest()


def _described(group: h5py.Group, path: str, item: Object | EpisodeRejected, check: RowCheck) -> Iterator[bytes]:
    if isinstance(item, EpisodeRejected):
        yield f"{path}\0leads nowhere\0".encode(errors="surrogateescape")
        return
    shape = _shape(group, item) if isinstance(item, h5py.Dataset) else "group"
    dtype = dtype_name(item.dtype) if isinstance(item, h5py.Dataset) else ""
    yield f"{path}\0{shape}\0{dtype}\0".encode(errors="surrogateescape")
    for name in sorted(_attribute_names(item), key=lambda name: name if isinstance(name, bytes) else name.encode()):
        if path or name != RENAMED_FROM:  # a renamed episode is the same one
            yield f"{name if isinstance(name, str) else repr(name)}\0".encode(errors="surrogateescape")
            yield canonical(item.attrs[name])
    if isinstance(item, h5py.Dataset):
        yield from _edge_rows(group, item, check)


def _attribute_names(item: Object) -> list[str | bytes]:
    """Return the names of an object's attributes as h5py does, which would open it again without `_BESIDE` for it."""
    names = [h5py.h5a.open(item.id, index=index).name for index in range(h5py.h5a.get_num_attrs(item.id))]
    return [_decoded(name) for name in names]


def _decoded(name: bytes) -> str | bytes:
    try:
        return name.decode()
    except UnicodeDecodeError:
        return name


def _shape(group: h5py.Group, dataset: h5py.Dataset) -> tuple[int, ...]:
    return (len(rows_of(group, dataset)), *dataset.shape[1:]) if dataset.shape else ()


def _edge_rows(group: h5py.Group, dataset: h5py.Dataset, check: RowCheck) -> Iterator[bytes]:
    if dataset.shape is None or not 1 <= len(dataset.shape) <= 2 or dataset.dtype.kind not in "biufc":
        return
    if len(dataset) == 0 or prod(dataset.shape[1:]) * dataset.dtype.itemsize > MAX_DIGEST_ROW:
        return
    folder = os.path.dirname(os.path.abspath(file_name(dataset)))
    if not all(os.path.isfile(os.path.join(folder, os.fsdecode(name))) for name, _, _ in dataset.external or ()):
        yield b"raw file is missing"  # of a column `check_rows` names it; without a column it is no reason to reject
        return
    rows = rows_of(group, dataset)
    check_filters(dataset)
    if dataset.is_virtual and not _can_be_read(dataset, rows, check):
        yield b"rows are missing"
        return
    yield dataset[rows[0]].tobytes()
    yield dataset[rows[-1]].tobytes()


def _can_be_read(dataset: h5py.Dataset, rows: range, check: RowCheck) -> bool:
    """True if HDF5 gives the first and last row of a virtual dataset, or fill values for a missing source.

    It fails where a source ends early, and crashes where virtual datasets lead in a circle.
    """
    try:
        for row in (rows[0], rows[-1]):
            check(dataset, row, row + 1)
    except EpisodeRejected as exc:
        return exc.reason in ("missing_file", "missing_dataset")
    return True


def form(dataset: h5py.Dataset) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return shape and dtype of a dataset as it is read: rows of the type H5T_ARRAY have axes of their own."""
    shape, dtype = tuple(dataset.shape or ()), dataset.dtype
    while dtype.subdtype is not None:
        shape, dtype = (*shape, *dtype.shape), dtype.base
    return shape, dtype


def dtype_name(dtype: np.dtype[Any]) -> str:
    """Return a name for a dtype that depends on nothing but the file: `float32`, `string`, `vlen uint8`."""
    if h5py.check_string_dtype(dtype) is not None:
        return "string"
    vlen = h5py.check_vlen_dtype(dtype)
    if vlen is not None:
        return f"vlen {np.dtype(vlen).name}"
    return dtype.name if dtype.names is None else str(dtype.descr)


def canonical(value: Any) -> bytes:
    """Return a value as bytes that do not depend on the process or the HDF5 version."""
    if isinstance(value, bytes | str):
        data = value.encode(errors="surrogateescape") if isinstance(value, str) else bytes(value)
        return b"s%d:" % len(data) + data
    if isinstance(value, h5py.Empty):
        return b"empty"
    if isinstance(value, h5py.Reference | h5py.RegionReference):
        return b"reference"  # an address in this file: it changes when the file is repacked
    array = np.asarray(value)
    head = f"{array.shape}{dtype_name(array.dtype)}".encode()
    if array.dtype.names is not None and array.dtype.hasobject:  # netCDF-4: a reference and a number
        return head + b"".join(canonical(array[name]) for name in array.dtype.names)
    if array.dtype.kind == "O":
        return head + b"".join(map(canonical, array.ravel()))
    return head + array.tobytes()

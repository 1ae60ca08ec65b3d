"""Tree of an HDF5 file, as plain values for `robotrove inspect`."""

from __future__ import annotations

import io
import os
import re
from collections import Counter
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np

from ...core.errors import EpisodeRejected
from .hdf5_file import (
    DAMAGE,
    compression,
    dtype_name,
    form,
    group_links,
    lookup,
    missing_filter,
    natural_key,
    object_name,
    open_hdf5,
)

MAX_VALUES = 4  # of an attribute that differs
_DEEPEST = 250  # groups in groups; no recorder has more than some, and a damaged file may lead on and on
_NUMBERS = re.compile("[0-9a-fA-F]*[0-9][0-9a-fA-F]*")  # demo_7, and names that are hashes
_END = 1 << 42  # more than the size of any recording; file systems seek no further than 16 TB


class _Part(io.FileIO):
    """A file that is shorter than its header says: what lies behind its end cannot be read."""

    def __repr__(self) -> str:
        """Return the path: h5py names the file by this text."""
        return str(self.name)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return super().seek(_END) if whence == io.SEEK_END else super().seek(offset, whence)

    def readinto(self, buffer: Any) -> int:
        start, count = self.tell(), len(buffer)
        if super().readinto(buffer) != count:
            raise OSError(f"bytes {start:,} to {start + count - 1:,} are behind the end of the file")
        return count


@contextmanager
def open_part(path: Path) -> Iterator[tuple[h5py.File, EpisodeRejected | None]]:
    """Open a file, also one that is truncated or being written; its objects are readable as far as they are stored.

    Yields:
        The file, and its fault: truncated_file or being_written; None if it has none.

    Raises:
        EpisodeRejected: See `open_hdf5`; also for these faults, if the root group cannot be read.
    """
    try:
        file, fault = open_hdf5(path, locking=True), None
    except EpisodeRejected as exc:
        if exc.reason not in ("truncated_file", "being_written"):
            raise
        try:
            file, fault = h5py.File(_Part(path), "r"), exc
            list(file)
        except DAMAGE:
            raise exc from None
    with file:
        yield file, fault


@dataclass(frozen=True, slots=True)
class Node:
    """One object of a file.

    Attributes:
        path: Absolute path.
        kind: group, dataset, type (named, for datasets and attributes), link (not followed) or unreadable.
        level: Depth, 0 for the root.
        shape: Shape of a dataset, None for the rest.
        dtype: numpy's name of the dtype of a dataset or type, `string` or `vlen uint8`; empty for the rest.
        chunks: Shape of a dataset's chunks, None if it is contiguous.
        compression: Name of a dataset's compression, None without.
        size: Bytes that a dataset takes in the file.
        attrs: Attributes as plain Python values.
        n_children: Members of a group.
        target: Where a soft or external link leads, as PATH or FILE:PATH; the first other file that a dataset has rows
            in, likewise; empty for other objects.
        problem: Why a soft or external link leads nowhere, what reading a dataset lacks, why its other files are not
            read (then its shape is unknown), or HDF5's words on an object that is unreadable; empty for other objects.
    """

    path: str
    kind: Literal["group", "dataset", "type", "link", "unreadable"]
    level: int
    shape: tuple[int, ...] | None
    dtype: str
    chunks: tuple[int, ...] | None
    compression: str | None
    size: int
    attrs: dict[str, Any]
    n_children: int
    target: str = ""
    problem: str = ""


def tree(file: h5py.File, max_level: int | None = None, path: str = "/") -> Iterator[Node]:
    """Yield the object at `path` and all below it, parents first, siblings in natural order.

    Args:
        file: An open file.
        max_level: Deepest level to yield, the root being 0; None for all.
        path: Where to begin, an absolute path; links on it are followed.
    """
    yield from _walk(file, path, len([part for part in path.split("/") if part]), max_level, set(), True)


def _walk(
    file: h5py.File, path: str, level: int, max_level: int | None, seen: set[int], is_hard: bool
) -> Iterator[Node]:
    try:
        if not is_hard:
            yield _link(file, path, level, file.get(path, getlink=True))
            return
        item = file[path]
        if isinstance(item, h5py.Dataset) and (item.external or item.is_virtual):
            del item
            yield _with_other_files(file, path, level)
            return
        address = h5py.h5o.get_info(item.id).addr
        node = _node(item, path, level, _attributes(item))
        links = group_links(item) if isinstance(item, h5py.Group) else []
    except DAMAGE as exc:
        yield replace(_bare(path, "unreadable", level), problem=str(exc))
        return
    if isinstance(item, h5py.Group):
        if address in seen:  # a hard link, back up or beside: groups linked twice at each level would double there
            yield _bare(path, "link", level)
            return
        seen.add(address)
        if level == _DEEPEST:
            yield replace(_bare(path, "unreadable", level), problem=f"{_DEEPEST} groups are above it")
            return
    yield node
    if max_level is None or level < max_level:
        for name, hard in sorted(map(_member, links), key=lambda member: natural_key(member[0])):
            yield from _walk(file, f"{path.rstrip('/')}/{name}", level + 1, max_level, seen, hard)


def _member(link: tuple[bytes, int]) -> tuple[str, bool]:
    """Return the name of a member and whether it is an object that h5py finds by it, not a soft or external link."""
    name = object_name(link[0])
    return name, link[1] == h5py.h5l.TYPE_HARD and name.encode() == link[0]


def _bare(path: str, kind: Literal["dataset", "link", "unreadable"], level: int) -> Node:
    return Node(path, kind, level, None, "", None, None, 0, {}, 0)


def _link(file: h5py.File, path: str, level: int, link: h5py.SoftLink | h5py.ExternalLink | None) -> Node:
    if link is None:  # h5py does not find a name that is no text
        return _bare(path, "link", level)
    target = f"{link.filename}:{link.path}" if isinstance(link, h5py.ExternalLink) else link.path
    problem = ""
    try:
        lookup(file, path)
    except EpisodeRejected as exc:
        problem = exc.detail
    return replace(_bare(path, "link", level), target=target, problem=problem)


def _other_file(dataset: h5py.Dataset) -> str:
    """Return the first other file that a dataset has rows in, with the dataset there; empty without any."""
    names = [os.fsdecode(name) for name, _, _ in dataset.external or ()]
    if dataset.is_virtual:
        names += [f"{part.file_name}:{part.dset_name}" for part in dataset.virtual_sources() if part.file_name != "."]
    return names[0] if names else ""


def _with_other_files(file: h5py.File, path: str, level: int) -> Node:
    """Return a dataset with rows in other files; HDF5 opens these for its shape, so they are checked before."""
    item = file[path]
    bare = replace(_bare(path, "dataset", level), dtype=dtype_name(item.dtype), attrs=_attributes(item))
    bare = replace(bare, target=_other_file(item))
    del item  # `lookup` opens raw files beside the recording, and HDF5 takes no other folder while it is open
    try:
        found = lookup(file, path)
    except EpisodeRejected as exc:
        return replace(bare, problem=exc.detail)
    return bare if found is None else replace(_node(found, path, level, bare.attrs), target=bare.target)


def _attributes(item: h5py.Group | h5py.Dataset | h5py.Datatype) -> dict[str, Any]:
    return {name: plain(item.attrs[name]) for name in sorted(map(object_name, item.attrs), key=natural_key)}


def _node(item: h5py.Group | h5py.Dataset | h5py.Datatype, path: str, level: int, attrs: dict[str, Any]) -> Node:
    if isinstance(item, h5py.Dataset):
        size = item.id.get_storage_size()
        shape, dtype = form(item)
        shown = None if item.shape is None else shape
        node = Node(path, "dataset", level, shown, dtype_name(dtype), item.chunks, compression(item), size, attrs, 0)
        is_missing = node.compression and missing_filter(item)
        return replace(node, problem="needs `pip install hdf5plugin`") if is_missing else node
    if isinstance(item, h5py.Datatype):
        return Node(path, "type", level, None, dtype_name(item.dtype), None, None, 0, attrs, 0)
    return Node(path, "group", level, None, "", None, None, 0, attrs, len(item))


def plain(value: Any) -> Any:
    """Return an attribute as a plain Python value that JSON can hold."""
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    return value if isinstance(value, str | int | float | bool) else str(value)


@dataclass(slots=True)
class Spread:
    """The values that an attribute has in objects that are alike.

    Attributes:
        values: Different ones in the order of the objects, at most 5.
        low: Smallest, None if one is not a number.
        high: Largest, likewise.
    """

    values: list[Any]
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, value: Any) -> Spread:
        """Return the spread of one value."""
        number = value if isinstance(value, int | float) and not isinstance(value, bool) else None
        return cls([value], number, number)

    def add(self, other: Spread) -> None:
        """Take in the values of another object."""
        self.values += [value for value in other.values if value not in self.values][: MAX_VALUES + 1]
        del self.values[MAX_VALUES + 1 :]
        if self.low is None or self.high is None or other.low is None or other.high is None:
            self.low = self.high = None
        else:
            self.low, self.high = min(self.low, other.low), max(self.high, other.high)


@dataclass(slots=True)
class Branch:
    """An object and all below it; sibling groups with equal structure are one branch, that of the first.

    Attributes:
        node: The first of them.
        names: Names of all, in natural order.
        rows: Fewest and most rows: of a dataset its first axis, of a group the usual first axis above 1 of its
            datasets. None if it has none.
        size: Bytes of all in the file, with what is below them.
        attrs: Attributes of all.
        below: Members of the first.
    """

    node: Node
    names: list[str]
    rows: tuple[int, int] | None
    size: int
    attrs: dict[str, Spread]
    below: list[Branch] = field(default_factory=list)

    def add(self, other: Branch) -> None:
        """Take in a branch of equal structure."""
        self.names += other.names
        if self.rows and other.rows:
            self.rows = min(self.rows[0], other.rows[0]), max(self.rows[1], other.rows[1])
        self.size += other.size
        for name, spread in other.attrs.items():
            if name in self.attrs:
                self.attrs[name].add(spread)
            else:
                self.attrs[name] = spread
        for own, member in zip(self.below, other.below, strict=True):
            own.add(member)


class _Open:
    """A branch to which objects are still added."""

    def __init__(self, node: Node, folds: bool) -> None:
        self.node = node
        self.folds = folds
        self.members: dict[Hashable, Branch] = {}
        self.structure: list[Hashable] = []
        self.lengths: Counter[int] = Counter()

    def add(self, other: _Open) -> None:
        """Add a member that is complete."""
        name, structure = other.node.path.rpartition("/")[2], other.key()
        self.structure.append((name, structure))
        branch = other.branch(name)
        self.lengths += other.lengths
        is_folded = self.folds and other.node.kind == "group"
        place = (_NUMBERS.sub("0", name), structure) if is_folded else name
        if place in self.members:
            self.members[place].add(branch)
        else:
            self.members[place] = branch

    def key(self) -> Hashable:
        """Return what must be equal in objects that are alike: names, dtypes, shapes but for the first axis."""
        node = self.node
        shape = node.shape and (len(node.shape), *node.shape[1:])
        return node.kind, node.dtype, shape, node.compression, node.problem, tuple(self.structure)

    def branch(self, name: str) -> Branch:
        """Return the branch."""
        node = self.node
        if node.shape:
            self.lengths[node.shape[0]] += 1
            rows = node.shape[0]
        else:
            counted = [(count, length) for length, count in self.lengths.items() if length > 1]
            rows = max(counted)[1] if counted else min(self.lengths, default=-1)
        below = list(self.members.values())
        size = node.size + sum(member.size for member in below)
        attrs = {key: Spread.of(value) for key, value in node.attrs.items()}
        return Branch(node, [name], (rows, rows) if rows >= 0 else None, size, attrs, below)


def grown(nodes: Iterator[Node], *, folds: bool = True) -> Branch:
    """Return what `tree` yields as branches; of groups that are alike only the names and ranges of values are kept.

    Groups are alike if their names differ in numbers only, and names, dtypes, compression, faults and shapes but for
    the first axis of all below them are equal.

    Args:
        nodes: The nodes.
        folds: False keeps groups that are alike as branches of their own.
    """
    above: list[_Open] = []
    for node in nodes:
        while above and above[-1].node.level >= node.level:
            above[-2].add(above.pop())
        above.append(_Open(node, folds))
    while len(above) > 1:
        above[-2].add(above.pop())
    return above[0].branch(above[0].node.path.rpartition("/")[2])

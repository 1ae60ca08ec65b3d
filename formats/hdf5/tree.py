"""Tree of an HDF5 file, as plain values for `robotrove inspect`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import prod
from typing import Any, Literal

import h5py
import numpy as np

from ...core.errors import EpisodeRejected
from .hdf5_file import DAMAGE, compression, dtype_name, form, lookup, missing_filter, natural_key, object_name

MAX_BYTES = 16 << 20
MAX_ROW = 32  # values shown of one row


@dataclass(frozen=True, slots=True)
class Node:
    """One object of a file.

    Attributes:
        path: Absolute path.
        kind: group, dataset, link (not followed) or unreadable.
        level: Depth, 0 for the root.
        shape: Shape of a dataset, None for the rest.
        dtype: numpy's name of a dataset's dtype, `string` or `vlen uint8`; empty for the rest.
        chunks: Shape of a dataset's chunks, None if it is contiguous.
        compression: Name of a dataset's compression, None without.
        size: Bytes that a dataset takes in the file.
        attrs: Attributes as plain Python values.
        n_children: Members of a group.
        target: Where a soft or external link leads, as PATH or FILE:PATH; empty for other objects.
        problem: Why a soft or external link leads nowhere, or what reading a dataset lacks; empty for other objects.
    """

    path: str
    kind: Literal["group", "dataset", "link", "unreadable"]
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
        path: Where to begin.
    """
    level = len([part for part in path.split("/") if part])
    yield from _walk(file, path if path.startswith("/") else f"/{path}", level, max_level, set())


def _walk(file: h5py.File, path: str, level: int, max_level: int | None, seen: set[int]) -> Iterator[Node]:
    try:
        if level and not isinstance(link := file.get(path, getlink=True), h5py.HardLink):
            yield _link(file, path, level, link)
            return
        item = file[path]
        address = h5py.h5o.get_info(item.id).addr
        node = _node(item, path, level)
        names = sorted(map(object_name, item), key=natural_key) if isinstance(item, h5py.Group) else []
    except DAMAGE:
        yield _bare(path, "unreadable", level)
        return
    if isinstance(item, h5py.Group):
        if address in seen:  # a hard link, back up or beside: groups linked twice at each level would double there
            yield _bare(path, "link", level)
            return
        seen.add(address)
    yield node
    if max_level is None or level < max_level:
        for name in names:
            yield from _walk(file, f"{path.rstrip('/')}/{name}", level + 1, max_level, seen)


def _bare(path: str, kind: Literal["link", "unreadable"], level: int) -> Node:
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


def _node(item: h5py.Group | h5py.Dataset, path: str, level: int) -> Node:
    attrs = {name: plain(item.attrs[name]) for name in sorted(map(object_name, item.attrs), key=natural_key)}
    if isinstance(item, h5py.Dataset):
        size = item.id.get_storage_size()
        shape, dtype = form(item)
        shown = None if item.shape is None else shape
        node = Node(path, "dataset", level, shown, dtype_name(dtype), item.chunks, compression(item), size, attrs, 0)
        return replace(node, problem="needs `pip install hdf5plugin`") if missing_filter(item) else node
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


@dataclass(frozen=True, slots=True)
class Preview:
    """Values of a numeric dataset.

    Attributes:
        first: First row, None if it has more than 32 values; the value itself for a single one.
        last: Last row, likewise.
        minimum: Smallest finite value, None if there is none.
        maximum: Largest finite value.
        not_finite: Number of NaN and infinite values.
    """

    first: Any
    last: Any
    minimum: Any
    maximum: Any
    not_finite: int


def preview(file: h5py.File, path: str) -> Preview | None:
    """Return the preview of a dataset; None if it is empty, not numeric, larger than 16 MB, or unreadable."""
    try:
        dataset = file[path]
        if missing_filter(dataset) or dataset.shape is None or dataset.dtype.kind not in "biuf":
            return None
        if not 0 < prod(dataset.shape) * dataset.dtype.itemsize <= MAX_BYTES:
            return None
        values = np.asarray(dataset[()])
    except DAMAGE:
        return None
    is_shown = prod(values.shape[1:]) <= MAX_ROW
    rows = values if values.ndim else values.reshape(1)
    finite = rows[np.isfinite(rows)]
    return Preview(
        first=plain(rows[0]) if is_shown else None,
        last=plain(rows[-1]) if is_shown else None,
        minimum=plain(finite.min()) if finite.size else None,
        maximum=plain(finite.max()) if finite.size else None,
        not_finite=rows.size - finite.size,
    )

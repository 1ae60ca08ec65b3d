"""Comparison of HDF5 objects by what the file stores: links, types, properties, attributes, values, raw chunks."""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np


def differences(first: h5py.Group, second: h5py.Group, *, but: frozenset[str] = frozenset()) -> list[str]:
    """Return how the groups differ, and all below them; hard links lead to the same objects in both or differ.

    Args:
        first: The one.
        second: The other.
        but: Paths that do not count, from the root of `first`.
    """
    found: list[str] = []
    seen: dict[int, int] = {}
    pending = [(first.name, first, second)]
    while pending:
        path, one, other = pending.pop()
        if path in but:
            continue
        found += [f"{path}: {text}" for text in _object_differences(one, other)]
        before = seen.get(_address(one))
        if before is not None:
            if before != _address(other):
                found.append(f"{path}: another object")
            continue
        seen[_address(one)] = _address(other)
        if isinstance(one, h5py.Group) and isinstance(other, h5py.Group):
            if _links(one) != _links(other):
                found.append(f"{path}: links {_links(one)} and {_links(other)}")
                continue
            hard = [name for name, kind, _, _ in _links(one) if kind == h5py.h5l.TYPE_HARD]
            pending += [(f"{path.rstrip('/')}/{name.decode()}", one[name], other[name]) for name in hard]
    return found


def _address(item: Any) -> int:
    return int(h5py.h5o.get_info(item.id).addr)


def _links(group: h5py.Group) -> list[tuple[Any, ...]]:
    names: list[bytes] = []
    is_tracked = group.id.get_create_plist().get_link_creation_order()
    group.id.links.iterate(names.append, idx_type=h5py.h5.INDEX_CRT_ORDER if is_tracked else h5py.h5.INDEX_NAME)
    found = []
    for name in names:
        info = group.id.links.get_info(name)
        value = None if info.type == h5py.h5l.TYPE_HARD else group.id.links.get_val(name)
        found.append((name, info.type, info.cset, value))
    return found


def _object_differences(one: Any, other: Any) -> list[str]:
    if type(one) is not type(other):
        return [f"{type(one)} and {type(other)}"]
    found = (
        [] if _attributes(one) == _attributes(other) else [f"attributes {_attributes(one)} and {_attributes(other)}"]
    )
    if isinstance(one, h5py.Datatype):
        return [*found, *([] if one.id.equal(other.id) else ["types"])]
    if not _properties_equal(one.id.get_create_plist(), other.id.get_create_plist()):
        found.append("creation properties")
    if isinstance(one, h5py.Dataset):
        if not one.id.get_type().equal(other.id.get_type()):
            found.append("types")
        if (one.shape, one.maxshape) != (other.shape, other.maxshape):
            found.append(f"shapes {one.shape} {one.maxshape} and {other.shape} {other.maxshape}")
        elif _stored(one) != _stored(other):
            found.append(f"stored values {_stored(one)!r:.300} and {_stored(other)!r:.300}")
    return found


def _properties_equal(one: Any, other: Any) -> bool:
    """Compare what a list says; those of groups have addresses in it, so that HDF5 finds them different."""
    if not isinstance(one, h5py.h5p.PropGCID):
        return bool(one.equal(other))
    asked = ("get_link_creation_order", "get_attr_creation_order", "get_attr_phase_change", "get_obj_track_times")
    return all(getattr(one, name)() == getattr(other, name)() for name in asked)


def _stored(dataset: h5py.Dataset) -> Any:
    if dataset.id.get_create_plist().get_layout() == h5py.h5d.CHUNKED:
        infos: list[Any] = []
        dataset.id.chunk_iter(infos.append)
        if not dataset.dtype.hasobject:
            return [(tuple(i.chunk_offset), dataset.id.read_direct_chunk(i.chunk_offset)) for i in infos]
        return [tuple(i.chunk_offset) for i in infos], _plain(dataset[()])
    if not dataset.dtype.hasobject and dataset.size:
        values = np.empty(dataset.shape, f"V{dataset.id.get_type().get_size()}")
        dataset.id.read(h5py.h5s.ALL, h5py.h5s.ALL, values, dataset.id.get_type())
        return dataset.id.get_storage_size(), values.tobytes()
    return _plain(dataset[()]) if dataset.size else dataset.id.get_storage_size()


def _attributes(item: Any) -> list[Any]:
    found = []
    for name in item.attrs:
        attribute = item.attrs.get_id(name)
        value = _plain(item.attrs[name], item)
        found.append((name, attribute.get_type().get_class(), attribute.get_type().get_size(), attribute.shape, value))
    return found


def _plain(value: Any, item: Any = None) -> Any:
    """Return a value as Python compares it; references as the names of what they lead to."""
    if isinstance(value, h5py.Reference) and item is not None:
        return item.file[value].name if value else "null"
    if isinstance(value, np.ndarray):
        if value.dtype.names:
            return [[_plain(row[name], item) for name in value.dtype.names] for row in value.ravel()]
        if value.dtype.kind == "O":
            return [_plain(entry, item) for entry in value.ravel()]
        return str(value.dtype), value.shape, value.tobytes()
    if isinstance(value, h5py.Empty):
        return "empty", str(value.dtype)
    return value if isinstance(value, str | bytes) else repr(value)

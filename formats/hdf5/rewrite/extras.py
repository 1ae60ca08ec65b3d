"""Objects of a recording that belong to no episode: lists of episodes in /mask, and others for every new file."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain
from math import prod

import h5py
import numpy as np
from h5py import h5a, h5d, h5i, h5l, h5o, h5s, h5t

from ....core.errors import EpisodeRejected
from ..hdf5_file import (
    DAMAGE,
    canonical,
    compression,
    file_name,
    group_links,
    lookup,
    missing_filter,
    object_name,
    reading,
)
from .object_copy import attribute_names
from .stored_values import has_pointers, is_known

COUNTS = ("total", "num_demos")  # attributes of /data, of robomimic and of LIBERO, that count what is in the file
_LISTS = "mask"  # the filter keys of robomimic (robomimic/utils/file_utils.py, create_hdf5_filter_key)
_LARGEST = 2**20  # bytes that every new file may have again
_HEADER = 512  # bytes of an object without its values, about
_BATCH_ROWS = 64
_TOO_LARGE = "belongs to no episode and is larger than 1 MB"
_OF_EPISODE = "leads to an episode"


@dataclass(frozen=True, slots=True)
class Extras:
    """Objects of a recording beside its episodes and beside the groups above them.

    Attributes:
        copied: Paths of those that every new file has.
        lists: Paths of the lists of episodes, and the names in each.
        left_out: Sentences for people on those that no new file has.
        text: Text of what a new file has beside its episodes, the names in lists aside; equal texts may share a file.
    """

    copied: tuple[str, ...]
    lists: Mapping[str, tuple[str, ...]]
    left_out: tuple[str, ...]
    text: str


class _LeftOut(Exception):
    """An object that is not copied; the text of the exception says why."""


def read_extras(file: h5py.File, keys: Sequence[str]) -> Extras:
    """Return what a recording has beside its episodes.

    Args:
        file: The recording.
        keys: Paths of its episodes, without a slash at the ends.

    Raises:
        EpisodeRejected: unreadable_data if a group above the episodes is damaged.
    """
    above = {"/".join(key.split("/")[:depth]) for key in keys if key for depth in range(key.count("/") + 1)}
    known = {part for key in keys for part in (key, key.rpartition("/")[2])}
    lists = dict(_lists(file)) if "" in above and _LISTS not in keys else {}
    lists = {path: names for path, names in lists.items() if not names or known.intersection(names)}
    above |= {_LISTS} if lists else set()
    texts, copied, left_out = [], [], []
    if file.userblock_size:
        left_out.append(f" has a user block of {file.userblock_size:,} bytes: it is in no new file")
    for path in (*sorted(above), *sorted(lists)):
        item = lookup(file, path or "/")
        texts.append(f"{path} {_attributes(item.id, COUNTS)}" if item is not None else path)
        if unknown := [name for name in lists.get(path, ()) if name not in known]:
            left_out.append(f"/{path} names {', '.join(unknown[:3])}, not in this file: it is in no new list")
    addresses: set[int] = set()
    for path, link in _beside(file, above, {*keys, *lists}):
        addresses = addresses or {h5o.get_info(item.id).addr for key in keys if (item := _found(file, key)) is not None}
        try:
            with reading(f"/{path}"):
                texts.append(f"{path} {_digest(link, frozenset(keys), addresses)}")
            copied.append(path)
        except _LeftOut as exc:
            left_out.append(f"/{path} {exc}: it is in no new file")
        except EpisodeRejected as exc:
            left_out.append(f"/{path} is in no new file: {exc.detail}")
    return Extras(tuple(copied), lists, tuple(left_out), "\n".join(texts))


def _found(group: h5py.Group, path: str) -> h5py.Group | h5py.Dataset | None:
    try:
        return lookup(group, path or "/")
    except EpisodeRejected:
        return None


def _beside(
    file: h5py.File, above: Collection[str], but: Collection[str]
) -> Iterator[tuple[str, tuple[h5py.Group, bytes, int]]]:
    """Yield path, and group, name and type, of the links in the groups above episodes."""
    for place in sorted(above):
        group = lookup(file, place or "/")
        for name, kind in group_links(group) if isinstance(group, h5py.Group) else ():
            path = f"{place}/{os.fsdecode(name)}".lstrip("/")
            if path not in but and path not in above:
                yield path, (group, name, kind)


def _lists(file: h5py.File) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield path and texts of each list of texts in /mask that the recording itself stores."""
    group = _found(file, _LISTS)
    for name, kind in group_links(group) if isinstance(group, h5py.Group) else ():
        path = f"{_LISTS}/{os.fsdecode(name)}"
        item = _found(file, path) if kind != h5l.TYPE_EXTERNAL else None
        if isinstance(item, h5py.Dataset) and len(item.shape or ()) == 1 and h5py.check_string_dtype(item.dtype):
            if item.is_virtual or item.external or missing_filter(item):
                continue
            with suppress(*DAMAGE):  # then it is no list, and named
                texts = tuple(map(os.fsdecode, item[()].tolist()))
                yield path, texts


def _digest(link: tuple[h5py.Group, bytes, int], keys: Collection[str], episodes: Collection[int]) -> str:
    """Return a text that is equal for equal objects.

    Args:
        link: Group, name and type of the link to the object.
        keys: Paths of the episodes.
        episodes: Addresses of the episodes.

    Raises:
        _LeftOut: If the object is large, or has an episode in it.
    """
    digest, size, seen, pending = sha256(), 0, set(episodes), [link]
    while pending:
        group, name, kind = pending.pop()
        item = group[name] if kind == h5l.TYPE_HARD else None
        if kind == h5l.TYPE_SOFT:
            leads = os.fsdecode(group.id.links.get_val(name))
            where = (leads if leads.startswith("/") else f"{group.name}/{leads}").strip("/").split("/")
            if any("/".join(where[:depth]) in keys for depth in range(1, len(where) + 1)):
                raise _LeftOut(_OF_EPISODE)
            item = _found(group, os.fsdecode(name))
        if item is None or file_name(item) != file_name(link[0]):
            parts: Iterable[bytes] = (repr(group.id.links.get_val(name)).encode(),)
        elif (address := h5o.get_info(item.id).addr) in episodes:
            raise _LeftOut(_OF_EPISODE)
        elif address in seen:
            parts = ()
        else:
            seen.add(address)
            links = group_links(item) if isinstance(item, h5py.Group) else []
            size += len(links) * _HEADER
            pending += [(item, *entry) for entry in links]
            parts = chain((_attributes(item.id).encode(),), _content(item) if isinstance(item, h5py.Dataset) else ())
        for part in chain((repr((name, kind)).encode(),), parts):
            size += len(part)
            digest.update(part)
            if size > _LARGEST:
                raise _LeftOut(_TOO_LARGE)
    return digest.hexdigest()


def _content(item: h5py.Dataset) -> Iterator[bytes]:
    """Yield the values of a dataset, or names where they lie elsewhere, and how it is stored."""
    kind = item.id.get_type()
    yield repr((kind.encode(), item.shape, item.maxshape, item.chunks, compression(item))).encode()
    if item.is_virtual or item.external:
        yield repr(item.external or item.virtual_sources()).encode()
    elif missing_filter(item) or (has_pointers(kind) and not is_known(item.id)):
        yield file_name(item).encode(errors="surrogateescape")  # it can be copied, and not be compared
    elif item.shape is not None:
        if prod(item.shape) * kind.get_size() > _LARGEST:
            raise _LeftOut(_TOO_LARGE)
        if not has_pointers(kind):
            yield _bytes(item.id)
        elif item.shape:
            for start in range(0, len(item), _BATCH_ROWS):
                yield canonical(item[start : start + _BATCH_ROWS])
        else:
            yield canonical(item[()])


def _attributes(item: h5i.ObjectID, but: Collection[str] = ()) -> str:
    found = []
    for name in sorted(attribute_names(item)):
        if object_name(name) not in but:
            attribute = h5a.open(item, name)
            kind, value = attribute.get_type(), b""
            is_null = attribute.get_space().get_simple_extent_type() == h5s.NULL
            if not is_null and has_pointers(kind):
                values = np.empty(attribute.shape, attribute.dtype)
                attribute.read(values, h5t.py_create(attribute.dtype))
                value = canonical(values)
            elif not is_null:
                value = _bytes(attribute)
            found.append((name, kind.encode(), attribute.shape, value))
    return repr(found)


def _bytes(item: h5d.DatasetID | h5a.AttrID) -> bytes:
    """Return values as they are stored, also of types that numpy does not have."""
    kind = item.get_type()
    values = np.empty(item.shape, f"V{kind.get_size()}")
    if isinstance(item, h5d.DatasetID):
        item.read(h5s.ALL, h5s.ALL, values, kind)
    else:
        item.read(values, kind)
    return values.tobytes()

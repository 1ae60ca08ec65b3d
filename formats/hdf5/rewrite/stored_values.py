"""Copies of stored values: chunks as they are, also large ones by pieces, and values of variable length."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import prod
from mmap import MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, mmap
from typing import Any

import numpy as np
from h5py import h5d, h5s, h5t, h5z

from ....core.columns import Array

_BATCH_BYTES = 4 * 2**20  # of values of variable length at once
_BIG_CHUNK = 32 * 2**20  # H5Ocopy has a chunk whole in memory
_COMMON_FILTERS = {h5z.FILTER_DEFLATE, h5z.FILTER_SHUFFLE, h5z.FILTER_FLETCHER32, h5z.FILTER_LZF}
_POINTERS = {h5t.VLEN, h5t.REFERENCE}
_NUMBERS = (h5t.TypeIntegerID, h5t.TypeFloatID)


def has_big_chunks(item: h5d.DatasetID) -> bool:
    """True for large chunks, if their filters keep their parameters when a dataset is created with them."""
    stored = item.get_create_plist()
    if stored.get_layout() != h5d.CHUNKED or prod(stored.get_chunk()) * item.get_type().get_size() <= _BIG_CHUNK:
        return False
    return {stored.get_filter(index)[0] for index in range(stored.get_nfilters())} <= _COMMON_FILTERS


def copy_big_chunks(item: h5d.DatasetID, copy: h5d.DatasetID, source: str, target: str) -> None:
    """Copy chunks as they are stored, by pieces: HDF5 writes zeros, which take no memory, and they are replaced.

    Args:
        item: The dataset.
        copy: The new one, without chunks.
        source: Path of its file; without a user block, which not every HDF5 counts in an address.
        target: Path of the file of the new one.
    """
    chunks: list[Any] = []
    item.chunk_iter(chunks.append)
    with open(source, "rb") as old, open(target, "r+b") as new:
        for chunk in chunks:
            with mmap(-1, chunk.size, flags=MAP_PRIVATE | MAP_ANONYMOUS, prot=PROT_READ) as zeros:
                copy.write_direct_chunk(chunk.chunk_offset, zeros, chunk.filter_mask)
            old.seek(chunk.byte_offset)
            new.seek(copy.get_chunk_info_by_coord(chunk.chunk_offset).byte_offset)
            for start in range(0, chunk.size, _BATCH_BYTES):
                size = min(_BATCH_BYTES, chunk.size - start)
                if new.write(old.read(size)) != size:
                    raise OSError(f"the file ends in the chunk at {chunk.chunk_offset}")


def copy_values(item: h5d.DatasetID, copy: h5d.DatasetID, translated: Callable[[Array], Array]) -> None:
    """Copy the values that were written, of a type that keeps them outside of the dataset's own storage.

    Args:
        item: The dataset.
        copy: The new one, without values.
        translated: Function from values to those of the new file: references are other ones there.
    """
    kind, rows = h5t.py_create(item.dtype), 1
    for start, stop in _written(item):
        first = start[0] if start else 0
        last = stop[0] if stop else 1
        while first < last:
            rows = min(rows, last - first)
            begin, count = (first, *start[1:]), (rows, *(b - a for a, b in zip(start[1:], stop[1:], strict=True)))
            space = item.get_space()
            if start:
                space.select_hyperslab(begin, count)
            shape = count if start else ()
            values = np.empty(shape, item.dtype)
            memory = h5s.create_simple(shape) if start else h5s.create(h5s.SCALAR)
            item.read(memory, space, values, kind)
            copy.write(memory, space, translated(values), kind)
            size = sum(_bytes(value) for value in values.ravel())
            first += rows
            rows = max(1, rows * 2 if size * 2 <= _BATCH_BYTES else rows // 2 if size > _BATCH_BYTES else rows)


def _parts(kind: h5t.TypeID) -> Iterator[h5t.TypeID]:
    """Yield a type and the types that it is made of."""
    yield kind
    if isinstance(kind, h5t.TypeCompoundID):
        for index in range(kind.get_nmembers()):
            yield from _parts(kind.get_member_type(index))
    elif isinstance(kind, h5t.TypeArrayID | h5t.TypeVlenID):
        yield from _parts(kind.get_super())


def type_classes(kind: h5t.TypeID) -> set[int]:
    """Return the classes of a type and of the types that it is made of."""
    return {part.get_class() for part in _parts(kind)}


def has_pointers(kind: h5t.TypeID) -> bool:
    """True if values of a type lie elsewhere in the file: of variable length, or references."""
    texts = (part for part in _parts(kind) if isinstance(part, h5t.TypeStringID))
    return bool(_POINTERS & type_classes(kind)) or any(text.is_variable_str() for text in texts)


def is_swapped(kind: h5t.TypeID) -> bool:
    """True for lists of numbers in another byte order: h5py 3.16 gives their bytes as if they had this machine's."""
    lists = (part for part in _parts(kind) if isinstance(part, h5t.TypeVlenID))
    numbers = (part for inner in lists for part in _parts(inner) if isinstance(part, _NUMBERS) and part.get_size() > 1)
    return any(number.get_order() != h5t.NATIVE_INT32.get_order() for number in numbers)


def is_known(item: h5d.DatasetID) -> bool:
    """True if numpy has the type of a dataset, and h5py reads its values right."""
    try:
        return bool(h5t.py_create(item.dtype)) and not is_swapped(item.get_type())
    except (TypeError, ValueError, NotImplementedError):  # h5py raises each of them for some types
        return False


def _written(item: h5d.DatasetID) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Return first and last index of the parts of a dataset that are stored, the last one exclusive."""
    if item.get_create_plist().get_layout() != h5d.CHUNKED:
        is_written = item.get_storage_size() > 0 and item.get_space().get_simple_extent_npoints() > 0
        return [((0,) * len(item.shape), item.shape)] if is_written else []
    chunk = item.get_create_plist().get_chunk()
    starts: list[tuple[int, ...]] = []
    item.chunk_iter(lambda info: starts.append(tuple(info.chunk_offset)))
    ends = [tuple(min(a + b, c) for a, b, c in zip(start, chunk, item.shape, strict=True)) for start in starts]
    return list(zip(starts, ends, strict=True))


def _bytes(value: Any) -> int:
    """Return about how much memory a value has."""
    if isinstance(value, np.void):
        return sum(_bytes(value[name]) for name in value.dtype.names or ())
    return value.nbytes if isinstance(value, np.ndarray) else len(value) if isinstance(value, bytes | str) else 8

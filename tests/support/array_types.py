"""Rows of the type H5T_ARRAY, which h5py writes through its low-level interface only."""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np


def write_array(
    group: h5py.Group, name: str, values: np.ndarray, stored: Any, *entry: tuple[int, ...], chunks: Any = None
) -> None:
    """Write rows of the type H5T_ARRAY; more than one shape makes arrays of arrays."""
    kind = stored
    for shape in reversed(entry):
        kind = h5py.h5t.array_create(kind, shape)
    axes = values.ndim - sum(map(len, entry))
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    if chunks:
        plist.set_chunk(chunks)
        plist.set_deflate(4)
    space = h5py.h5s.create_simple(values.shape[:axes])
    dataset = h5py.h5d.create(group.id, name.encode(), kind, space, plist)
    dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, np.ascontiguousarray(values), kind)

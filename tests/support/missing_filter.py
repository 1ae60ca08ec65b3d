"""Dataset packed by an HDF5 filter that is not installed."""

from __future__ import annotations

import h5py
import pytest

_ZFP = 32013


def packed_by_zfp(file: h5py.File, shape: tuple[int, ...]) -> h5py.h5d.DatasetID:
    """Add the float32 dataset `rows`, one chunk of bytes that are no rows; skip the test where HDF5 has the filter."""
    if h5py.h5z.filter_avail(_ZFP):
        pytest.skip("the filter zfp is installed")
    made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    made.set_chunk(shape)
    made.set_filter(_ZFP, h5py.h5z.FLAG_OPTIONAL, ())
    dataset = h5py.h5d.create(file.id, b"rows", h5py.h5t.IEEE_F32LE, h5py.h5s.create_simple(shape), made)
    dataset.write_direct_chunk((0,) * len(shape), b"packed")
    return dataset

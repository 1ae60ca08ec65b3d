"""Content digest: tells episodes apart that begin and end alike."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from math import prod

import h5py
import numpy as np

from ...core.columns import Column
from ...core.errors import EpisodeRejected
from .chunked_rows import ChunkedRows, SampledRows, row_bytes
from .columns import FrameColumn
from .hdf5_file import MAX_DIGEST_ROW, check_declared, datasets, form, open_dataset, reading, rows_of
from .stored_rows import check_rows


def content_digest(group: h5py.Group, columns: Mapping[str, Column]) -> str:
    """Return the digest of an episode's content, independent of chunks and compression; empty if data are damaged.

    sha256 over all rows of its numeric datasets of at most two dimensions and 64 KiB per row, over each dataset of one
    text, and over the first, the middle and the last row of each other dataset that a column reads. Frames that have
    passed through their column are not read again. Pictures that no column reads do not count: for three rows HDF5 may
    inflate all of them.

    Args:
        group: The episode.
        columns: Path of a dataset, relative to the group, to the column that reads it.
    """
    digest = hashlib.sha256()
    try:
        for path, dataset in sorted(datasets(group).items()):
            if _has_numbers(dataset):
                digest.update(f"{path}\0".encode(errors="surrogateescape"))
                _add_all(digest, group, dataset)
            elif dataset.size == 1 and h5py.check_string_dtype(dataset.dtype) is not None:
                with reading(dataset.name):
                    (text,) = np.asarray(dataset[()], object).ravel()
                digest.update(f"{path}\0".encode(errors="surrogateescape") + row_bytes(text))
        for path, column in sorted(columns.items()):
            dataset = open_dataset(group, path)
            if not _has_numbers(dataset):
                counted = rows_of(group, dataset)
                rows = SampledRows(dataset.file, dataset.name, counted)
                if isinstance(column, FrameColumn) and column.rows.rows == counted:
                    rows = column.rows  # of an episode end to end with others it samples the whole dataset
                digest.update(f"{path}\0".encode(errors="surrogateescape") + rows.digest())
    except EpisodeRejected:
        return ""
    return digest.hexdigest()


def _has_numbers(dataset: h5py.Dataset) -> bool:
    shape, dtype = form(dataset)
    is_small = len(shape) <= 2 and prod(shape[1:]) * dtype.itemsize <= MAX_DIGEST_ROW  # larger: encoded images
    return dataset.shape is not None and dtype.kind in "biufc" and is_small


def _add_all(digest: hashlib._Hash, group: h5py.Group, dataset: h5py.Dataset) -> None:
    if not dataset.shape:
        with reading(dataset.name):
            digest.update(np.asarray(dataset[()]).tobytes())
        return
    rows = rows_of(group, dataset)
    try:
        check_declared(dataset, len(rows))
        if dataset.is_virtual:  # HDF5 fails, or crashes, where a source ends early
            check_rows(dataset, rows.start, rows.stop)
    except EpisodeRejected as exc:
        digest.update(exc.reason.encode())
        return
    for batch in ChunkedRows(dataset.file, dataset.name).batches(rows.start, rows.stop):
        digest.update(np.ascontiguousarray(batch).data)

"""Scan of a recording: its episodes with digests, and the comparison of two episodes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from ...core.episode import Episode, Rejection
from ...core.errors import EpisodeRejected
from .hdf5_file import DAMAGE, datasets, open_hdf5, source_digest
from .layout import Layout


@dataclass(frozen=True, slots=True)
class Scanned:
    """One episode of a file, or the file itself where it cannot be listed (then `key` is empty).

    Attributes:
        key: Name of the episode in the file.
        digest: See `source_digest`; empty if the episode could not be read so far.
        episode: The episode, None if it cannot be opened; valid until the next one is taken.
        rejection: Why it cannot.
    """

    key: str
    digest: str
    episode: Episode | None
    rejection: Rejection | None


def scan(path: Path, layout: Layout) -> Iterator[Scanned]:
    """Open a file once, with HDF5's lock, and yield its episodes in order."""
    try:
        with open_hdf5(path, locking=True) as file:
            for key in layout.list(file):
                yield _scan_episode(file, layout, key)
    except EpisodeRejected as exc:
        yield Scanned("", "", None, Rejection.of(exc))


def same_content(one: tuple[Path, str], other: tuple[Path, str]) -> bool:
    """True if two episodes, each a file and a key, that have the same digest hold the same data.

    The digest looks at the ends of the numeric datasets only: recordings that begin and end at rest
    may share it. Compared are all numbers, and of frames the first, the middle and the last.
    """
    with suppress(EpisodeRejected, *DAMAGE):  # damaged data are found, and named, when they are converted
        with open_hdf5(one[0], locking=False) as left, open_hdf5(other[0], locking=False) as right:
            first, second = datasets(left[one[1]]), datasets(right[other[1]])
            return first.keys() == second.keys() and all(_same(first[path], second[path]) for path in first)
    return False


def _same(one: h5py.Dataset, other: h5py.Dataset) -> bool:
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    if not one.shape or (one.ndim <= 2 and one.dtype.kind in "biufc"):
        return bool(np.array_equal(one[()], other[()]))
    rows = {0, len(one) // 2, len(one) - 1} if len(one) else set()
    return all(np.array_equal(one[row], other[row]) for row in rows)


def _scan_episode(file: h5py.File, layout: Layout, key: str) -> Scanned:
    digest = ""
    try:
        digest = source_digest(layout.group(file, key))
        return Scanned(key, digest, layout.open(file, key), None)
    except EpisodeRejected as exc:
        return Scanned(key, digest, None, Rejection.of(exc))

"""Listing the episodes of a file: what planning needs, and nothing but metadata read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py

from ...core.episode import Episode, Rejection
from ...core.errors import EpisodeRejected
from .layout import Layout
from .source import open_source, source_digest


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
        with open_source(path, locking=True) as file:
            for key in layout.list(file):
                yield _scan_episode(file, layout, key)
    except EpisodeRejected as exc:
        yield Scanned("", "", None, Rejection.of(exc))


def _scan_episode(file: h5py.File, layout: Layout, key: str) -> Scanned:
    digest = ""
    try:
        digest = source_digest(layout.group(file, key))
        return Scanned(key, digest, layout.open(file, key), None)
    except EpisodeRejected as exc:
        return Scanned(key, digest, None, Rejection.of(exc))

"""Episode location: files, rows and clips of an episode, and its metadata."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ....media.remux.clip import Clip, Encoding
from ..stats.stored_stats import StatColumns


@dataclass(frozen=True, slots=True)
class DataFile:
    """One file of rows.

    Attributes:
        path: Relative to the dataset.
        first: Global index of its first row; None where the files before it say so.
        rows: Number of its rows; None where only the file says so.
    """

    path: str
    first: int | None = None
    rows: int | None = None


@dataclass(frozen=True, slots=True)
class VideoFile:
    """One video file and the episodes that are said to be in it.

    Attributes:
        key: Camera.
        path: Relative to the dataset.
        episodes: (n,) Their numbers.
        firsts: (n,) First frame of each in the file; in any order, not checked.
        lengths: (n,) Frames of each.
    """

    key: str
    path: str
    episodes: NDArray[np.int64]
    firsts: NDArray[np.int64]
    lengths: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class EpisodePlace:
    """Where one episode is.

    Attributes:
        index: Its number.
        length: Frames.
        tasks: Its instructions.
        data: File of its rows, relative to the dataset.
        row: First of them in the file.
        cameras: Camera to its video file, relative to the dataset, and the first frame there.
    """

    index: int
    length: int
    tasks: tuple[str, ...]
    data: str
    row: int
    cameras: Mapping[str, tuple[str, int]]


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows first..first+count of a parquet file."""

    path: Path
    first: int
    count: int


@dataclass(frozen=True, slots=True)
class Track:
    """The frames of one camera of an episode.

    Attributes:
        clip: Where they are.
        size: Bytes of their packets, or of a file of their own.
        encoding: What they are encoded with; None where it is the same for all clips that can meet this one.
        is_copyable: False if the clip can only be encoded anew, since it begins at no keyframe.
    """

    clip: Clip
    size: int
    encoding: Encoding | None = None
    is_copyable: bool = True

    @property
    def kind(self) -> str:
        """What it has in common with the clips that it can share a file with."""
        if not self.is_copyable:
            return "encoded anew"
        return self.encoding.extradata if self.encoding else ""


@dataclass(frozen=True, slots=True)
class EpisodeFiles:
    """Where one finished episode is.

    Attributes:
        length: Frames.
        tasks: Its instructions, usually one.
        rows: Its rows.
        row_bytes: Size of its rows as a file of their own.
        tracks: Camera key to its frames, of cameras stored as video.
    """

    length: int
    tasks: tuple[str, ...]
    rows: Rows
    row_bytes: int
    tracks: Mapping[str, Track]


@dataclass(frozen=True, slots=True)
class EpisodeRecord:
    """One finished episode of a run.

    Attributes:
        index: Row in the manifest.
        files: Where it is.
        metas: What meta says of it, and of no other.
        histograms: Camera key to (3, 256) counts of its sampled pixel values; empty where its shard has them.
        episode: Its number in the shard that it is from, if any.
        source_tasks: Instructions of that shard by task_index.
    """

    index: int
    files: EpisodeFiles
    metas: EpisodeMetadata
    histograms: Mapping[str, Any] = field(default_factory=dict)
    episode: int = 0
    source_tasks: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class StoredEpisode:
    """One episode as meta describes it.

    Attributes:
        index: Number of the episode.
        length: Frames.
        tasks: Its instructions.
        rows: Where its rows are.
        clips: Camera key to where its frames are.
    """

    index: int
    length: int
    tasks: tuple[str, ...]
    rows: Rows
    clips: Mapping[str, Clip]


@dataclass(frozen=True, slots=True)
class EpisodeMetadata:
    """What meta says of some consecutive episodes.

    Attributes:
        stats: Those of placed columns may be there.
        provenance: ORIGIN_SCHEMA, a row per episode.
    """

    stats: StatColumns
    provenance: pa.Table

    def __len__(self) -> int:
        return int(self.provenance.num_rows)

    def part(self, first: int, last: int) -> EpisodeMetadata:
        """Return what meta says of those from the first up to the last, which is not among them."""
        rows = slice(first, last)
        return EpisodeMetadata({name: column[rows] for name, column in self.stats.items()}, self.provenance[rows])

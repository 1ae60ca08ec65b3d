"""Episode location: files, rows and clips of an episode, and its metadata."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ....core.features import DEFAULT_FEATURES, Features, cameras
from ....media.remux.clip import Clip, Encoding
from ..stats.feature_stats import STAT_KEYS
from ..stats.stored_stats import StatColumns

_INSIDE = ("data/", "videos/", "stats/", "meta/episodes/")


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
        size: Bytes of their packets, or of a file of their own; None until a maker of datasets asks for it.
        encoding: What they are encoded with; None too where it is the same for all clips that can meet this one.
        is_copyable: False if the clip must be re-encoded, because it does not begin at a keyframe.
        unreachable: Frames that a reader that seeks does not get, see `VideoIndex.unreachable`; such a clip is
            re-encoded too.
        is_shortened: True if an edit list hides frames of the file; such a clip is re-encoded too.
    """

    clip: Clip
    size: int | None = None
    encoding: Encoding | None = None
    is_copyable: bool = True
    unreachable: int = 0
    is_shortened: bool = False

    @property
    def kind(self) -> str:
        """Property that all clips of a file must share."""
        if not self.is_copyable:
            return "re-encoded"
        return self.encoding.extradata if self.encoding else ""


@dataclass(frozen=True, slots=True)
class EpisodeLocation:
    """Location of an episode in a dataset.

    Attributes:
        index: Number of the episode in its dataset.
        length: Frames.
        tasks: Its instructions, usually one.
        rows: Its rows.
        row_bytes: Size of its rows as a file of their own; None until a maker of datasets asks for it.
        tracks: Camera key to its frames, of cameras stored as video.
        replaces: Instructions of its rows that the first of `tasks` replaces in a new dataset.
    """

    index: int
    length: int
    tasks: tuple[str, ...]
    rows: Rows
    row_bytes: int | None
    tracks: Mapping[str, Track]
    replaces: tuple[str, ...] = ()

    @property
    def sizes(self) -> Mapping[str, int]:
        """Bytes by camera key, those of the rows by ""; only those that are known."""
        sizes = {"": self.row_bytes} | {key: track.size for key, track in self.tracks.items()}
        return {key: size for key, size in sizes.items() if size is not None}

    def file(self, key: str) -> Path:
        """Return the file with the frames of a camera, or with the rows for ""."""
        return self.tracks[key].clip.path if key else self.rows.path


@dataclass(frozen=True, slots=True)
class EpisodeRecord:
    """One finished episode of a run.

    Attributes:
        index: Row in the manifest.
        location: Where it lies; its index is its number in the shard that it is from, if any.
        metadata: Its own statistics and provenance.
        histograms: Camera key to (3, 256) counts of its sampled pixel values; empty where its shard has them.
        source_tasks: Instructions of that shard by task_index.
    """

    index: int
    location: EpisodeLocation
    metadata: EpisodeMetadata
    histograms: Mapping[str, Any] = field(default_factory=dict)
    source_tasks: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class EpisodeMetadata:
    """Statistics and provenance of some consecutive episodes.

    Attributes:
        stats: Those of placed columns may be there.
        provenance: ORIGIN_SCHEMA, a row per episode.
        extras: The columns of `shared_columns`, a row per episode; none where there are none.
    """

    stats: StatColumns
    provenance: pa.Table
    extras: pa.Table = field(default_factory=lambda: pa.table({}))

    def __len__(self) -> int:
        return int(self.provenance.num_rows)

    def taken(self, rows: Sequence[int]) -> EpisodeMetadata:
        """Return that of episodes in these rows."""
        stats = {name: column[list(rows)] for name, column in self.stats.items()}
        extras = self.extras.take(rows) if self.extras.num_columns else self.extras
        return EpisodeMetadata(stats, self.provenance.take(rows), extras)

    def part(self, first: int, last: int) -> EpisodeMetadata:
        """Return that of episodes first..last-1."""
        rows = slice(first, last)
        stats = {name: column[rows] for name, column in self.stats.items()}
        return EpisodeMetadata(stats, self.provenance[rows], self.extras[rows])


class HeldRows:
    """Rows of tables that follow each other, taken some at a time.

    Args:
        tables: The tables, at least one, all with the same columns.
    """

    def __init__(self, tables: Iterable[pa.Table]) -> None:
        self._tables = iter(tables)
        self._held = next(self._tables)

    def take(self, count: int) -> pa.Table:
        """Return the next rows, at most so many."""
        while len(self._held) < count and (more := next(self._tables, None)) is not None:
            self._held = pa.concat_tables([self._held, more])
        found, self._held = self._held[:count], self._held[count:]
        return found


def own_columns(features: Features) -> set[str]:
    """Return the columns of the episode metadata, of both versions, that writers of datasets make.

    Args:
        features: All features of the dataset.
    """
    prefixes = ("data", "meta/episodes", *(f"videos/{key}" for key in cameras(features)))
    stats = {f"stats/{key}/{name}" for key in features | DEFAULT_FEATURES for name in STAT_KEYS}
    places = ("chunk_index", "file_index", "from_timestamp", "to_timestamp")
    found = {f"{prefix}/{name}" for prefix in prefixes for name in places}
    return stats | found | {"episode_index", "length", "tasks", "dataset_from_index", "dataset_to_index"}


def shared_columns(extras: Iterable[tuple[str, Iterable[pa.Table]]], *, is_json: bool) -> tuple[pa.Schema, list[str]]:
    """Return the columns that the episode metadata of a new dataset can have, and a note on every other.

    Args:
        extras: Dataset, and its `episode_extras`.
        is_json: They must be values of JSON.
    """
    types: dict[str, pa.DataType] = {}
    lost: dict[str, str] = {}
    for dataset, tables in extras:
        for found in (found for table in tables for found in table.schema if found.name not in lost):
            name = found.name
            if name.startswith(_INSIDE):
                lost[name] = f"{dataset} has it, and it is about its own files or statistics"
            elif is_json and not _is_json(found.type):
                lost[name] = f"it is {found.type} in {dataset}, which JSON cannot hold"
            elif name != "episode_index":
                both = [pa.schema([(name, kind)]) for kind in (types.get(name, pa.null()), found.type)]
                try:
                    types[name] = pa.unify_schemas(both, promote_options="permissive").field(0).type
                except pa.ArrowException:
                    lost[name] = f"it is {found.type} in {dataset}, and {types[name]} before"
    notes = [f"not in the output: {name} of the episodes, because {why}" for name, why in lost.items()]
    return pa.schema([(name, kind) for name, kind in types.items() if name not in lost]), notes


def _is_json(kind: pa.DataType) -> bool:
    if kind.num_fields:
        return all(_is_json(kind.field(at).type) for at in range(kind.num_fields))
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
    return bool(is_text or is_number or pa.types.is_null(kind))


def fitted(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return a table with these columns; those that it lacks are empty."""
    found = set(table.column_names)
    return pa.table(
        [
            table.column(column.name).cast(column.type) if column.name in found else pa.nulls(len(table), column.type)
            for column in schema
        ],
        schema=schema,
    )

"""The plan of a new dataset: every episode with its place and its origin, and the files to write.

Written once, from metadata alone; every rank then reads the part that it needs. Only notes may be added later.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from fractions import Fraction
from functools import lru_cache
from itertools import accumulate, islice
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ....core.columns import Array
from ....core.commit import attempt_name, json_text, sync_file, write_file
from ....core.errors import printable, undamaged
from ....media.remux.clip import Clip, Encoding
from ..dataset_files import open_parquet
from ..datasets.episode_location import EpisodeLocation, EpisodeMetadata, Rows, Track
from .file_planner import PlannedFile

PLAN_FILE = "plan.json"
EPISODES_FILE = "episodes.parquet"
_UNUSABLE = "unusable-"
PLAN_GROUP_EPISODES = 128

_ENCODING = tuple(field.name for field in fields(Encoding))
_CLIP = pa.struct(
    [
        ("key", pa.string()),
        ("path", pa.string()),
        ("first", pa.int64()),
        ("size", pa.int64()),
        ("is_copyable", pa.bool_()),
        ("rate", pa.string()),
        ("codec", pa.string()),
        ("width", pa.int64()),
        ("height", pa.int64()),
        ("pix_fmt", pa.string()),
        ("extradata", pa.string()),
    ]
)
_SCHEMA = pa.schema(
    [
        ("source", pa.int64()),
        ("episode", pa.int64()),
        ("first_index", pa.int64()),
        ("length", pa.int64()),
        ("tasks", pa.list_(pa.string())),
        ("row_path", pa.string()),
        ("first_row", pa.int64()),
        ("row_bytes", pa.int64()),
        ("replaces", pa.list_(pa.string())),
        ("tracks", pa.list_(_CLIP)),
    ]
)


@dataclass(frozen=True, slots=True)
class PlacedEpisode:
    """An episode and where it goes.

    Attributes:
        index: Number of the episode in the new dataset.
        first_index: Global index of its first frame there.
        source: Number of the source that it is from.
        location: Where it lies in that source.
    """

    index: int
    first_index: int
    source: int
    location: EpisodeLocation


# Episodes that follow each other, with their metadata, some at a time.
PlacedBatches: TypeAlias = Iterable[tuple[Sequence[PlacedEpisode], EpisodeMetadata]]


@dataclass(frozen=True, slots=True)
class DatasetPlan:
    """Plan of a new dataset, the same for all ranks.

    Attributes:
        files: Files to write, or runs of episodes to write one after the other.
        tasks: Every instruction of the new dataset, by task_index.
        source_tasks: Per source, its instructions by its own task_index.
        episodes: Number of episodes.
        frames: Number of all their frames.
        notes: What was found wrong in the sources and is right in the output.
        subtasks: As `tasks`, by subtask_index; none where it is a column like others.
        source_subtasks: As `source_tasks`.
        task_columns: What else is known of the tasks, by name: a value for each, None where there is none.
        times: "index" if the times of the sources do not matter: they become frame_index / fps.
        names: Feature of the sources to its name in the new dataset, where that is another; None if it is dropped.
    """

    files: Sequence[PlannedFile]
    tasks: Sequence[str]
    source_tasks: Sequence[Sequence[str]]
    episodes: int
    frames: int
    notes: Sequence[str]
    subtasks: Sequence[str] = field(default_factory=list)
    source_subtasks: Sequence[Sequence[str]] = field(default_factory=list)
    task_columns: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    times: str = "refuse"
    names: Mapping[str, str | None] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Write plan.json, whole or not at all."""
        write_file(folder / PLAN_FILE, json.dumps(asdict(self), ensure_ascii=False).encode())

    @classmethod
    def read(cls, folder: Path) -> DatasetPlan:
        """Read plan.json."""
        with undamaged(folder / PLAN_FILE):
            entry = json.loads((folder / PLAN_FILE).read_text(encoding="utf-8"))
            return cls(**{**entry, "files": [PlannedFile(**file) for file in entry["files"]]})


def write_unusable(folder: Path, unit: PlannedFile, found: Mapping[str, tuple[int, str]]) -> None:
    """Write down, beside the plan, what `VersionWriter.write` found in the rows of a unit, if anything."""
    if found:
        write_file(folder / f"{_UNUSABLE}{unit.number:06d}.json", json_text(found).encode())


def unusable_notes(folder: Path) -> Iterator[str]:
    """Yield a note on each column with values that are NaN or infinite, after the units are written."""
    totals: dict[str, int] = {}
    firsts: dict[str, str] = {}
    for path in sorted(folder.glob(f"{_UNUSABLE}*.json")):
        for key, (count, first) in json.loads(path.read_text(encoding="utf-8")).items():
            totals[key] = totals.get(key, 0) + count
            firsts.setdefault(key, first)
    for key, count in totals.items():
        told = f"NaN or infinite values in column {key}: {count} (first: {firsts[key]})"
        yield printable(f"{told}; they are copied, and the column has no statistics")


def write_episodes(folder: Path, episodes: Iterable[PlacedEpisode]) -> None:
    """Write the episodes of a plan in order, holding a few hundred of them at a time."""
    target = folder / EPISODES_FILE
    attempt = target.with_name(attempt_name(target.name))
    rest = iter(episodes)
    try:
        with pq.ParquetWriter(attempt, _SCHEMA) as writer:
            while group := list(islice(rest, PLAN_GROUP_EPISODES)):
                writer.write_table(_table(group))
        sync_file(attempt)
        attempt.replace(target)
    finally:
        attempt.unlink(missing_ok=True)


def read_episodes(
    folder: Path, first: int = 0, last: int | None = None, *, key: str | None = None
) -> Iterator[PlacedEpisode]:
    """Yield the episodes first..last of a plan in order, reading little else.

    Args:
        folder: Folder of the plan.
        first: Number of the first one.
        last: Number after the last one; all that there are by default.
        key: The only camera to give tracks of, "" for none; all by default.
    """
    with open_parquet(folder / EPISODES_FILE) as file:
        last = file.metadata.num_rows if last is None else last
        start = 0
        columns = [field.name for field in _SCHEMA if field.name != "tracks" or key != ""]
        for group in range(file.num_row_groups):
            stop = start + file.metadata.row_group(group).num_rows
            if stop > first and start < last:
                begin, end = max(first, start), min(last, stop)
                yield from _placed(file.read_row_group(group, columns).slice(begin - start, end - begin), begin, key)
            start = stop


def _table(episodes: Sequence[PlacedEpisode]) -> pa.Table:
    locations = [placed.location for placed in episodes]
    tracks = [(key, track) for location in locations for key, track in location.tracks.items()]
    clips: dict[str, list[Any]] = {
        "key": [key for key, _ in tracks],
        "path": [str(track.clip.path) for _, track in tracks],
        "first": [track.clip.first for _, track in tracks],
        "size": [track.size for _, track in tracks],
        "is_copyable": [track.is_copyable for _, track in tracks],
        "rate": [str(track.clip.rate) if track.clip.rate else None for _, track in tracks],
    }
    clips |= {name: [getattr(track.encoding, name, None) for _, track in tracks] for name in _ENCODING}
    clip_arrays = [pa.array(clips[field.name], field.type) for field in _CLIP]
    clips_column = pa.StructArray.from_arrays(clip_arrays, fields=list(_CLIP))
    ends = [0, *accumulate(len(location.tracks) for location in locations)]
    columns: dict[str, Any] = {
        "source": [placed.source for placed in episodes],
        "episode": [location.index for location in locations],
        "first_index": [placed.first_index for placed in episodes],
        "length": [location.length for location in locations],
        "tasks": [location.tasks for location in locations],
        "row_path": [str(location.rows.path) for location in locations],
        "first_row": [location.rows.first for location in locations],
        "row_bytes": [location.row_bytes for location in locations],
        "replaces": [location.replaces for location in locations],
        "tracks": pa.ListArray.from_arrays(pa.array(ends, pa.int32()), clips_column),
    }
    return pa.table([pa.array(columns[field.name], field.type) for field in _SCHEMA], schema=_SCHEMA)


def _placed(table: pa.Table, first: int, key: str | None) -> Iterator[PlacedEpisode]:
    tracks = _tracks(table.column("tracks").combine_chunks(), key) if "tracks" in table.column_names else {}
    columns = (table.column(field.name).to_pylist() for field in _SCHEMA if field.name != "tracks")
    for row, values in enumerate(zip(*columns, strict=True)):
        source, episode, first_index, length, tasks, path, first_row, row_bytes, replaces = values
        own = {name: _track(length, *clip) for name, *clip in tracks.get(row, ())}
        rows = Rows(_path(path), first_row, length)
        location = EpisodeLocation(episode, length, tuple(tasks), rows, row_bytes, own, tuple(replaces))
        yield PlacedEpisode(first + row, first_index, source, location)


def _tracks(tracks: pa.ListArray, key: str | None) -> dict[int, list[tuple[Any, ...]]]:
    """Return row to what the plan has of its tracks, camera first."""
    clips, rows = tracks.flatten(), pc.list_parent_indices(tracks)
    if key is not None:
        is_wanted = pc.equal(clips.field("key"), key)
        clips, rows = clips.filter(is_wanted), rows.filter(is_wanted)
    found: dict[int, list[tuple[Any, ...]]] = {}
    columns = (clips.field(column.name).to_pylist() for column in _CLIP)
    for row, *clip in zip(rows.to_pylist(), *columns, strict=True):
        found.setdefault(row, []).append(tuple(clip))
    return found


def _track(length: int, path: str, first: int, size: int, is_copyable: bool, rate: str | None, *encoding: Any) -> Track:
    clip = Clip(_path(path), first, length, Fraction(rate) if rate else None)
    return Track(clip, size, _encoding(*encoding), is_copyable)


# Episodes side by side are in the same files and encoded alike.
_path = lru_cache(maxsize=256)(Path)


@lru_cache(maxsize=256)
def _encoding(codec: str | None, *more: Any) -> Encoding | None:
    return None if codec is None else Encoding(codec, *more)


class Planner(Protocol):
    """Decides the files of a dataset from its episodes, given one after the other."""

    def add(self, location: EpisodeLocation) -> None:
        """Place the next episode."""

    def keep(self, location: EpisodeLocation, root: Path) -> str:
        """Place the next episode of a dataset with kept files; return the obstacle, if any."""

    def finish(self) -> list[PlannedFile]:
        """Return the units of work."""


class VersionWriter(Protocol):
    """Writer of datasets of one version of the format."""

    @property
    def schema(self) -> pa.Schema:
        """Columns of the data files."""

    def planner(self) -> Planner:
        """Return a fresh planner."""

    def targets(self, unit: PlannedFile) -> list[str]:
        """Return the files that a unit writes, relative to the dataset."""

    def write(
        self, unit: PlannedFile, episodes: Iterable[PlacedEpisode], files: Mapping[str, Path], plan: DatasetPlan
    ) -> Mapping[str, tuple[int, str]]:
        """Write files of a unit.

        Args:
            unit: The unit.
            episodes: Its episodes, in order.
            files: Each file to write, of `targets`, to the path under which it is written.
            plan: The plan.

        Returns:
            Columns with values that are NaN or infinite: their number, and a sentence on the first.
        """

    def write_meta(
        self, out: Path, episodes: PlacedBatches, plan: DatasetPlan, histograms: Mapping[str, Array]
    ) -> Sequence[str]:
        """Write meta/, all but info.json and the statistics of the whole; the files of the dataset may be missing yet.

        Return notes on what was wrong in the metadata of the sources and is right in this one.

        Args:
            out: Folder that gets the folder meta.
            episodes: All episodes in order, some at a time; read once, never held.
            plan: The plan.
            histograms: Camera key to (3, 256) counts of its sampled pixel values; none for those not known.
        """

    def write_info(self, root: Path, out: Path, plan: DatasetPlan) -> None:
        """Write info.json as `out`, when all data and video files of the dataset in `root` exist."""


class TaskTable:
    """Task texts in order of first appearance, each with its index."""

    def __init__(self, tasks: Iterable[str] = ()) -> None:
        self._index: dict[str, int] = {}
        for task in tasks:
            self.index(task)

    def index(self, task: str) -> int:
        """Return the index of a task, adding it if it is new."""
        return self._index.setdefault(task, len(self._index))

    def indices(self, tasks: Sequence[str]) -> NDArray[np.int64]:
        """Return the index of each of some tasks: (n,)."""
        return np.array([self.index(task) for task in tasks], np.int64)

    @property
    def tasks(self) -> list[str]:
        """All tasks by index."""
        return list(self._index)

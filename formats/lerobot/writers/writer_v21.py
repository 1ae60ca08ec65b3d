"""Writer of datasets of v2.1: a file of rows and a clip per camera for each episode, and meta/ as JSON lines."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import groupby, pairwise
from operator import itemgetter
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa

from ....core.columns import Array
from ....core.commit import json_text
from ....core.features import DEFAULT_FEATURES, Feature, Features, vectors, video_cameras
from ....media.remux.byte_copier import copy_file
from ....media.remux.concat import split
from ....media.remux.video_index import prove
from .. import paths_v21
from ..datasets.dataset_info import DatasetInfo
from ..datasets.episode_location import EpisodeLocation, EpisodeMetadata
from ..features.feature_kind import data_schema, in_rows, kind_of, with_stats
from ..stats.feature_stats import MERGED_KEYS, STAT_KEYS
from ..stats.stored_stats import StatColumns, is_known, nested_lists
from .dataset_plan import DatasetPlan, PlacedBatches, PlacedEpisode, TaskTable
from .file_planner import PlannedFile
from .placed_rows import PlacedRows, Unusable
from .placed_stats import PlacedStats
from .writer_v30 import write_json, write_own

_INDICES = ("episode_index", "task_index", "index", "frame_index")

_HELD_VALUES = 1 << 20  # of each statistic of all features, at a time
UNIT_EPISODES = 128  # few enough to spread over ranks, enough to read a source file in one pass


def reference_features(features: Features) -> Features:
    """Return all features in the reference's order: cameras, vectors, the time after the action, the indices last.

    What comes after the columns of annotations (reward, done and the like) comes after the indices too.
    """
    own = [key for key in in_rows(features) if key not in DEFAULT_FEATURES]
    annotations = [at for at, key in enumerate(own) if features[key].points_into or key.startswith("annotation.")]
    cut = annotations[-1] + 1 if annotations else len(own)
    time = next((at + 1 for at, key in enumerate(own[:cut]) if key.startswith("action")), cut)
    order = [*own[:time], "timestamp", *own[time:cut], *_INDICES, *own[cut:]]
    rows = features | DEFAULT_FEATURES | {"timestamp": Feature("float64", (1,))}
    return video_cameras(features) | {key: rows[key] for key in order}


def reference_schema(features: Features) -> pa.Schema:
    """Return the arrow schema of a data file: vectors, named entry by entry, are lists of any length."""
    rows = in_rows(reference_features(features))
    return pa.schema([kind_of(feature).reference_field(key) for key, feature in rows.items()])


class UnitPlanner:
    """Cuts the episodes into runs; a rank writes the files of one kind of each."""

    def __init__(self, camera_keys: Iterable[str]) -> None:
        self._keys = ("", *camera_keys)
        self._kept = self._episodes = 0

    def add(self, location: EpisodeLocation) -> None:
        """Take the next episode."""
        self._episodes += 1

    def keep(self, location: EpisodeLocation, root: Path) -> str:
        """Take the next episode of a dataset with kept files; return the obstacle, if any."""
        clips = {key: (location.tracks[key].clip.path, location.tracks[key].clip.first) for key in self._keys if key}
        for key, (path, first) in ({"": (location.rows.path, 0)} | clips).items():
            if path != root / episode_path(key, self._episodes) or first:
                return f"episode {self._episodes} is from frame {first} of {path}, not named as LeRobot does it"
        self._episodes += 1
        self._kept = self._episodes
        return ""

    def finish(self) -> list[PlannedFile]:
        """Return all runs; none of both episodes that are kept and others."""
        starts = [*range(0, self._kept, UNIT_EPISODES), *range(self._kept, self._episodes, UNIT_EPISODES)]
        return [
            PlannedFile(key, number, first, last)
            for key in self._keys
            for number, (first, last) in enumerate(pairwise([*starts, self._episodes]))
        ]


def episode_path(key: str, episode: int) -> str:
    """Return the path of an episode's rows (key "") or frames, relative to the dataset."""
    return paths_v21.video_path(key, episode) if key else paths_v21.data_path(episode)


@dataclass(frozen=True, slots=True)
class WriterV21:
    """Writer of v2.1; a unit is a run of episodes, each with a file of its own.

    Attributes:
        info: Properties that all episodes of the dataset share.
        reference_exact: Write rows as the reference converters do, see `reference_features`.
    """

    info: DatasetInfo
    reference_exact: bool = False

    @property
    def schema(self) -> pa.Schema:
        """See the protocol."""
        features = self.info.features
        return reference_schema(features) if self.reference_exact else data_schema(features, "Sequence")

    def planner(self) -> UnitPlanner:
        """See the protocol."""
        return UnitPlanner(self.info.camera_keys)

    def targets(self, unit: PlannedFile) -> list[str]:
        """See the protocol."""
        return [episode_path(unit.key, episode) for episode in range(unit.first, unit.last)]

    def write(
        self, unit: PlannedFile, episodes: Iterable[PlacedEpisode], files: Mapping[str, Path], plan: DatasetPlan
    ) -> Unusable:
        """See the protocol; clips that were re-encoded have a file of their own, which is copied."""
        paired = ((placed, files.get(episode_path(unit.key, placed.index))) for placed in episodes)
        outs = [(placed, out) for placed, out in paired if out is not None]
        if not unit.key:
            return self._write_rows(outs, plan)
        tracks = [(placed.location.tracks[unit.key], out) for placed, out in outs]
        split([(track.clip, out) for track, out in tracks if track.is_copyable], self.info.fps)
        for track, out in tracks:
            if track.is_copyable:
                prove(out, track.clip.frames, self.info.fps)
            else:
                copy_file(track.clip.path, out)
        return {}

    def _write_rows(self, files: Sequence[tuple[PlacedEpisode, Path]], plan: DatasetPlan) -> Unusable:
        rows = PlacedRows(self.info.placed_features, self.info.fps, plan, self.schema)
        pieces = rows.tables(placed for placed, _ in files)
        for (_, out), (_, tables) in zip(files, groupby(pieces, key=itemgetter(0)), strict=True):
            with rows.writer(out) as writer:
                for _, table in tables:
                    writer.write_table(table, row_group_size=table.num_rows)
        rows.close()
        return rows.unusable

    def write_meta(
        self, out: Path, episodes: PlacedBatches, plan: DatasetPlan, histograms: Mapping[str, Array]
    ) -> Sequence[str]:
        """See the protocol."""
        features = self.info.placed_features
        rows = PlacedRows(vectors(features), self.info.fps, plan, data_schema(vectors(features), "Sequence"))
        stats = PlacedStats(features, TaskTable(plan.tasks), rows, keep_axes=True)
        with ExitStack() as stack:
            names = (paths_v21.EPISODES, paths_v21.EPISODES_STATS, paths_v21.PROVENANCE)
            episode_file, stats_file, origin_file = (stack.enter_context(_created(out / name)) for name in names)
            for batch, metadata in _in_parts(episodes, _most_episodes(self.info)):
                entries = _nested(stats.complete(batch, metadata.stats), self.info)
                more = metadata.extras.to_pylist() or [{} for _ in batch]
                for placed, entry, origin, extras in zip(
                    batch, entries, metadata.provenance.to_pylist(), more, strict=True
                ):
                    index = {"episode_index": placed.index}
                    at = placed.location
                    _line(episode_file, index | {"tasks": list(at.tasks), "length": at.length} | _known(extras))
                    _line(stats_file, index | {"stats": entry})
                    _line(origin_file, index | origin)
        rows.close()
        with _created(out / paths_v21.TASKS) as file:
            for number, task in enumerate(plan.tasks):
                extras = {name: values[number] for name, values in plan.task_columns.items()}
                _line(file, {"task_index": number, "task": task} | _known(extras))
        if plan.subtasks:
            with _created(out / paths_v21.SUBTASKS) as file:
                for number, subtask in enumerate(plan.subtasks):
                    _line(file, {"subtask_index": number, "subtask": subtask})
        write_own(out, self.info, plan, histograms)
        return stats.notes

    def write_info(self, root: Path, out: Path, plan: DatasetPlan) -> None:
        """See the protocol."""
        info, episodes = self.info, plan.episodes
        features = reference_features(info.features) if self.reference_exact else info.features | DEFAULT_FEATURES
        described = {
            key: kind_of(feature).info_entry(info.video_info.get(key, {}), root / episode_path(key, 0), info.fps)
            | dict(info.feature_keys.get(key, {}))
            for key, feature in features.items()
        }
        content = {
            "codebase_version": paths_v21.CODEBASE_VERSION,
            "robot_type": info.robot_type,
            "total_episodes": episodes,
            "total_frames": plan.frames,
            "total_tasks": len(plan.tasks),
            "total_videos": episodes * len(info.camera_keys),
            "total_chunks": -(-episodes // paths_v21.CHUNKS_SIZE),
            "chunks_size": paths_v21.CHUNKS_SIZE,
            "fps": info.fps,
            "splits": {"train": f"0:{episodes}"},
            "data_path": paths_v21.DATA_PATH,
            "video_path": paths_v21.VIDEO_PATH if info.camera_keys else None,
            "features": described,
        }
        write_json(out, content | ({"tools": info.tools} if info.tools else {}))


def _most_episodes(info: DatasetInfo) -> int:
    """Return of how many episodes statistics are held at a time: here they have all axes of their feature."""
    values = sum(math.prod(feature.shape) for feature in vectors(info.features).values())
    return max(1, _HELD_VALUES // max(1, values))


def _in_parts(episodes: PlacedBatches, most: int) -> Iterator[tuple[Sequence[PlacedEpisode], EpisodeMetadata]]:
    for batch, metadata in episodes:
        for first in range(0, len(batch), most):
            yield batch[first : first + most], metadata.part(first, first + most)


def _created(path: Path) -> IO[str]:
    path.parent.mkdir(parents=True, exist_ok=True)
    return open(path, "w", encoding="utf-8", newline="\n")


def _line(file: IO[str], entry: Mapping[str, Any]) -> None:
    file.write(json_text(entry) + "\n")


def _known(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in entry.items() if value is not None}


def _nested(stats: StatColumns, info: DatasetInfo) -> list[dict[str, dict[str, Any]]]:
    """Return statistics by episode and feature; LeRobot takes a feature without any, but none that is incomplete."""
    episodes: list[dict[str, dict[str, Any]]] = [{} for _ in next(iter(stats.values()))]
    for key, kind in with_stats(info.features | DEFAULT_FEATURES).items():
        columns = {name: stats[f"stats/{key}/{name}"] for name in STAT_KEYS if f"stats/{key}/{name}" in stats}
        lists = {name: nested_lists(f"stats/{key}/{name}", column) for name, column in columns.items()}
        known = {name: is_known(column) | kind.is_numeric for name, column in columns.items()}
        for row, episode in enumerate(episodes):
            found = {name: values[row] for name, values in lists.items() if known[name][row]}
            is_finite = all(np.isfinite(column[row]).all() for name, column in columns.items() if name in MERGED_KEYS)
            if is_finite and all(name in found for name in MERGED_KEYS):
                episode[key] = found
    return episodes

"""Writer of datasets of v3.0: data and video files, meta/, info.json last."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ....core.columns import Array
from ....core.commit import json_text
from ....core.features import DEFAULT_FEATURES, vectors
from ....media.remux.concat import join
from .. import paths_v30
from ..dataset_files import arrow_values
from ..datasets.dataset_info import DatasetInfo
from ..datasets.dataset_stats import dataset_stats, write_stats
from ..datasets.episode_location import EpisodeRecord
from ..features.feature_kind import data_schema, kind_of
from .dataset_plan import DatasetPlan, PlacedBatches, PlacedEpisode, TaskTable
from .episodes_table import EpisodesTable, gathered, joined
from .file_planner import DatasetPlanner, PlannedFile
from .placed_rows import PlacedRows, Unusable
from .placed_stats import PlacedStats

_PANDAS_TASKS = {
    # Without "index_columns" pandas gives a RangeIndex and every task becomes an integer.
    "index_columns": ["task"],
    "column_indexes": [
        {
            "name": None,
            "field_name": None,
            "pandas_type": "unicode",
            "numpy_type": "object",
            "metadata": {"encoding": "UTF-8"},
        }
    ],
    "columns": [
        {
            "name": "task_index",
            "field_name": "task_index",
            "pandas_type": "int64",
            "numpy_type": "int64",
            "metadata": None,
        },
        {"name": "task", "field_name": "task", "pandas_type": "unicode", "numpy_type": "object", "metadata": None},
    ],
    "creator": {"library": "pyarrow", "version": "17.0.0"},  # constant: the bytes must not depend on the library
    "pandas_version": "2.2.3",
}


def texts_table(texts: Sequence[str], name: str) -> pa.Table:
    """Return tasks.parquet or subtasks.parquet: column task_index or subtask_index, the text as pandas index.

    Args:
        texts: By number.
        name: "task" or "subtask".
    """
    described = json.dumps(_PANDAS_TASKS).replace('"task', f'"{name}')
    schema = pa.schema([(f"{name}_index", pa.int64()), (name, pa.string())], metadata={"pandas": described})
    return pa.table([pa.array(range(len(texts)), pa.int64()), pa.array(texts, pa.string())], schema=schema)


@dataclass(frozen=True, slots=True)
class WriterV30:
    """Writer of v3.0; a unit is a file.

    Attributes:
        info: Properties that all episodes of the dataset share.
    """

    info: DatasetInfo

    @property
    def schema(self) -> pa.Schema:
        """See the protocol."""
        return data_schema(self.info.features)

    def planner(self) -> DatasetPlanner:
        """See the protocol."""
        return DatasetPlanner(self.info.camera_keys, self.info.fps)

    def targets(self, unit: PlannedFile) -> list[str]:
        """See the protocol."""
        return [unit.path]

    def write(
        self, unit: PlannedFile, episodes: Iterable[PlacedEpisode], files: Mapping[str, Path], plan: DatasetPlan
    ) -> Unusable:
        """See the protocol."""
        out = files[unit.path]
        if unit.key:
            join([placed.location.tracks[unit.key].clip for placed in episodes], out, self.info.fps, faststart=True)
            return {}
        rows = PlacedRows(self.info.placed_features, self.info.fps, plan)
        with rows.writer(out) as writer:
            for _, table in rows.tables(episodes):
                writer.write_table(table, row_group_size=table.num_rows)
        rows.close()
        return rows.unusable

    def write_meta(
        self, out: Path, episodes: PlacedBatches, plan: DatasetPlan, histograms: Mapping[str, Array]
    ) -> Sequence[str]:
        """See the protocol."""
        features, fps = self.info.placed_features, self.info.fps
        rows = PlacedRows(vectors(features), fps, plan)
        stats = PlacedStats(features, TaskTable(plan.tasks), rows)
        with EpisodesTable(out, features, fps, plan.files, self.info.episode_columns) as table:
            for placed, metadata in gathered(episodes):
                table.add(placed, stats.complete(placed, metadata.stats), metadata)
        rows.close()
        tasks = texts_table(plan.tasks, "task")
        for name, values in plan.task_columns.items():
            tasks = tasks.append_column(name, [arrow_values(values)])
        pq.write_table(tasks, out / paths_v30.TASKS)
        if plan.subtasks:
            pq.write_table(texts_table(plan.subtasks, "subtask"), out / paths_v30.SUBTASKS)
        write_own(out, self.info, plan, histograms)
        return stats.notes

    def write_info(self, root: Path, out: Path, plan: DatasetPlan) -> None:
        """See the protocol."""
        firsts = {file.key: root / file.path for file in reversed(plan.files)}
        described = {
            key: kind_of(feature).info_entry(self.info.video_info.get(key, {}), firsts.get(key, root), self.info.fps)
            | dict(self.info.feature_keys.get(key, {}))
            for key, feature in (self.info.features | DEFAULT_FEATURES).items()
        }
        content = {
            "codebase_version": paths_v30.CODEBASE_VERSION,
            "robot_type": self.info.robot_type,
            "total_episodes": plan.episodes,
            "total_frames": plan.frames,
            "total_tasks": len(plan.tasks),
            "chunks_size": paths_v30.CHUNKS_SIZE,
            "data_files_size_in_mb": paths_v30.DATA_FILES_MB,
            "video_files_size_in_mb": paths_v30.VIDEO_FILES_MB,
            "fps": self.info.fps,
            "splits": {"train": f"0:{plan.episodes}"},
            "data_path": paths_v30.DATA_PATH,
            "video_path": paths_v30.VIDEO_PATH if self.info.camera_keys else None,
            "features": described,
        }
        write_json(out, content | ({"tools": self.info.tools} if self.info.tools else {}))


def write_own(out: Path, info: DatasetInfo, plan: DatasetPlan, histograms: Mapping[str, Array]) -> None:
    """Write what both versions have alike in meta/; arguments as in `VersionWriter.write_meta`."""
    counts = {key: np.asarray(counts).tolist() for key, counts in histograms.items() if key in info.features}
    if counts:
        write_json(out / paths_v30.HISTOGRAMS, counts)
    write_json(out / paths_v30.RUN, dict(info.run))


def write_dataset(
    root: Path, records: Sequence[EpisodeRecord], info: DatasetInfo, histograms: Mapping[str, Array]
) -> None:
    """Write a whole small dataset (a shard) in one go."""
    writer = WriterV30(info)
    planner = writer.planner()
    placed, index = [], 0
    for number, record in enumerate(records):
        planner.add(record.location)
        placed.append(PlacedEpisode(number, index, number, record.location))
        index += record.location.length
    tasks = TaskTable(task for record in records for task in record.location.tasks).tasks
    source_tasks = [record.source_tasks for record in records]
    plan = DatasetPlan(planner.finish(), tasks, source_tasks, len(placed), index, ())
    for file in plan.files:
        (root / file.path).parent.mkdir(parents=True, exist_ok=True)
        writer.write(file, placed[file.first : file.last], {file.path: root / file.path}, plan)
    writer.write_meta(root, [(placed, joined([record.metadata for record in records]))], plan, histograms)
    writer.write_info(root, root / paths_v30.INFO, plan)
    write_stats(root, dataset_stats(root))


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file of meta/ into a folder that is not committed yet."""
    path.write_text(json_text(content, indent=4) + "\n", encoding="utf-8")

"""Writer of datasets of v3.0: data and video files, meta/, info.json last."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ....core.columns import Array
from ....core.features import DEFAULT_FEATURES
from ....media.remux.concat import join
from .. import paths_v30
from ..datasets.dataset_info import DatasetInfo
from ..datasets.dataset_stats import dataset_stats, write_stats
from ..datasets.episode_location import EpisodeMetadata, EpisodeRecord
from ..features.feature_kind import kind_of
from .dataset_plan import PlacedEpisode, TaskTable
from .episodes_table import EpisodesTable, gathered, joined
from .file_planner import DatasetPlanner, PlannedFile
from .placed_rows import PlacedRows
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


def tasks_table(tasks: Sequence[str]) -> pa.Table:
    """Return tasks.parquet: column task_index, the task text as pandas index."""
    schema = pa.schema(
        [("task_index", pa.int64()), ("task", pa.string())], metadata={"pandas": json.dumps(_PANDAS_TASKS)}
    )
    return pa.table([pa.array(range(len(tasks)), pa.int64()), pa.array(tasks, pa.string())], schema=schema)


def write_planned_file(
    out: Path,
    file: PlannedFile,
    episodes: Iterable[PlacedEpisode],
    facts: DatasetInfo,
    tasks: TaskTable,
    source_tasks: Sequence[Sequence[str]] = (),
) -> None:
    """Write one planned file.

    Args:
        out: Where to write it.
        file: The plan.
        episodes: Its episodes, in order.
        facts: The dataset's facts.
        tasks: Every task of the dataset.
        source_tasks: Per source, its tasks by its own task_index, for rows that have one.
    """
    if file.key:
        join([placed.location.tracks[file.key].clip for placed in episodes], out, facts.fps, faststart=True)
        return
    rows = PlacedRows(facts.features, facts.fps, tasks, source_tasks)
    with rows.writer(out) as writer:
        for _, table in rows.tables(episodes):
            writer.write_table(table, row_group_size=table.num_rows)
    rows.close()


def write_meta(
    out: Path,
    episodes: Iterable[tuple[Sequence[PlacedEpisode], EpisodeMetadata]],
    facts: DatasetInfo,
    files: Sequence[PlannedFile],
    tasks: TaskTable,
    source_tasks: Sequence[Sequence[str]],
    histograms: Mapping[str, Array],
) -> None:
    """Write meta/, all but info.json and the statistics of the whole; no data or video file need be there.

    Args:
        out: Folder that gets the folder meta.
        episodes: All episodes in order, some at a time; read once, never held.
        facts: The dataset's facts.
        files: All planned files.
        tasks: Every task of the dataset.
        source_tasks: Per source, its tasks by its own task_index.
        histograms: Camera key to (3, 256) counts of its sampled pixel values; none for those not known.
    """
    rows = PlacedRows(facts.features, facts.fps, tasks, source_tasks)
    stats = PlacedStats(facts.features, tasks, rows)
    with EpisodesTable(out, facts.features, facts.fps, files) as table:
        for placed, metas in gathered(episodes):
            table.add(placed, stats.complete(placed, metas.stats), metas.provenance)
    rows.close()
    pq.write_table(tasks_table(tasks.tasks), out / paths_v30.TASKS)
    write_own(out, facts, histograms)


def write_own(out: Path, facts: DatasetInfo, histograms: Mapping[str, Array]) -> None:
    """Write what only robotrove reads in meta/, of either version; arguments as in `write_meta`."""
    counts = {key: np.asarray(counts).tolist() for key, counts in histograms.items() if key in facts.features}
    if counts:
        write_json(out / paths_v30.HISTOGRAMS, counts)
    write_json(out / paths_v30.RUN, dict(facts.run))


def write_info(
    root: Path,
    out: Path,
    facts: DatasetInfo,
    files: Sequence[PlannedFile],
    *,
    episodes: int,
    frames: int,
    tasks: int,
) -> None:
    """Write info.json after all data and video files are there.

    Args:
        root: The dataset, with its data and videos.
        out: Where to write it.
        facts: The dataset's facts.
        files: All planned files.
        episodes: Number of episodes.
        frames: Number of frames.
        tasks: Number of tasks.
    """
    firsts = {file.key: root / file.path for file in reversed(files)}
    described = {
        key: kind_of(feature).info_entry(facts.video_info.get(key, {}), firsts.get(key, root), facts.fps)
        for key, feature in (facts.features | DEFAULT_FEATURES).items()
    }
    content = {
        "codebase_version": paths_v30.CODEBASE_VERSION,
        "robot_type": facts.robot_type,
        "total_episodes": episodes,
        "total_frames": frames,
        "total_tasks": tasks,
        "chunks_size": paths_v30.CHUNKS_SIZE,
        "data_files_size_in_mb": paths_v30.DATA_FILES_MB,
        "video_files_size_in_mb": paths_v30.VIDEO_FILES_MB,
        "fps": facts.fps,
        "splits": {"train": f"0:{episodes}"},
        "data_path": paths_v30.DATA_PATH,
        "video_path": paths_v30.VIDEO_PATH if facts.camera_keys else None,
        "features": described,
    }
    write_json(out, content)


def write_dataset(
    root: Path, records: Sequence[EpisodeRecord], facts: DatasetInfo, histograms: Mapping[str, Array]
) -> None:
    """Write a whole small dataset (a shard) in one go."""
    tasks = TaskTable(task for record in records for task in record.location.tasks)
    planner = DatasetPlanner(facts.camera_keys, facts.fps)
    placed, index = [], 0
    for number, record in enumerate(records):
        planner.add(record.location)
        placed.append(PlacedEpisode(number, index, number, record.location))
        index += record.location.length
    files = planner.finish()
    source_tasks = [record.source_tasks for record in records]
    for file in files:
        (root / file.path).parent.mkdir(parents=True, exist_ok=True)
        write_planned_file(root / file.path, file, placed[file.first : file.last], facts, tasks, source_tasks)
    metas = joined([record.metadata for record in records])
    write_meta(root, [(placed, metas)], facts, files, tasks, source_tasks, histograms)
    counts = {"episodes": len(placed), "frames": index, "tasks": len(tasks.tasks)}
    write_info(root, root / paths_v30.INFO, facts, files, **counts)
    write_stats(root, dataset_stats(root))


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file of meta/ into a folder that is not committed yet."""
    path.write_text(json.dumps(content, indent=4, ensure_ascii=False) + "\n", encoding="utf-8")

"""Writing LeRobot v3.0: data files, video files and meta, each written once from a plan."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from ...core.columns import Array
from ...media.remux.concat import join
from . import paths
from .dataset_stats import dataset_stats, write_stats
from .episode_metas import EpisodeMetas, gathered, joined
from .episode_plan import PlacedEpisode
from .meta_table import MetaTable
from .placed_rows import PlacedRows
from .placed_stats import PlacedStats
from .placement import DatasetPlanner, PlannedFile
from .record import EpisodeRecord
from .schema import info, tasks_table
from .source import DatasetFacts
from .tasks import TaskTable
from .video_info import video_info


def write_file(
    out: Path,
    file: PlannedFile,
    episodes: Iterable[PlacedEpisode],
    facts: DatasetFacts,
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
        join([placed.files.tracks[file.key].clip for placed in episodes], out, facts.fps, faststart=True)
        return
    rows = PlacedRows(facts.features, facts.fps, tasks, source_tasks)
    with rows.writer(out) as writer:
        for _, table in rows.tables(episodes):
            writer.write_table(table, row_group_size=table.num_rows)
    rows.close()


def write_meta(
    out: Path,
    episodes: Iterable[tuple[Sequence[PlacedEpisode], EpisodeMetas]],
    facts: DatasetFacts,
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
    with MetaTable(out, facts.features, facts.fps, files) as table:
        for placed, metas in gathered(episodes):
            table.add(placed, stats.complete(placed, metas.stats), metas.provenance)
    rows.close()
    pq.write_table(tasks_table(tasks.tasks), out / paths.TASKS)
    write_own(out, facts, histograms)


def write_own(out: Path, facts: DatasetFacts, histograms: Mapping[str, Array]) -> None:
    """Write what only robotrove reads in meta/, of either version; arguments as in `write_meta`."""
    if histograms:
        write_json(out / paths.HISTOGRAMS, {key: np.asarray(counts).tolist() for key, counts in histograms.items()})
    write_json(out / paths.RUN, dict(facts.run))


def write_info(
    root: Path,
    out: Path,
    facts: DatasetFacts,
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
    described = {key: facts.video_info.get(key) or video_info(firsts[key], facts.fps) for key in facts.camera_keys}
    entry = info(
        facts.features,
        fps=facts.fps,
        robot_type=facts.robot_type,
        episodes=episodes,
        frames=frames,
        tasks=tasks,
        video_info=described,
    )
    write_json(out, entry)


def write_dataset(
    root: Path, records: Sequence[EpisodeRecord], facts: DatasetFacts, histograms: Mapping[str, Array]
) -> None:
    """Write a whole small dataset (a shard) in one go."""
    tasks = TaskTable(task for record in records for task in record.files.tasks)
    planner = DatasetPlanner(facts.camera_keys, facts.fps)
    placed, index = [], 0
    for number, record in enumerate(records):
        planner.add(record.files)
        placed.append(PlacedEpisode(number, index, number, record.episode, record.files))
        index += record.files.length
    files = planner.finish()
    source_tasks = [record.source_tasks for record in records]
    for file in files:
        (root / file.path).parent.mkdir(parents=True, exist_ok=True)
        write_file(root / file.path, file, placed[file.first : file.last], facts, tasks, source_tasks)
    metas = joined([record.metas for record in records])
    write_meta(root, [(placed, metas)], facts, files, tasks, source_tasks, histograms)
    counts = {"episodes": len(placed), "frames": index, "tasks": len(tasks.tasks)}
    write_info(root, root / paths.INFO, facts, files, **counts)
    write_stats(root, dataset_stats(root))


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file of meta/ into a folder that is not committed yet."""
    path.write_text(json.dumps(content, indent=4, ensure_ascii=False) + "\n", encoding="utf-8")

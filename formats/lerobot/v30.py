"""Writing LeRobot v3.0: data files, video files and meta, each written once from a plan."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ...core.features import Features
from ...media.join import join
from ...media.probe import probe
from . import paths
from .dataset_stats import dataset_stats, write_stats
from .meta_table import MetaTable
from .placement import PlannedFile, plan_files
from .record import EpisodeRecord, RowReader
from .schema import data_schema, info, tasks_table


@dataclass(frozen=True, slots=True)
class DatasetFacts:
    """What is the same for every episode of a dataset.

    Attributes:
        features: What it holds, the default five aside.
        fps: Frames per second.
        robot_type: As in info.json, None if unknown.
        run: What meta/robotrove/run.json says; no times and no absolute paths.
    """

    features: Features
    fps: int
    robot_type: str | None
    run: Mapping[str, Any]

    @property
    def camera_keys(self) -> list[str]:
        """Cameras stored as video."""
        return [key for key, feature in self.features.items() if feature.is_video]


class TaskTable:
    """Task texts in order of first appearance, each with its index."""

    def __init__(self, tasks: Iterable[str] = ()) -> None:
        self._index: dict[str, int] = {task: number for number, task in enumerate(tasks)}

    def index(self, task: str) -> int:
        """Return the index of a task, adding it if it is new."""
        return self._index.setdefault(task, len(self._index))

    @property
    def tasks(self) -> list[str]:
        """All tasks by index."""
        return list(self._index)


def plan_dataset(records: Iterable[EpisodeRecord], facts: DatasetFacts) -> list[PlannedFile]:
    """Decide which episode goes into which file."""
    sizes = ((record.length, record.row_bytes, dict(record.clip_bytes)) for record in records)
    return plan_files(sizes, facts.camera_keys, facts.fps)


def write_file(
    out: Path,
    file: PlannedFile,
    records: Iterable[EpisodeRecord],
    facts: DatasetFacts,
    *,
    first_index: int,
    tasks: TaskTable,
) -> None:
    """Write one planned file.

    Args:
        out: Where to write it.
        file: The plan.
        records: Its episodes, in order.
        facts: The dataset's facts.
        first_index: Global index of the file's first frame.
        tasks: Every task of the dataset.
    """
    if file.key:
        join([record.clips[file.key] for record in records], out, facts.fps, faststart=True)
    else:
        _write_rows(out, records, facts.features, file.first, first_index, tasks)


def _write_rows(
    out: Path,
    records: Iterable[EpisodeRecord],
    features: Features,
    first_episode: int,
    first_index: int,
    tasks: TaskTable,
) -> None:
    schema = data_schema(features)
    reader = RowReader()
    index = first_index
    with pq.ParquetWriter(out, schema, compression="snappy") as writer:
        for episode, record in enumerate(records, start=first_episode):
            for piece in reader.read(record.rows):
                count = piece.num_rows
                placed = {
                    "episode_index": np.full(count, episode),
                    "index": np.arange(index, index + count),
                    "task_index": np.full(count, tasks.index(record.task)),
                }
                columns = [
                    pa.array(placed[name], pa.int64()) if name in placed else piece.column(name).combine_chunks()
                    for name in schema.names
                ]
                writer.write_table(pa.table(columns, schema=schema), row_group_size=count)
                index += count
    reader.close()


def write_meta(
    root: Path,
    out: Path,
    records: Iterable[EpisodeRecord],
    facts: DatasetFacts,
    files: Sequence[PlannedFile],
    histograms: Mapping[str, np.ndarray[Any, np.dtype[np.int64]]],
) -> None:
    """Write meta/, all but the statistics of the whole, after all data and video files are there.

    Args:
        root: The dataset, with its data and videos.
        out: Folder that gets the folder meta.
        records: All episodes in order; read once, never held.
        facts: The dataset's facts.
        files: All planned files.
        histograms: Camera key to (3, 256) counts of its sampled pixel values.
    """
    tasks = TaskTable()
    with MetaTable(out, facts.features, facts.fps, files) as table:
        for record in records:
            table.add(record, tasks.index(record.task))
    pq.write_table(tasks_table(tasks.tasks), out / paths.TASKS)
    videos = {}
    for key in facts.camera_keys:
        seen = probe(root / paths.video_path(key, 0))
        videos[key] = {
            "video.height": seen.height,
            "video.width": seen.width,
            "video.codec": seen.codec,
            "video.pix_fmt": seen.pix_fmt,
            "video.is_depth_map": False,
            "video.fps": facts.fps,
            "video.channels": 3,
            "has_audio": False,
        }
    _write_json(
        out / paths.INFO,
        info(
            facts.features,
            fps=facts.fps,
            robot_type=facts.robot_type,
            episodes=table.episodes,
            frames=table.frames,
            tasks=len(tasks.tasks),
            video_info=videos,
        ),
    )
    _write_json(out / paths.HISTOGRAMS, {key: np.asarray(counts).tolist() for key, counts in histograms.items()})
    _write_json(out / paths.RUN, dict(facts.run))


def write_dataset(
    root: Path,
    records: Sequence[EpisodeRecord],
    facts: DatasetFacts,
    histograms: Mapping[str, np.ndarray[Any, np.dtype[np.int64]]],
) -> None:
    """Write a whole small dataset (a shard) in one go."""
    files = plan_dataset(records, facts)
    starts = np.concatenate([[0], np.cumsum([record.length for record in records])])
    tasks = TaskTable(record.task for record in records)
    for file in files:
        (root / file.path).parent.mkdir(parents=True, exist_ok=True)
        write_file(
            root / file.path,
            file,
            records[file.first : file.last],
            facts,
            first_index=int(starts[file.first]),
            tasks=tasks,
        )
    write_meta(root, root, records, facts, files, histograms)
    write_stats(root, dataset_stats(root))


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=4, ensure_ascii=False) + "\n", encoding="utf-8")

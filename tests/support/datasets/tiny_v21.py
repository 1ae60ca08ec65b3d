"""The tiny dataset as v2.1, written from the format's description."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from . import tiny_v30 as tiny

CHUNKS_SIZE = 3


def data_path(episode: int) -> str:
    return f"data/chunk-{episode // CHUNKS_SIZE:03d}/episode_{episode:06d}.parquet"


def video_path(key: str, episode: int) -> str:
    return f"videos/chunk-{episode // CHUNKS_SIZE:03d}/{key}/episode_{episode:06d}.mp4"


def info_json() -> dict[str, Any]:
    episodes = len(tiny.LENGTHS)
    return {
        "codebase_version": "v2.1",
        "robot_type": None,
        "total_episodes": episodes,
        "total_frames": sum(tiny.LENGTHS),
        "total_tasks": len(tiny.TASKS),
        "total_videos": 2 * episodes,
        "total_chunks": 2,
        "chunks_size": CHUNKS_SIZE,
        "fps": tiny.FPS,
        "splits": {"train": f"0:{episodes}"},
        "data_path": "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
        "video_path": "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4",
        "features": tiny.FEATURES,
    }


def hf_metadata(schema: pa.Schema, lists: str = "Sequence") -> dict[str, str]:
    """What `datasets` stores of the columns; from release 4 on it says List instead of Sequence."""
    described: dict[str, Any] = {}
    for field in schema:
        if field.name == tiny.TOP:
            described[field.name] = {"_type": "Image"}
        elif field.name == "observation.state":
            inner = {"dtype": "float32", "_type": "Value"}
            described[field.name] = {"feature": inner, "length": 3, "_type": lists}
        elif field.name == "grid":
            described[field.name] = {"shape": [2, 3], "dtype": "float64", "_type": "Array2D"}
        else:
            described[field.name] = {"dtype": str(field.type), "_type": "Value"}
    return {"huggingface": json.dumps({"info": {"features": described}})}


def episode_stats(values: dict[str, np.ndarray], rows: slice) -> dict[str, Any]:
    """Statistics as LeRobot 0.3.3 writes them: no quantiles, one for each entry of a grid."""
    stats = tiny.all_statistics(values, rows)
    grid = values["grid"][rows]
    stats["grid"] = tiny.statistics(grid.reshape(len(grid), -1), len(grid), (2, 3))
    return {key: {name: entry[name] for name in ("min", "max", "mean", "std", "count")} for key, entry in stats.items()}


def write_lines(path: Path, lines: Iterable[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def build(root: Path) -> None:
    values = tiny.columns()
    (root / "meta").mkdir(parents=True)
    episodes, stats = [], []
    for episode, length in enumerate(tiny.LENGTHS):
        rows = slice(int(tiny.STARTS[episode]), int(tiny.STARTS[episode + 1]))
        table = tiny.data_table(values, rows)
        path = root / data_path(episode)
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table.replace_schema_metadata(hf_metadata(table.schema)), path)
        frames = [tiny.picture(i, tiny.HEIGHT, tiny.WIDTH) for i in range(rows.start, rows.stop)]
        for key in (tiny.FRONT, tiny.WRIST):
            tiny.write_video(root / video_path(key, episode), frames, [0])
        tasks = [tiny.TASKS[tiny.EPISODE_TASKS[episode]]]
        episodes.append({"episode_index": episode, "tasks": tasks, "length": length})
        stats.append({"episode_index": episode, "stats": episode_stats(values, rows)})
    (root / "meta/info.json").write_text(json.dumps(info_json(), indent=4))
    write_lines(root / "meta/episodes.jsonl", episodes)
    write_lines(root / "meta/episodes_stats.jsonl", stats)
    write_lines(root / "meta/tasks.jsonl", ({"task_index": i, "task": task} for i, task in enumerate(tiny.TASKS)))

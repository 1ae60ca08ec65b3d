"""A tiny LeRobot v3.0 dataset, written from the format's description with pyarrow, PyAV and numpy only."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

FPS = 10
LENGTHS = [4, 3, 5, 2, 6]
TASKS = ["stack the cubes", "open the drawer"]
EPISODE_TASKS = [0, 1, 1, 0, 0]
FRONT, WRIST, TOP = "observation.images.front", "observation.images.wrist", "observation.images.top"
HEIGHT, WIDTH = 32, 48
STARTS = np.concatenate([[0], np.cumsum(LENGTHS)])
DATA_FILES = [[0, 1, 2], [3, 4]]  # episodes in each file
VIDEO_FILES = {FRONT: [[0, 1, 2, 3, 4]], WRIST: [[0, 1], [2, 3, 4]]}
LEVELS = {"q01": 0.01, "q10": 0.1, "q50": 0.5, "q90": 0.9, "q99": 0.99}

CAMERA_NAMES = ["height", "width", "channels"]
FEATURES: dict[str, dict[str, Any]] = {
    "observation.state": {"dtype": "float32", "shape": [3], "names": ["x", "y", "z"]},
    "grid": {"dtype": "float64", "shape": [2, 3], "names": None},
    "gripper_open": {"dtype": "bool", "shape": [1], "names": None},
    "note": {"dtype": "string", "shape": [1], "names": None},
    TOP: {"dtype": "image", "shape": [6, 8, 3], "names": CAMERA_NAMES},
    FRONT: {"dtype": "video", "shape": [HEIGHT, WIDTH, 3], "names": CAMERA_NAMES, "info": {"video.fps": FPS}},
    WRIST: {"dtype": "video", "shape": [HEIGHT, WIDTH, 3], "names": CAMERA_NAMES, "info": {"video.height": HEIGHT}},
    "timestamp": {"dtype": "float32", "shape": [1], "names": None},
    **{
        key: {"dtype": "int64", "shape": [1], "names": None}
        for key in ("frame_index", "episode_index", "index", "task_index")
    },
}


def info_json() -> dict[str, Any]:
    return {
        "codebase_version": "v3.0",
        "robot_type": None,
        "total_episodes": len(LENGTHS),
        "total_frames": sum(LENGTHS),
        "total_tasks": len(TASKS),
        "chunks_size": 1000,
        "data_files_size_in_mb": 100,
        "video_files_size_in_mb": 200,
        "fps": FPS,
        "splits": {"train": f"0:{len(LENGTHS)}"},
        "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
        "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
        "features": FEATURES,
    }


def png(frame: np.ndarray) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", frame.shape[1], frame.shape[0], 8, 2, 0, 0, 0)
    lines = b"".join(b"\0" + line.tobytes() for line in frame)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(lines)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def write_video(
    path: Path,
    frames: Iterable[np.ndarray],
    keyframes: Iterable[int],
    *,
    fps: int | Fraction = FPS,
    first_pts: int = 0,
    bf: int = 0,
) -> None:
    """Encode frames with so many B-frames between others; only those named are keyframes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    wanted = set(keyframes)
    options = {"bf": str(bf), "g": "1000", "sc_threshold": "0", "forced-idr": "1", "crf": "18", "threads": "1"}
    options |= {"b_strategy": "0", "b-pyramid": "none"}
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options=options)
        stream.pix_fmt = "yuv420p"
        for index, pixels in enumerate(frames):
            if index == 0:
                stream.height, stream.width = pixels.shape[:2]
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = index + first_pts, 1 / Fraction(fps)
            if index in wanted:
                frame.pict_type = av.video.frame.PictureType.I
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def picture(index: int, height: int, width: int) -> np.ndarray:
    frame = np.zeros((height, width, 3), np.uint8)
    frame[: height // 2] = (10 * index, 200, 40)
    return frame


def columns() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(7)
    total = sum(LENGTHS)
    frame_index = np.concatenate([np.arange(length) for length in LENGTHS])
    return {
        "observation.state": rng.normal(size=(total, 3)).astype(np.float32),
        "grid": rng.normal(size=(total, 2, 3)),
        "gripper_open": rng.random(total) < 0.5,
        "timestamp": (frame_index / FPS).astype(np.float32),
        "frame_index": frame_index,
        "episode_index": np.repeat(np.arange(len(LENGTHS)), LENGTHS),
        "index": np.arange(total),
        "task_index": np.repeat(EPISODE_TASKS, LENGTHS),
    }


def data_table(values: dict[str, np.ndarray], rows: slice) -> pa.Table:
    chosen = {key: value[rows] for key, value in values.items()}
    arrays = {
        "observation.state": pa.FixedSizeListArray.from_arrays(pa.array(chosen["observation.state"].ravel()), 3),
        "grid": pa.array(chosen["grid"].tolist(), pa.list_(pa.list_(pa.float64()))),
        "gripper_open": pa.array(chosen["gripper_open"]),
        "note": pa.array([f"n{i}" for i in chosen["index"]]),
        TOP: pa.array(
            [{"bytes": png(picture(i, 6, 8)), "path": f"frame-{i:06d}.png"} for i in chosen["index"]],
            pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
        ),
    }
    names = ("timestamp", "frame_index", "episode_index", "index", "task_index")
    return pa.table(arrays | {name: pa.array(chosen[name]) for name in names})


def statistics(values: np.ndarray, count: int, shape: tuple[int, ...]) -> dict[str, Any]:
    """Statistics of (n, D), as nested lists."""
    table = values.astype(np.float64)
    found = {"min": table.min(0), "max": table.max(0), "mean": table.mean(0), "std": table.std(0)}
    found |= {key: np.quantile(table, level, axis=0) for key, level in LEVELS.items()}
    return {key: value.reshape(shape).tolist() for key, value in found.items()} | {"count": [count]}


def all_statistics(values: dict[str, np.ndarray], rows: slice) -> dict[str, dict[str, Any]]:
    count = len(values["index"][rows])
    stats = {}
    for key, value in values.items():
        table = value[rows].reshape(-1, value.shape[-1] if value.ndim > 1 else 1)
        stats[key] = statistics(table, count, (table.shape[1],))
    for key, size in ((TOP, (6, 8)), (FRONT, (HEIGHT, WIDTH)), (WRIST, (HEIGHT, WIDTH))):
        pixels = np.concatenate([picture(i, *size).reshape(-1, 3) for i in values["index"][rows]])
        stats[key] = statistics(pixels / 255, count, (3, 1, 1))
    return stats


def episode_rows(values: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    rows = []
    for episode, length in enumerate(LENGTHS):
        first, last = int(STARTS[episode]), int(STARTS[episode + 1])
        row: dict[str, Any] = {"episode_index": episode, "tasks": [TASKS[EPISODE_TASKS[episode]]], "length": length}
        row |= {"data/chunk_index": 0, "data/file_index": next(i for i, f in enumerate(DATA_FILES) if episode in f)}
        row |= {"dataset_from_index": first, "dataset_to_index": last}
        for key, files in VIDEO_FILES.items():
            number = next(i for i, file in enumerate(files) if episode in file)
            begin = first - int(STARTS[files[number][0]])
            row |= {f"videos/{key}/chunk_index": 0, f"videos/{key}/file_index": number}
            row |= {f"videos/{key}/from_timestamp": begin / FPS, f"videos/{key}/to_timestamp": (begin + length) / FPS}
        for key, stats in all_statistics(values, slice(first, last)).items():
            row |= {f"stats/{key}/{name}": value for name, value in stats.items()}
        rows.append(row | {"meta/episodes/chunk_index": 0, "meta/episodes/file_index": 0})
    return rows


def tasks_table() -> pa.Table:
    pandas = {"index_columns": ["task"], "columns": [], "column_indexes": []}
    table = pa.table({"task_index": pa.array(range(len(TASKS)), pa.int64()), "task": TASKS})
    return table.replace_schema_metadata({"pandas": json.dumps(pandas)})


def build(root: Path) -> None:
    values = columns()
    tables = {f"data/chunk-000/file-{n:03d}.parquet": data_table(values, slice(STARTS[f[0]], STARTS[f[-1] + 1]))
              for n, f in enumerate(DATA_FILES)}  # fmt: skip
    tables |= {"meta/tasks.parquet": tasks_table()}
    tables |= {"meta/episodes/chunk-000/file-000.parquet": pa.Table.from_pylist(episode_rows(values))}
    for path, table in tables.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, root / path)
    (root / "meta/info.json").write_text(json.dumps(info_json(), indent=4))
    (root / "meta/stats.json").write_text(json.dumps(all_statistics(values, slice(None)), indent=4))
    for key, files in VIDEO_FILES.items():
        for number, episodes in enumerate(files):
            base = int(STARTS[episodes[0]])
            frames = [picture(i, HEIGHT, WIDTH) for i in range(base, int(STARTS[episodes[-1] + 1]))]
            path = root / "videos" / key / "chunk-000" / f"file-{number:03d}.mp4"
            write_video(path, frames, [int(STARTS[e]) - base for e in episodes])

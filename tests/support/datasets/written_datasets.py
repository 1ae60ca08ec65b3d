"""Small LeRobot datasets of both versions, written from the format's description with pyarrow, PyAV and numpy only."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

FPS = 10
LENGTHS = [4, 3, 5, 2]
STARTS = [0, 4, 7, 12, 14]
TASKS = ["stack the cubes", "open the drawer"]
EPISODE_TASKS = [[0], [1], [0, 1], [1]]
FRONT, WRIST = "observation.images.front", "observation.images.wrist"
HEIGHT, WIDTH = 16, 32
CAMERA = {"dtype": "video", "shape": [HEIGHT, WIDTH, 3], "names": ["height", "width", "channels"]}
FEATURES: dict[str, dict[str, Any]] = {
    "observation.state": {"dtype": "float32", "shape": [3], "names": {"motors": ["x", "y", "z"]}},
    "grid": {"dtype": "float32", "shape": [2, 3], "names": None},
    "done": {"dtype": "bool", "shape": [1], "names": None},
    "note": {"dtype": "string", "shape": [1], "names": None},
    FRONT: CAMERA | {"info": {"video.codec": "h264"}},
    WRIST: CAMERA | {"video_info": {"video.fps": 10.0}},
}
DEFAULTS = {"timestamp": "float32"} | dict.fromkeys(("frame_index", "episode_index", "index", "task_index"), "int64")
STAT_NAMES = ("min", "max", "mean", "std", "q01", "q10", "q50", "q90", "q99")
DATA_FILES = [[0, 1], [2, 3]]
VIDEO_FILES = {FRONT: [[0], [1, 2, 3]], WRIST: [[0, 1], [2, 3]]}
META_FILES = [[0, 1, 2], [3]]
V30_EPISODES = [f"meta/episodes/chunk-000/file-{number:03d}.parquet" for number in range(len(META_FILES))]


def info(version: str, **more: Any) -> dict[str, Any]:
    """info.json, with its features as recorders order them."""
    default = {key: {"dtype": dtype, "shape": [1], "names": None} for key, dtype in DEFAULTS.items()}
    content = {"codebase_version": version, "robot_type": "so101", "fps": FPS, "features": FEATURES | default}
    return content | more


def known(episode: int, key: str, name: str) -> Any:
    """A made-up statistic, another one for each episode, feature and name."""
    if name == "count":
        return [LENGTHS[episode]]
    base = 100.0 * episode + 10 * list(FEATURES | DEFAULTS).index(key) + STAT_NAMES.index(name)
    if key in (FRONT, WRIST):
        return [[[base]], [[base + 0.25]], [[base + 0.5]]]
    return [base + 0.25 * place for place in range(3 if key in ("observation.state", "grid") else 1)]


def known_stats(episode: int) -> dict[str, dict[str, Any]]:
    """Feature to statistic to nested lists, of all features that have some."""
    keys = [key for key in FEATURES | DEFAULTS if key != "note"]
    return {key: {name: known(episode, key, name) for name in (*STAT_NAMES, "count")} for key in keys}


def write_json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def write_lines(path: Path, entries: Iterable[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries), encoding="utf-8")


def edit_json(path: Path, change: Callable[[Any], None]) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    write_json(path, content)


def edit_lines(path: Path, change: Callable[[list[Any]], None]) -> None:
    entries = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    change(entries)
    write_lines(path, entries)


def write_table(path: Path, table: pa.Table) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)


def edit_rows(path: Path, change: Callable[[list[dict[str, Any]]], Any]) -> None:
    """Change a parquet file as a list of rows; types are inferred anew."""
    rows = pq.read_table(path).to_pylist()
    change(rows)
    write_table(path, pa.Table.from_pylist(rows))


def write_video(
    path: Path, numbers: Sequence[int], keyframes: Iterable[int] = (0,), *, first_pts: int = 0, fps: int = FPS
) -> None:
    """Encode one grey frame for each number (see `grey`), keyframes only at the places named."""
    path.parent.mkdir(parents=True, exist_ok=True)
    wanted = set(keyframes)
    options = {"bf": "0", "g": "1000", "sc_threshold": "0", "forced-idr": "1", "crf": "10", "threads": "1"}
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options=options)
        stream.pix_fmt, stream.width, stream.height = "yuv420p", WIDTH, HEIGHT
        for place, number in enumerate(numbers):
            frame = av.VideoFrame.from_ndarray(np.full((HEIGHT, WIDTH, 3), grey(number), np.uint8), format="rgb24")
            frame.pts, frame.time_base = place + first_pts, Fraction(1, fps)
            if place in wanted:
                frame.pict_type = av.video.frame.PictureType.I
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def grey(number: int) -> int:
    """Level of the number-th frame of a dataset."""
    return 20 + 15 * number


def frames_of(episode: int) -> range:
    """Numbers of an episode's frames in the dataset."""
    return range(STARTS[episode], STARTS[episode + 1])


def data_rows(episodes: Iterable[int]) -> pa.Table:
    index = np.array([number for episode in episodes for number in frames_of(episode)])
    episode = np.searchsorted(STARTS, index, side="right") - 1
    frame = index - np.array(STARTS)[episode]
    return pa.table(
        {
            "observation.state": np.arange(3)[None].repeat(len(index), 0).tolist(),
            "grid": np.zeros((len(index), 2, 3)).tolist(),
            "done": np.zeros(len(index), bool),
            "note": [f"n{number}" for number in index],
            "timestamp": (frame / FPS).astype(np.float32),
            "frame_index": frame,
            "episode_index": episode,
            "index": index,
            "task_index": [EPISODE_TASKS[number][0] for number in episode],
        }
    )


def place_of(episode: int, files: Sequence[Sequence[int]]) -> tuple[int, int]:
    """Return (number of the file that an episode is in, first frame there)."""
    number = next(number for number, file in enumerate(files) if episode in file)
    return number, STARTS[episode] - STARTS[files[number][0]]


def write_v30(root: Path) -> Path:
    """Write a v3.0 dataset with several files of each kind, which rotate independently."""
    paths = {
        "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
        "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
    }
    write_json(root / "meta/info.json", info("v3.0", **paths))
    write_table(root / "meta/tasks.parquet", pa.table({"task_index": range(len(TASKS)), "task": TASKS}))
    rows = []
    for episode, length in enumerate(LENGTHS):
        row: dict[str, Any] = {"episode_index": episode, "length": length}
        row["tasks"] = [TASKS[task] for task in EPISODE_TASKS[episode]]
        row |= {"data/chunk_index": 0, "data/file_index": place_of(episode, DATA_FILES)[0]}
        for key, files in VIDEO_FILES.items():
            number, first = place_of(episode, files)
            row |= {f"videos/{key}/chunk_index": 0, f"videos/{key}/file_index": number}
            row |= {f"videos/{key}/from_timestamp": first / FPS, f"videos/{key}/to_timestamp": (first + length) / FPS}
        for key, stats in known_stats(episode).items():
            row |= {f"stats/{key}/{name}": value for name, value in stats.items()}
        # As LeRobot's merges leave them: of files that are not there.
        rows.append(row | {"meta/episodes/chunk_index": 0, "meta/episodes/file_index": 7})
    for path, episodes in zip(V30_EPISODES, META_FILES, strict=True):
        write_table(root / path, pa.Table.from_pylist([rows[episode] for episode in episodes]))
    for number, episodes in enumerate(DATA_FILES):
        write_table(root / f"data/chunk-000/file-{number:03d}.parquet", data_rows(episodes))
    for key, files in VIDEO_FILES.items():
        for number, episodes in enumerate(files):
            frames = [frame for episode in episodes for frame in frames_of(episode)]
            keyframes = [place_of(episode, files)[1] for episode in episodes]
            write_video(root / f"videos/{key}/chunk-000/file-{number:03d}.mp4", frames, keyframes)
    return root


def write_v21(root: Path) -> Path:
    """Write a v2.1 dataset with two episodes per chunk."""
    paths = {
        "chunks_size": 2,
        "data_path": "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
        "video_path": "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4",
    }
    write_json(root / "meta/info.json", info("v2.1", **paths))
    write_lines(root / "meta/tasks.jsonl", [{"task_index": i, "task": task} for i, task in enumerate(TASKS)])
    episodes = range(len(LENGTHS))
    described = [
        {"episode_index": e, "tasks": [TASKS[task] for task in EPISODE_TASKS[e]], "length": LENGTHS[e]}
        for e in episodes
    ]
    write_lines(root / "meta/episodes.jsonl", described)
    write_lines(root / "meta/episodes_stats.jsonl", [{"episode_index": e, "stats": known_stats(e)} for e in episodes])
    for episode in episodes:
        write_table(root / v21_path(episode), data_rows([episode]))
        for key in (FRONT, WRIST):
            write_video(root / v21_path(episode, key), frames_of(episode))
    return root


def v21_path(episode: int, key: str = "") -> str:
    """Path of an episode's rows, or of its frames of a camera."""
    chunk = f"chunk-{episode // 2:03d}"
    if key:
        return f"videos/{chunk}/{key}/episode_{episode:06d}.mp4"
    return f"data/{chunk}/episode_{episode:06d}.parquet"

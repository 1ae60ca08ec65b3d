"""Recordings whose every frame has a number of its own, and datasets made of them in this process."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from robotrove.blocks.dataset.aggregator import Aggregator
from robotrove.blocks.dataset.dataset_stats import DatasetStats
from robotrove.blocks.dataset.downgrader import Downgrader
from robotrove.blocks.source.hdf5_reader import Hdf5Reader
from robotrove.blocks.writer.shard_writer import ShardWriter
from robotrove.formats.hdf5.samples.pictures import draw_marker, pictures
from robotrove.manifests.run_report import RunReport
from robotrove.media.encode.settings import VideoSettings
from robotrove.pipelines.pipeline import Pipeline
from robotrove.tests.support.pipelines.runs import Here

FPS = 10
FRONT, WRIST = "observation.images.front", "observation.images.wrist"
SIZES = {FRONT: (64, 64), WRIST: (32, 48)}
H264 = VideoSettings(codec="libx264", preset="ultrafast")
AV1 = VideoSettings(codec="libsvtav1")


@dataclass(frozen=True)
class Recorded:
    """One episode as it was recorded.

    Attributes:
        task: Its instruction.
        first: Number of its first frame; the others count on.
        rows: Feature to (T, *shape).
        frames: Camera to (T, height, width, 3) uint8.
    """

    task: str
    first: int
    rows: Mapping[str, Any]
    frames: Mapping[str, np.ndarray]

    @property
    def length(self) -> int:
        return len(self.rows["action"])

    @property
    def numbers(self) -> list[int]:
        return list(range(self.first, self.first + self.length))


def record(
    path: Path, lengths: Sequence[int], tasks: Sequence[str], first: int, sizes: Mapping[str, tuple[int, int]] = SIZES
) -> list[Recorded]:
    """Write an HDF5 file of episodes; their frames have the numbers `first`, `first` + 1 …, tasks take turns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    dice = np.random.default_rng(first)
    episodes = []
    with h5py.File(path, "w") as file:
        for number, length in enumerate(lengths):
            rows: dict[str, Any] = {
                "action": dice.normal(size=(length, 3)).astype(np.float32),
                "observation.state": dice.random((length, 2)).astype(np.float32),
                "observation.matrix": dice.normal(size=(length, 2, 3)).astype(np.float32),
                "observation.stage": dice.integers(0, 9, (length, 1)),
                "note": np.array([f"row {row} of «{first}»" for row in range(length)], object),
            }
            frames = {}
            for camera, (key, (height, width)) in enumerate(sizes.items()):
                frames[key] = np.stack(list(pictures(length, height, width, camera, seed=first % 7)))
                for row, frame in enumerate(frames[key]):
                    draw_marker(frame, first + row, camera)
            group = file.create_group(f"runs/run_{number}")
            group.attrs["prompt"] = tasks[number % len(tasks)]
            for key, values in (rows | frames).items():
                flat = values.reshape(-1) if values.shape[1:] == (1,) else values
                group.create_dataset(key, data=flat, dtype=h5py.string_dtype() if key == "note" else None)
            episodes.append(Recorded(tasks[number % len(tasks)], first, rows, frames))
            first += length
    return episodes


def conversion(path: Path, *others: Path, video: VideoSettings = H264, **more: Any) -> Pipeline:
    """Return the pipeline that converts such files."""
    with h5py.File(path) as file:
        keys = list(file["runs/run_0"])
    source = Hdf5Reader(
        files=[str(file) for file in (path, *others)],
        layout="generic",
        columns={key: {"from": key} for key in keys},
        options={"episodes": "/runs/run_*", "task_from": "attr:prompt"},
        fps=more.pop("fps", FPS),
    )
    writer = ShardWriter(video=video, robot_type=more.pop("robot_type", "arm"))
    return Pipeline(source=source, writer=writer, **more)


@dataclass(frozen=True)
class Made:
    """A dataset and what was recorded for it."""

    root: Path
    episodes: list[Recorded]


def make(
    folder: Path,
    name: str,
    lengths: Sequence[int],
    tasks: Sequence[str],
    first: int,
    video: VideoSettings = H264,
    sizes: Mapping[str, tuple[int, int]] = SIZES,
    **more: Any,
) -> Made:
    """Record episodes and make a dataset of them."""
    source = folder / "recorded" / f"{name}.hdf5"
    episodes = record(source, lengths, tasks, first, sizes)
    conversion(source, video=video, **more).run(output=folder / name, run_dir=folder / "runs" / name, executor=Here())
    return Made(folder / name, episodes)


def aggregate(inputs: Sequence[Path], output: Path, **more: Any) -> RunReport:
    """Join datasets in this process, as the command does it."""
    blocks = [Aggregator(datasets=[str(path) for path in inputs], **more), DatasetStats()]
    return Pipeline(dataset=blocks).run(output=output, executor=Here())


def convert(source: Path, version: str, output: Path, **more: Any) -> RunReport:
    """Bring a dataset to another version in this process, as the command does it."""
    if version == "v3.0":
        return aggregate([source], output, on_mismatch="reencode", **more)
    return Pipeline(dataset=[Downgrader(datasets=[str(source)], **more)]).run(output=output, executor=Here())


def make_both(
    folder: Path,
    name: str,
    lengths: Sequence[int],
    tasks: Sequence[str],
    first: int,
    sizes: Mapping[str, tuple[int, int]],
) -> None:
    """Make the dataset `name` as `make` does, and the same in v2.1 as NAME_v21."""
    convert(make(folder, name, lengths, tasks, first, sizes=sizes).root, "v2.1", folder / f"{name}_v21")


def digests(*roots: Path) -> dict[Path, str]:
    """Return the SHA-256 of every file."""
    files = (path for root in roots for path in sorted(root.rglob("*")) if path.is_file())
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@contextmanager
def quickly() -> Iterator[None]:
    """Let runs in this process not wait for the disk; for fixtures that live longer than a test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda descriptor: None)
        yield

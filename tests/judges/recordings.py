"""What the judges' LeRobot records for the tests, and the truth about it: every value that went in."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from robotrove.formats.hdf5.samples.pictures import draw_marker, pictures
from robotrove.tests.judges.releases import run_script

FRONT, WRIST, STILL = (f"observation.images.{name}" for name in ("front", "wrist", "still"))
HEIGHT, WIDTH = 64, 96
CAMERA = {"dtype": "video", "shape": [HEIGHT, WIDTH, 3], "names": ["height", "width", "channels"]}
PLAIN: dict[str, dict[str, Any]] = {
    "action": {"dtype": "float32", "shape": [4], "names": ["a", "b", "c", "d"]},
    "observation.state": {"dtype": "float32", "shape": [3], "names": None},
    "observation.stage": {"dtype": "int64", "shape": [1], "names": None},
    "next.done": {"dtype": "bool", "shape": [1], "names": None},
    "note": {"dtype": "string", "shape": [1], "names": None},
    FRONT: CAMERA,
    WRIST: CAMERA,
}
STILLS = {STILL: CAMERA | {"dtype": "image"}}
# Tables as values: LeRobot reads and writes them, but its converter and its merge do not get through them.
RICH = PLAIN | STILLS | {"observation.matrix": {"dtype": "float32", "shape": [2, 3], "names": None}}
# One camera with nothing but the marker: thousands of frames.
LONG = {"action": PLAIN["action"], FRONT: CAMERA | {"shape": [32, 48, 3]}}
# Some kilobytes: several files of rows and of each camera, in folders of two.
SMALL_FILES = {"chunks_size": 2, "data_files_size_in_mb": 0.012, "video_files_size_in_mb": 0.02}


@dataclass(frozen=True, slots=True)
class Truth:
    """What a dataset must hold.

    Attributes:
        fps: Frames per second.
        lengths: Frames of each episode.
        rows: Feature to rows (N, *shape) of the whole dataset, cameras as uint8 RGB, and `task` as strings.
        markers: Number in the marker of each frame, the same in all cameras.
    """

    fps: int
    lengths: list[int]
    rows: dict[str, np.ndarray] = field(repr=False)
    markers: np.ndarray = field(repr=False)

    def __add__(self, other: Truth) -> Truth:
        rows = {key: np.concatenate([values, other.rows[key]]) for key, values in self.rows.items()}
        markers = np.concatenate([self.markers, other.markers])
        return replace(self, lengths=self.lengths + other.lengths, rows=rows, markers=markers)

    def without(self, episodes: Sequence[int]) -> Truth:
        """Return what is left when these episodes are taken out."""
        left = [number for number in range(len(self.lengths)) if number not in episodes]
        keep = np.isin(self.index["episode_index"], left)
        rows = {key: values[keep] for key, values in self.rows.items()}
        return replace(self, lengths=[self.lengths[number] for number in left], rows=rows, markers=self.markers[keep])

    @property
    def index(self) -> dict[str, np.ndarray]:
        """The columns that every dataset has, `task_index` aside: who writes a dataset numbers its tasks."""
        frame_index = np.concatenate([np.arange(length) for length in self.lengths])
        return {
            "frame_index": frame_index,
            "timestamp": (frame_index / self.fps).astype(np.float32),
            "episode_index": np.repeat(np.arange(len(self.lengths)), self.lengths),
            "index": np.arange(sum(self.lengths)),
        }

    @property
    def episode_tasks(self) -> list[set[str]]:
        """The instructions of each episode."""
        return [set(part.tolist()) for part in np.split(self.rows["task"], np.cumsum(self.lengths)[:-1])]

    @property
    def cameras(self) -> list[str]:
        return [key for key in self.rows if key.startswith("observation.images.")]


def imagine(
    features: Mapping[str, Mapping[str, Any]], lengths: Sequence[int], tasks: Sequence[str], fps: int, first: int
) -> Truth:
    """Make up an episode of each length; the tasks take turns, and every third episode has two of them.

    Args:
        features: PLAIN, RICH or LONG.
        lengths: Frames of each episode.
        tasks: Instructions.
        fps: Frames per second.
        first: Number of the first frame, in its marker and in the values.
    """
    total = sum(lengths)
    numbers = np.arange(first, first + total)
    rng = np.random.default_rng(first)
    rows: dict[str, np.ndarray] = {}
    for key, feature in features.items():
        shape, dtype = tuple(feature["shape"]), feature["dtype"]
        if dtype in ("video", "image") and shape[-1] == 1:
            rows[key] = depth(numbers, shape[0], shape[1])
        elif dtype in ("video", "image"):
            rows[key] = draw(numbers, shape[0], shape[1], camera_number(key))
        elif dtype == "string":
            rows[key] = np.array([f"Bild «{number}» 猫" for number in numbers])
        elif dtype == "bool":
            rows[key] = (numbers % 5 == 0)[:, None]
        elif dtype == "int64":
            rows[key] = (2**40 + numbers // 3)[:, None]
        else:
            rows[key] = rng.normal(size=(total, *shape)).astype(dtype)
    said = []
    for episode, length in enumerate(lengths):
        half = length // 2 if episode % 3 == 2 else length
        said += [tasks[episode % len(tasks)]] * half + [tasks[(episode + 1) % len(tasks)]] * (length - half)
    return Truth(fps, list(lengths), rows | {"task": np.array(said)}, numbers)


def camera_number(key: str) -> int:
    """Return what the marker says of the camera."""
    return [FRONT, WRIST, STILL].index(key)


def draw(numbers: np.ndarray, height: int, width: int, camera: int) -> np.ndarray:
    """Return frames (N, height, width, 3) with these numbers in their markers."""
    frames = np.stack(list(pictures(len(numbers), height, width, camera, seed=int(numbers[0]))))
    for frame, number in zip(frames, numbers, strict=True):
        draw_marker(frame, int(number), camera)
    return frames


def depth(numbers: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return depth (N, height, width, 1) in millimetres, with pixels that saw nothing or too far."""
    row, column = np.mgrid[:height, :width]
    values = 400 + 7 * row + 3 * column + 11 * (numbers[:, None, None] % 50)
    values[:, 0, :2] = [0, 12000]
    return values[..., None].astype(np.uint16)


class Recorder:
    """Collects the jobs of one release, so that its slow start is paid once.

    Attributes:
        folder: Where the datasets are made.
        truths: Dataset to what it must hold.
        jobs: As recorder.py takes them.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self.truths: dict[str, Truth] = {}
        self.jobs: list[dict[str, Any]] = []

    def record(
        self,
        name: str,
        lengths: Sequence[int],
        tasks: Sequence[str],
        features: Mapping[str, Mapping[str, Any]] = PLAIN,
        fps: int = 20,
        codec: str = "libsvtav1",
        codec_options: Mapping[str, str] | None = None,
        limits: Mapping[str, float] | None = None,
        resume_at: Sequence[int] = (),
        first: int = 0,
        onto: tuple[Path, Truth] | None = None,
        given: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        """Record episodes that are made up here, aside from the rows `given`, `onto` a dataset from elsewhere.

        See `imagine` and recorder.py.
        """
        truth = imagine(features, lengths, tasks, fps, first)
        truth = replace(truth, rows=truth.rows | dict(given or {}))
        self.truths[name] = onto[1] + truth if onto else truth
        rows = self.folder / f"{name}.npz"
        np.savez(rows, **truth.rows)
        self._add(
            "record",
            name,
            rows=str(rows),
            lengths=list(lengths),
            fps=fps,
            features=features,
            codec=codec,
            codec_options=dict(codec_options or {}),
            limits=dict(limits or {}),
            resume_at=list(resume_at),
            onto=str(onto[0]) if onto else None,
        )

    def merge(self, name: str, sources: Sequence[tuple[Path, Truth]]) -> None:
        """Merge datasets."""
        (_, first), *others = sources
        self.truths[name] = sum((truth for _, truth in others), first)
        self._add("merge", name, sources=[str(root) for root, _ in sources])

    def delete(self, name: str, source: tuple[Path, Truth], episodes: Sequence[int]) -> None:
        """Copy a dataset without some episodes."""
        self.truths[name] = source[1].without(episodes)
        self._add("delete", name, source=str(source[0]), episodes=list(episodes))

    def convert(
        self, name: str, source: tuple[Path, Truth], data_mb: float | None = None, video_mb: float | None = None
    ) -> None:
        """Convert a v2.1 dataset to v3.0."""
        self.truths[name] = source[1]
        self._add("convert", name, source=str(source[0]), data_mb=data_mb, video_mb=video_mb)

    def edit(self, do: str, name: str, **arguments: Any) -> None:
        """Let a tool of LeRobot work; see recorder.py."""
        self._add(do, name, **arguments)

    def made(self, name: str) -> tuple[Path, Truth]:
        """Return a dataset of this recorder as the methods above take it."""
        return self.folder / name, self.truths[name]

    def _add(self, do: str, name: str, **arguments: Any) -> None:
        self.jobs.append({"do": do, "root": str(self.folder / name), **arguments})

    def run(self, release: str) -> dict[Path, str]:
        """Do the jobs with a release; return the tracebacks of those that failed by dataset."""
        jobs = self.folder / "jobs.json"
        jobs.write_text(json.dumps(self.jobs))
        done = run_script(release, "recorder.py", jobs, folder=self.folder, HF_HUB_OFFLINE="1")
        errors = self.folder / "ERRORS.json"
        assert errors.exists(), f"LeRobot {release} could not record:\n{done.stderr[-4000:]}"
        return {Path(root): error for root, error in json.loads(errors.read_text()).items()}

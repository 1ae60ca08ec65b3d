"""Datasets made by robotrove with what they must hold, and the LeRobot installations that judge them."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest

from robotrove.blocks.source.hdf5_reader import Hdf5Reader
from robotrove.blocks.steps.success_filter import SuccessFilter
from robotrove.blocks.writer.shard_writer import ShardWriter
from robotrove.executors.executor import Executor
from robotrove.executors.rank_runner import RankRunner
from robotrove.executors.stage import Stage
from robotrove.formats.hdf5.samples import write_sample
from robotrove.formats.hdf5.samples.pictures import draw_marker, pictures
from robotrove.formats.hdf5.samples.sample_spec import action, state
from robotrove.formats.lerobot import paths_v30
from robotrove.media.encode.settings import VideoSettings
from robotrove.media.image.images import ImageDecoder
from robotrove.pipelines.pipeline import Pipeline
from robotrove.tests.judges.releases import RELEASES, V30_RELEASES, Seen, need, run_script
from robotrove.tests.judges.scenarios import Dataset, digests, look_at_all, make_all, record_all
from robotrove.tests.support.places import SHARED_DATA, missing

pytest.register_assert_rewrite("robotrove.tests.judges.expectations")

REAL = SHARED_DATA / "isaaclab" / "dataset.hdf5"
FRONT, WRIST, STILL = (f"observation.images.{name}" for name in ("front", "wrist", "still"))


@dataclass
class Sample:
    """A dataset and its truth, episode by episode, as the source file has it.

    Attributes:
        root: The dataset.
        fps: Frames per second.
        tasks: Instruction of each episode.
        episodes: Feature to rows (T, *shape) of each episode, cameras as uint8 RGB.
        markers: Camera to the numbers of the markers in its frames, and the camera's own number.
        encoded: Cameras stored as video.
    """

    root: Path
    fps: int
    tasks: list[str]
    episodes: list[dict[str, np.ndarray]]
    markers: dict[str, tuple[np.ndarray, int]] = field(default_factory=dict)
    encoded: tuple[str, ...] = ()

    @property
    def lengths(self) -> list[int]:
        return [len(episode["action"]) for episode in self.episodes]

    @property
    def cameras(self) -> list[str]:
        return [key for key in self.episodes[0] if key.startswith("observation.images.")]

    def rows(self, key: str) -> np.ndarray:
        return np.concatenate([episode[key] for episode in self.episodes])

    def files(self, kind: str) -> list[tuple[int, int]]:
        """Chunk and file of each episode's `data` or `videos/CAMERA`, as meta has them."""
        names = [f"{kind}/chunk_index", f"{kind}/file_index"]
        table = pq.read_table(self.root / paths_v30.EPISODES, columns=names)
        return list(zip(*(table[name].to_pylist() for name in names), strict=True))

    @property
    def index(self) -> dict[str, np.ndarray]:
        """The columns that every dataset has, and the task of each frame."""
        lengths = self.lengths
        frame_index = np.concatenate([np.arange(length) for length in lengths])
        ordered = list(dict.fromkeys(self.tasks))
        return {
            "frame_index": frame_index,
            "timestamp": (frame_index / self.fps).astype(np.float32),
            "episode_index": np.repeat(np.arange(len(lengths)), lengths),
            "index": np.arange(sum(lengths)),
            "task_index": np.repeat([ordered.index(task) for task in self.tasks], lengths),
            "task": np.repeat(np.array(self.tasks), lengths),
        }


class InThisProcess(Executor):
    """Runs ranks one after the other here, so that a test can lower the limits of files."""

    def launch(self, stage: Stage, on_poll: Callable[[], None]) -> None:
        RankRunner(stage).run()


def everything(folder: Path) -> Sample:
    """Every kind of feature, odd sizes, AV1, five instructions, a one-frame episode, two shards."""
    lengths = [120, 1, 150, 64, 90]
    tasks = ['Say "grüß Gott" to the 猫', "it's 50 % {done}\\n", "x", "pick\tup the café cup ☕", "x"]
    sizes = {FRONT: (64, 304), WRIST: (65, 97), STILL: (48, 64)}
    episodes: list[dict[str, np.ndarray]] = []
    markers: dict[str, list[np.ndarray]] = {key: [] for key in sizes}
    rng = np.random.default_rng(0)
    source = folder / "everything.hdf5"
    with h5py.File(source, "w") as file:
        for number, length in enumerate(lengths):
            rows: dict[str, np.ndarray] = {
                "action": action(number, length, 6),
                "observation.state": state(number, length, 6),
                "observation.effort": rng.normal(size=(length, 3)),
                "observation.gripper": rng.random((length, 1)).astype(np.float32),
                "observation.matrix": rng.normal(size=(length, 2, 3)).astype(np.float32),
                "observation.stage": np.arange(length)[:, None] // 7,
                "observation.counts": rng.integers(-(2**31), 2**31, (length, 3)),
                "note": np.array([f"row {row} of «{number}»" for row in range(length)], object),
            }
            first = sum(lengths[:number])
            for camera, (key, (height, width)) in enumerate(sizes.items()):
                frames = np.stack(list(pictures(length, height, width, camera, seed=number)))
                for row, frame in enumerate(frames):
                    draw_marker(frame, first + row, camera)
                rows[key] = frames
                markers[key].append(first + np.arange(length))
            group = file.create_group(f"runs/run_{number}")
            for key, values in rows.items():
                flat = values.reshape(-1) if values.shape[1:] == (1,) else values
                group.create_dataset(key, data=flat, dtype=h5py.string_dtype() if key == "note" else None)
            group.attrs.update({"prompt": tasks[number], "ok": number != 2, "hz": 30.0})
            label = np.zeros((length, 1), bool)
            label[-1] = number != 2
            episodes.append(rows | {"next.success": label})
    columns: dict[str, Any] = {key: {"from": key} for key in episodes[0] if key != "next.success"}
    columns["observation.effort"]["dtype"] = "keep"
    columns[STILL]["kind"] = "image"
    options = {"episodes": "/runs/run_*", "success": "attr:ok", "task_from": "attr:prompt", "fps_from": "attr:hz"}
    Pipeline(
        source=Hdf5Reader(files=[str(source)], layout="generic", columns=columns, options=options),
        steps=[SuccessFilter(policy="label")],
        writer=ShardWriter(robot_type="judged"),
    ).run(output=folder / "everything", workers=2)
    assert len(list((folder / "everything.run" / "shards").iterdir())) == 2
    numbers = {key: (np.concatenate(markers[key]), camera) for camera, key in enumerate(sizes)}
    return Sample(folder / "everything", 30, tasks, episodes, numbers, (FRONT, WRIST))


def long_h264(folder: Path) -> Sample:
    """Episodes of 100 s at 1 fps, so that a video file is full after ten; H.264; two episodes left out."""
    (source,) = write_sample("isaaclab", folder, episodes=13, frames=100, height=48, width=64, fps=1)
    keys = {FRONT: 0, WRIST: 1}
    episodes = []
    with h5py.File(source, "r+") as file:
        for number in range(11):  # the last two are a failure and one without a label
            demo = file[f"data/demo_{number}"]
            for key, camera in keys.items():
                dataset = demo[f"obs/{key.rpartition('.')[2]}"]
                frames = dataset[()]
                for row, frame in enumerate(frames):
                    draw_marker(frame, number * 100 + row, camera)
                dataset[...] = frames
            episodes.append(
                {"action": demo["actions"][()], "observation.state": demo["obs/joint_pos"][()]}
                | {key: demo[f"obs/{key.rpartition('.')[2]}"][()] for key in keys}
            )
    task = "push the block"
    Pipeline(
        source=Hdf5Reader(files=[str(source)], layout="isaaclab", task=task),
        steps=[SuccessFilter()],
        writer=ShardWriter(video=VideoSettings(codec="libx264", crf=23)),
    ).run(output=folder / "long", workers=2)
    markers = {key: (np.arange(1100), camera) for key, camera in keys.items()}
    sample = Sample(folder / "long", 1, [task] * 11, episodes, markers, (FRONT, WRIST))
    assert all(sample.files(f"videos/{key}") == [(0, 0)] * 10 + [(0, 1)] for key in keys)
    return sample


def many_files(folder: Path) -> Sample:
    """JPEG sources, one file each; several chunks of data and video, whose files end at different episodes."""
    sizes = {FRONT: (96, 96), WRIST: (48, 64)}
    sources, episodes, tasks = [], [], []
    for number in range(8):
        files = [
            write_sample(
                "piper",
                folder / f"{number}_{height}",
                episodes=1,
                frames=20,
                seed=3 * number,
                height=height,
                width=width,
                cameras=("front", "wrist"),
            )[0]
            for height, width in sizes.values()
        ]
        sources.append(files[0])
        with h5py.File(files[0], "r+") as file, h5py.File(files[1]) as smaller:
            (demo,), (other,) = file.values(), smaller.values()
            del demo["image_wrist"]
            other.copy("image_wrist", demo)
            tasks.append(str(demo.attrs["instruction"]))
            rows = {"action": demo["action"][:20], "observation.state": demo["state"][:20]}
            for key in sizes:
                images = demo[f"image_{key.rpartition('.')[2]}"][:20]
                rows[key] = np.stack([ImageDecoder().decode(image) for image in images])
            episodes.append(rows)
    pipeline = Pipeline(source=Hdf5Reader(files=[str(path) for path in sources], layout="piper", fps=20))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paths_v30, "CHUNKS_SIZE", 2)
        patch.setattr(paths_v30, "DATA_FILES_MB", 0.012)
        patch.setattr(paths_v30, "VIDEO_FILES_MB", 0.02)
        pipeline.run(output=folder / "many", executor=InThisProcess())
    markers = {key: (np.tile(np.arange(20), 8), camera) for camera, key in enumerate(sizes)}
    sample = Sample(folder / "many", 20, tasks, episodes, markers, (FRONT, WRIST))
    data, front, wrist = (sample.files(kind) for kind in ("data", f"videos/{FRONT}", f"videos/{WRIST}"))
    assert data[-1] >= (1, 0)
    assert front[-1] >= (1, 0)
    assert (0, 0) < wrist[-1] < front[-1]
    return sample


def real(folder: Path) -> Sample:
    """A teleoperated Isaac Lab recording without cameras: 10 episodes, 2,163 frames."""
    if not REAL.exists():
        pytest.skip(missing(REAL))
    with h5py.File(REAL) as file:
        episodes = [
            {"action": demo["actions"][()], "observation.state": demo["obs/joint_pos"][()]}
            for _, demo in sorted(file["data"].items(), key=lambda item: int(item[0].removeprefix("demo_")))
        ]
    task = "stack the cubes"
    Pipeline(source=Hdf5Reader(files=[str(REAL)], layout="isaaclab", task=task, fps=20), steps=[SuccessFilter()]).run(
        output=folder / "real", workers=2
    )
    return Sample(folder / "real", 20, [task] * len(episodes), episodes)


SAMPLES = {make.__name__: make for make in (everything, long_h264, many_files, real)}


@pytest.fixture(scope="session", params=list(SAMPLES))
def sample(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Sample:
    if not any(RELEASES[release] in os.environ for release in V30_RELEASES):
        need(V30_RELEASES)
    return SAMPLES[request.param](tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="session", params=V30_RELEASES)
def seen(request: pytest.FixtureRequest, sample: Sample, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    need([request.param])
    folder = tmp_path_factory.mktemp("judge")
    source = {
        f"{number}/{key}": values
        for number, episode in enumerate(sample.episodes)
        for key, values in episode.items()
        if values.dtype != object
    }
    np.savez(folder / "source.npz", **source)
    arguments = (sample.root, folder / "seen.npz", "--source", folder / "source.npz")
    done = run_script(request.param, "judge.py", *arguments, folder=folder)
    assert done.returncode == 0, f"LeRobot {request.param} could not use the dataset:\n{done.stderr[-4000:]}"
    return Seen(folder / "seen.npz", request.param)


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Dataset]:
    """Datasets recorded by LeRobot, by name."""
    need(RELEASES)
    return record_all(tmp_path_factory.mktemp("recorded"))


@pytest.fixture(scope="session")
def before(recorded: dict[str, Dataset]) -> dict[Path, str]:
    """Digest of every file of the recordings before anything was made of them."""
    return digests(recorded)


@pytest.fixture(scope="session")
def made(
    recorded: dict[str, Dataset], before: dict[Path, str], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Dataset]:
    """What our commands made of the recordings, by name."""
    return make_all(recorded, tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="session")
def views(
    recorded: dict[str, Dataset], made: dict[str, Dataset], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, Seen]]:
    """What each release sees of each dataset that it can read."""
    folder = tmp_path_factory.mktemp("views")
    found = {}
    for release in RELEASES:
        (folder / release).mkdir()
        found[release] = look_at_all(release, recorded | made, folder / release)
    return found

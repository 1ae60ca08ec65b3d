"""Recordings made with real simulators, converted by the mappings of docs/converters.md, or by their own layout.

Every value and sampled frames are compared with the recording. The checks use h5py, Pillow, PyAV and pyarrow only.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from PIL import Image

from robotrove.tests.support.command import run_robotrove
from robotrove.tests.support.places import ROOT, SHARED_DATA, missing

pytestmark = pytest.mark.slow

SIMS = SHARED_DATA / "sims"
Values = NDArray[Any]
VIDEO = "writer.video={codec: libx264, crf: 1, preset: medium}"
MEAN_DIFFERENCE = 5.0  # of a decoded frame from its source, over all values: 4:2:0 costs up to 4 in 32x32 pixels
MEAN_OF_CHANNEL = 3.0  # swapped colours change it by 6 in the grey pictures of image_depth, by 73 elsewhere
INDICES = {"timestamp", "frame_index", "episode_index", "index", "task_index"}


@dataclass
class Recorded:
    """One recorded episode: its vectors and pictures by feature, as the recording has them."""

    vectors: dict[str, Values]
    pictures: dict[str, Values] = field(default_factory=dict)
    success: bool | None = None


Recording = Callable[[h5py.File], Iterator[Recorded]]


def groups(file: h5py.File | h5py.Group, prefix: str) -> Iterator[h5py.Group]:
    """Yield the groups prefix0, prefix1 … by number."""
    names = [name for name in file if re.fullmatch(prefix + r"\d+", name)]
    assert names
    for name in sorted(names, key=lambda name: int(name.removeprefix(prefix))):
        yield file[name]


def pickcube(file: h5py.File) -> Iterator[Recorded]:
    for traj in groups(file, "traj_"):
        agent = traj["obs/agent"]
        yield Recorded(
            {
                "action": traj["actions"][()],
                "observation.state": agent["qpos"][:-1],
                "observation.velocity": agent["qvel"][:-1],
            },
            {"observation.images.base": traj["obs/sensor_data/base_camera/rgb"][:-1]},
            bool(traj["success"][-1]),
        )


def peg(file: h5py.File) -> Iterator[Recorded]:
    for traj in groups(file, "traj_"):
        vectors = {"action": traj["actions"][()], "observation.state": traj["obs"][:-1]}
        yield Recorded(vectors, success=bool(traj["success"][-1]))


def door(file: h5py.File) -> Iterator[Recorded]:
    for episode in groups(file, "episode_"):
        values = {"action": "actions", "observation.state": "observations", "next.reward": "rewards"}
        rows = len(episode["actions"])
        yield Recorded({key: episode[path][:rows].reshape(rows, -1) for key, path in values.items()})


def fetch(file: h5py.File) -> Iterator[Recorded]:
    for episode in groups(file, "episode_"):
        seen = episode["observations"]
        jpegs = [Image.open(io.BytesIO(bytes(row))) for row in seen["pixels"][:-1]]
        yield Recorded(
            {
                "action": episode["actions"][()],
                "observation.state": seen["state/observation"][:-1],
                "observation.goal": seen["state/desired_goal"][:-1],
                "next.reward": episode["rewards"][()].reshape(-1, 1),
            },
            {"observation.images.scene": np.stack([np.asarray(jpeg.convert("RGB")) for jpeg in jpegs])},
        )


def lift(file: h5py.File) -> Iterator[Recorded]:
    for demo in groups(file["data"], "demo_"):
        state = np.hstack([demo["obs/robot0_joint_pos"][()], demo["obs/robot0_gripper_qpos"][()]])
        vectors = {"action": demo["actions"][()], "observation.state": state}
        yield Recorded(vectors, {"observation.images.agentview": demo["obs/agentview_image"][()]})


def d4rl(file: h5py.File) -> Iterator[Recorded]:
    ends = np.flatnonzero(file["terminals"][()]) + 1
    for first, last in zip([0, *ends[:-1]], ends, strict=True):
        values = {"action": "actions", "observation.state": "observations", "next.reward": "rewards"}
        rows = last - first
        yield Recorded({key: file[path][first:last].reshape(rows, -1) for key, path in values.items()})


def roboset(file: h5py.File) -> Iterator[Recorded]:
    for trial in groups(file, "Trial"):
        data = trial["data"]
        yield Recorded(
            {
                "action": np.hstack([data["ctrl_arm"][()], data["ctrl_ee"][()]]),
                "observation.state": np.hstack([data["qp_arm"][()], data["qp_ee"][()]]),
            },
            {"observation.images.left": data["rgb_left"][()]},
            bool(trial["config/solved"][0] == 1),
        )


def stack(file: h5py.File) -> Iterator[Recorded]:
    for demo in groups(file["data"], "demo_"):
        vectors = {"action": demo["actions"][()], "observation.state": demo["obs/joint_pos"][()]}
        pictures = {"observation.images.table_cam": demo["obs/table_cam"][()]}
        yield Recorded(vectors, pictures, bool(demo.attrs["success"]))


def agibot(file: h5py.File) -> Iterator[Recorded]:
    yield Recorded({"action": file["action/joint/position"][()], "observation.state": file["state/joint/position"][()]})


def page(name: str) -> str:
    """Return a pipeline of docs/converters.md by the comment in its first line."""
    blocks = re.findall(r"```yaml\n(# .+?\n.+?)```", (ROOT / "docs/converters.md").read_text("utf-8"), re.DOTALL)
    (block,) = [block for block in blocks if block.startswith(f"# {name}\n")]
    return str(block)


STATE_ONLY = ("source.columns={action: actions, observation.state: obs}",)
FLAT = "source.columns={action: actions, observation.state: observations, next.reward: rewards}"
KEPT_ALL = "steps=[success_filter: {policy: label}]"


@dataclass(frozen=True)
class Case:
    """A recording, how it is converted, and what it holds."""

    file: str
    pipeline: str  # of docs/converters.md; a layout's own mapping where there is no such page
    changes: tuple[str, ...]
    recorded: Recording
    fps: int
    joints: str = ""  # name of the first entry of the state


CASES = {
    "pickcube_rgb": Case("maniskill/pickcube_rgb.h5", "ManiSkill", (KEPT_ALL,), pickcube, 20, "qpos_0"),
    "pushcube_rgbd": Case("maniskill/pushcube_rgbd.h5", "ManiSkill", (KEPT_ALL,), pickcube, 20, "qpos_0"),
    "peg_state": Case("maniskill/peg_state.h5", "ManiSkill", (KEPT_ALL, *STATE_ONLY), peg, 20, "obs_0"),
    "peg_successes": Case("maniskill/peg_state.h5", "ManiSkill", STATE_ONLY, peg, 20, "obs_0"),
    "door": Case("minari/door-v0/data/main_data.hdf5", "Minari", (FLAT,), door, 25, "observations_0"),
    "fetchpix": Case("minari/fetchpix-v0/data/main_data.hdf5", "Minari", (), fetch, 25, "observation_0"),
    "image_depth": Case("robosuite/image_depth.hdf5", "robomimic", (), lift, 20, "robot0_joint_pos_0"),
    "d4rl": Case("other/d4rl_door-random.hdf5", "d4rl", (), d4rl, 100),
    "roboset": Case("other/roboset.h5", "RoboSet", (KEPT_ALL,), roboset, 20, "qp_arm_0"),
    "isaaclab3": Case("other/isaaclab3_visuomotor_depth.hdf5", "isaaclab", (KEPT_ALL,), stack, 20, "joint_pos_0"),
    "agibot": Case("other/agibot/meta_info", "AgiBot", (), agibot, 30, "position_0"),
}


@pytest.mark.parametrize("name", CASES)
def test_every_value_and_sampled_frames(tmp_path: Path, name: str) -> None:
    case = CASES[name]
    place = SIMS / case.file
    if not place.exists():
        pytest.skip(missing(place))
    own = f"source: {{layout: {case.pipeline}}}\noutput: out\n"
    (tmp_path / "pipeline.yaml").write_text(own if case.pipeline.islower() and name != "d4rl" else page(case.pipeline))
    out = tmp_path / "out"
    files = f"source.files=[{json.dumps(str(place))}]"
    run = run_robotrove(
        "run", tmp_path / "pipeline.yaml", files, VIDEO, *case.changes, "--output", out, "--workers", "1"
    )
    assert run.returncode == 0, run.stderr
    path = place if place.is_file() else next(place.rglob("*.h5"))
    with h5py.File(path) as file:
        recorded = list(case.recorded(file))
    if name == "peg_successes":  # the page's own filter
        recorded = [episode for episode in recorded if episode.success]
        for episode in recorded:
            episode.success = None
        assert len(recorded) == 6
    check_rows(out, recorded)
    check_frames(out, recorded, case.fps)
    info = json.loads((out / "meta/info.json").read_text())
    assert (info["fps"], info["total_episodes"]) == (case.fps, len(recorded))
    if case.joints:
        assert info["features"]["observation.state"]["names"][0] == case.joints


def check_rows(dataset: Path, recorded: list[Recorded]) -> None:
    """Compare every value of every column, exactly in the dtype that is stored."""
    tables = [pq.read_table(path) for path in sorted(dataset.glob("data/*/*.parquet"))]
    features = json.loads((dataset / "meta/info.json").read_text())["features"]
    rows = {key: [value for table in tables for value in table[key].to_pylist()] for key in tables[0].column_names}
    lengths = [len(episode.vectors["action"]) for episode in recorded]
    assert rows["episode_index"] == [number for number, length in enumerate(lengths) for _ in range(length)]
    assert rows["frame_index"] == [row for length in lengths for row in range(length)]
    vectors = {key: np.concatenate([episode.vectors[key] for episode in recorded]) for key in recorded[0].vectors}
    if recorded[0].success is not None:
        last = [[False] * (length - 1) + [episode.success] for length, episode in zip(lengths, recorded, strict=True)]
        vectors["next.success"] = np.concatenate(last).reshape(-1, 1)
    assert set(rows) == INDICES | set(vectors)
    assert set(features) == set(rows) | set(recorded[0].pictures)
    for key, values in vectors.items():
        stored = np.array(rows[key]).reshape(len(values), -1).astype(features[key]["dtype"])
        assert features[key]["dtype"] == ("bool" if values.dtype == bool else "float32"), key
        np.testing.assert_array_equal(stored, values.astype(features[key]["dtype"]), err_msg=key)


def check_frames(dataset: Path, recorded: list[Recorded], fps: int) -> None:
    """Compare the first, the middle and the last frame of every episode with its pictures."""
    places = [pq.read_table(path).to_pylist() for path in sorted(dataset.glob("meta/episodes/*/*.parquet"))]
    episodes = [row for rows in places for row in rows]
    for key in recorded[0].pictures:
        for place, episode in zip(episodes, recorded, strict=True):
            pictures = episode.pictures[key]
            chunk, number = (place[f"videos/{key}/{part}_index"] for part in ("chunk", "file"))
            clip = decoded(dataset / f"videos/{key}/chunk-{chunk:03d}/file-{number:03d}.mp4")
            first = round(place[f"videos/{key}/from_timestamp"] * fps)
            assert place["length"] == len(pictures)
            for row in sorted({0, len(pictures) // 2, len(pictures) - 1}):
                differences = [np.abs(clip[first + row] - picture.astype(float)).mean() for picture in pictures]
                assert differences[row] < MEAN_DIFFERENCE, (key, row)
                assert differences[row] <= min(differences) + 0.05, "it is rather another row"
                means = clip[first + row].mean(axis=(0, 1)) - pictures[row].mean(axis=(0, 1))
                assert np.abs(means).max() < MEAN_OF_CHANNEL, (key, row)


def decoded(path: Path) -> list[Values]:
    with av.open(path) as clip:
        return [frame.to_ndarray(format="rgb24").astype(float) for frame in clip.decode(video=0)]

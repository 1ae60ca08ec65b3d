"""The pipelines for Isaac Lab Arena and IsaacLabEvalTasks against the rules of their converters, by numpy alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pytest

from robotrove.core.workspace import Workspace
from robotrove.formats.hdf5.samples import write_sample
from robotrove.formats.hdf5.samples.pictures import read_marker
from robotrove.pipelines.run.reopen import finished_run
from robotrove.tests.support.pipelines.joint_spaces import (
    DROID_POLICY,
    DROID_STATE,
    G1,
    G1_POLICY,
    GR1_ACTION,
    GR1_POLICY,
    GR1_STATE,
)
from robotrove.tests.support.pipelines.runs import quick_disk  # noqa: F401 - autouse
from robotrove.tests.support.pipelines.shipped_runs import column, info, lines, names, plan, rows, run_shipped, videos
from robotrove.verification.dataset.runner import verify
from robotrove.verification.source.source_check import check_source

FRAMES, EPISODES = 9, 3
EGO = "observation.images.ego_view"
BOTTLE = "Place the ranch dressing bottle on the top shelf of the fridge, and close the fridge door."
BOX = (
    "Pick up the brown box from the shelf, and place it into the blue bin on the table located at the right of "
    "the shelf."
)
NUT = (
    "Pick up the beaker and tilt it to pour out 1 metallic nut into the bowl. Pick up the bowl and place it on the "
    "metallic measuring scale."
)
PIPE = "Pick up the blue pipe and place it into the blue bin."
GR1 = (GR1_STATE, GR1_ACTION, GR1_POLICY)
# Pipeline: sample, joints of state and action in the simulator and of the policy, instruction, fps, robot_type.
CASES: dict[str, tuple[str, tuple[list[str], list[str], list[str]], str, int, str]] = {
    "arena_gr1_microwave": ("arena_gr1", GR1, "Reach out to the microwave and open it.", 50, "gr1"),
    "arena_gr1_ranch_bottle": ("arena_gr1", GR1, BOTTLE, 50, "gr1"),
    "arena_g1_locomanip": ("arena_g1", (G1, G1, G1_POLICY), BOX, 50, "unitree_g1"),
    "arena_g1_apple": ("arena_g1", (G1, G1, G1_POLICY), "move the apple to the plate", 50, "unitree_g1"),
    "arena_droid": ("arena_droid", (DROID_STATE, DROID_STATE[:8], DROID_POLICY), "Pick and Place", 50, "droid"),
    "evaltasks_nut_pouring": ("evaltasks", GR1, NUT, 20, "gr1_arms_only"),
    "evaltasks_pipe_sorting": ("evaltasks", GR1, PIPE, 20, "gr1_arms_only"),
}


class Converted:
    """A pipeline, the file that it got, and what it made."""

    def __init__(self, pipeline: str, folder: Path) -> None:
        self.pipeline = pipeline
        self.sample, self.joints, self.task, self.fps, self.robot_type = CASES[pipeline]
        # EvalTasks' camera has 160x256 pixels.
        size = {"height": 160, "width": 256} if self.sample == "evaltasks" else {"height": 48, "width": 64}
        [self.path] = write_sample(self.sample, folder, episodes=EPISODES, frames=FRAMES, **size)
        self.output = folder / self.path.stem / "lerobot"
        self.report = run_shipped(pipeline, [self.path], self.output)
        self.table = rows(self.output)

    @property
    def is_arena(self) -> bool:
        return self.sample != "evaltasks"

    def recorded(self, key: str) -> np.ndarray:
        """Return a dataset of all episodes without their last rows."""
        with h5py.File(self.path) as file:
            return np.concatenate([file[f"data/demo_{n}/{key}"][:-1] for n in range(EPISODES)])


@pytest.fixture(scope="module", params=CASES)
def made(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Converted:
    return Converted(request.param, tmp_path_factory.mktemp(request.param))


def test_every_episode_without_its_last_frame(made: Converted) -> None:
    """Failures too: neither converter looks at the label."""
    assert (made.report.kept, made.report.rejected) == (EPISODES, {})
    assert [line["length"] for line in lines(made.output, "episodes.jsonl")] == [FRAMES - 1] * EPISODES


def test_state_and_action_by_name(made: Converted) -> None:
    state, action, policy = made.joints
    dtype = np.float32 if made.is_arena else np.float64
    for key, source, simulator in (
        ("observation.state", "obs/robot_joint_pos", state),
        ("action", "processed_actions", action),
    ):
        expected = made.recorded(source)[:, [simulator.index(name) for name in policy]].astype(dtype)
        np.testing.assert_array_equal(column(made.table, key), expected, err_msg=key)
        assert column(made.table, key).dtype == dtype
        assert names(made.output, key) == policy


def test_columns_in_the_order_of_the_reference(made: Converted) -> None:
    head = [("observation.state", "list"), ("action", "list"), ("timestamp", "double")]
    if made.sample == "arena_g1":
        hands = ["observation.eef_pose", "action.eef_pose"]
        commands = ["base_height_command", "navigate_command", "torso_orientation_rpy_command"]
        head += [(key, "list") for key in [*hands, *(f"teleop.{name}" for name in commands)]]
        annotations = [("annotation.human.task_description", "int64")]
    else:
        annotations = [("annotation.human.action.task_description", "int64")]
    if not made.is_arena:
        annotations += [("annotation.human.validity", "int64")]
    indices = [(key, "int64") for key in ("episode_index", "task_index", "index", "frame_index")]
    tail = [("next.reward", "double"), ("next.done", "bool")]
    if made.is_arena:
        tail += [("observation.img_state_delta", "double")]
    found = [(field.name, "list" if pa.types.is_list(field.type) else str(field.type)) for field in made.table.schema]
    assert found == [*head, *annotations, *indices, *tail]


def test_places_times_and_ends(made: Converted) -> None:
    length = FRAMES - 1
    expected = {
        "timestamp": np.tile(np.arange(length) * (1 / made.fps), EPISODES),
        "frame_index": np.tile(np.arange(length), EPISODES),
        "episode_index": np.repeat(np.arange(EPISODES), length),
        "index": np.arange(length * EPISODES),
        "task_index": np.zeros(length * EPISODES),
        "next.reward": np.tile(np.arange(length) == length - 1, EPISODES).astype(np.float64),
        "next.done": np.tile(np.arange(length) == length - 1, EPISODES),
    }
    annotation = next(key for key in made.table.column_names if key.endswith("task_description"))
    expected[annotation] = expected["task_index"]
    if made.is_arena:
        expected["observation.img_state_delta"] = np.zeros(length * EPISODES)
    else:
        expected["annotation.human.validity"] = np.ones(length * EPISODES)  # the line "valid" of tasks.jsonl
    for key, values in expected.items():
        np.testing.assert_array_equal(column(made.table, key), values, err_msg=key)


def test_poses_of_the_hands_and_commands_of_the_teleoperator(made: Converted) -> None:
    if made.sample != "arena_g1":
        assert not [key for key in made.table.column_names if "eef" in key or key.startswith("teleop.")]
        return
    for key, group in (("observation.eef_pose", "obs"), ("action.eef_pose", "action")):
        parts = [f"{side}_eef_{part}" for side in ("left", "right") for part in ("pos", "quat")]
        expected = np.hstack([made.recorded(f"{group}/{part}") for part in parts]).astype(np.float64)
        np.testing.assert_array_equal(column(made.table, key), expected, err_msg=key)
        assert (expected.shape[1], column(made.table, key).dtype) == (14, np.float64)
    for name, source, width in (
        ("base_height_command", "base_height_cmd", 1),
        ("navigate_command", "navigate_cmd", 3),
        ("torso_orientation_rpy_command", "torso_orientation_rpy_cmd", 3),
    ):
        values = made.table[f"teleop.{name}"].to_pylist()
        assert {len(value) for value in values} == {width}, "GR00T slices the column, so it is a list even of one"
        np.testing.assert_array_equal(np.array(values, np.float32), made.recorded(f"action/{source}"))


def test_meta(made: Converted) -> None:
    facts = info(made.output)
    assert (facts["codebase_version"], facts["robot_type"], facts["fps"]) == ("v2.1", made.robot_type, made.fps)
    texts = [made.task] if made.is_arena else [made.task, "valid"]
    assert lines(made.output, "tasks.jsonl") == [{"task_index": n, "task": text} for n, text in enumerate(texts)]
    assert [line["tasks"] for line in lines(made.output, "episodes.jsonl")] == [texts] * EPISODES
    video = facts["features"][EGO]
    assert (video["info"]["video.codec"], video["info"]["video.pix_fmt"]) == ("h264", "yuv420p")
    assert (made.output / "meta/stats.json").exists()
    # What the references get wrong.
    assert (facts["total_episodes"], facts["splits"], facts["total_chunks"]) == (EPISODES, {"train": "0:3"}, 1)


# GR00T's keys: the widths of the policy's joint groups in their order, as in the templates of both converters.
ARMS_AND_HANDS = {"left_arm": 7, "right_arm": 7, "left_hand": 6, "right_hand": 6}
G1_GROUPS = {"left_leg": 6, "right_leg": 6, "waist": 3, "left_arm": 7, "left_hand": 7, "right_arm": 7, "right_hand": 7}
GROUPS = {
    "arena_gr1": ARMS_AND_HANDS,
    "evaltasks": ARMS_AND_HANDS,
    "arena_g1": G1_GROUPS,
    "arena_droid": {"joint_position": 7, "gripper_position": 1},
}


def test_what_gr00t_finds_in_the_columns(made: Converted) -> None:
    modality = json.loads((made.output / "meta/modality.json").read_text())
    expected: dict[str, dict[str, Any]] = {}
    for section, column_name in (("state", "observation.state"), ("action", "action")):
        ends = np.cumsum([*GROUPS[made.sample].values()]).tolist()
        expected[section] = {
            key: {"original_key": column_name, "start": end - width, "end": end}
            for (key, width), end in zip(GROUPS[made.sample].items(), ends, strict=True)
        }
    if made.sample == "arena_g1":
        for section, poses in (("state", "observation.eef_pose"), ("action", "action.eef_pose")):
            expected[section]["left_wrist_pose"] = {"original_key": poses, "start": 0, "end": 7}
            expected[section]["right_wrist_pose"] = {"original_key": poses, "start": 7, "end": 14}
        for key, width in (("base_height_command", 1), ("navigate_command", 3), ("torso_orientation_rpy_command", 3)):
            expected["action"][key] = {"original_key": f"teleop.{key}", "start": 0, "end": width}
    expected["video"] = {"ego_view": {"original_key": EGO}}
    annotations = [key for key in made.table.column_names if key.startswith("annotation.")]
    expected["annotation"] = {key.removeprefix("annotation."): {"original_key": key} for key in annotations}
    assert annotations
    assert modality == expected


def test_frames(made: Converted) -> None:
    found = videos(made.output, EGO)
    assert len(found) == EPISODES * (FRAMES - 1)
    if not made.is_arena:
        assert found.shape[1:] == (256, 256, 3)
        assert max(found[:, :47].max(), found[:, 209:].max()) < 24, "black above and below"
        found = found[:, 48:208]
    assert [read_marker(frame) for frame in found] == [(row, 0) for row in range(FRAMES - 1)] * EPISODES


def test_our_own_checks_agree(made: Converted) -> None:
    assert [finding for finding in verify(made.output).findings if finding.severity == "error"] == []
    report = check_source(made.output, finished_run(Workspace.for_output(made.output).run_dir))
    assert report.ok, report.problems


def test_a_recording_with_other_joints_is_told(tmp_path: Path) -> None:
    [path] = write_sample("arena_droid", tmp_path, episodes=1, frames=FRAMES)
    [row] = plan("arena_gr1_microwave", [path]).manifest.rows
    assert (row.reason, row.detail) == ("wrong_joint_count", "observation.state has 13 entries, expected 54")

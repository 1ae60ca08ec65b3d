"""The LeIsaac pipelines against LeIsaac's rules, computed here from the recordings by numpy alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from robotrove.core.errors import UsageError
from robotrove.formats.hdf5.samples import write_sample
from robotrove.formats.hdf5.samples.pictures import read_marker
from robotrove.pipelines.spec.resolved_pipeline import load_pipeline
from robotrove.tests.support.pipelines.runs import quick_disk  # noqa: F401
from robotrove.tests.support.pipelines.shipped_runs import column, info, names, plan, rows, run_shipped, videos

FRAMES, SKIPPED = 14, 5
ARM = ("shoulder_pan.pos", "shoulder_lift.pos", "elbow_flex.pos", "wrist_flex.pos", "wrist_roll.pos", "gripper.pos")
# Joint limits in degrees and motor ranges of the SO-101 in LeIsaac.
LIMITS = ((-110, 110), (-100, 100), (-100, 90), (-95, 95), (-160, 160), (-10, 100))
MOTOR = ((-100, 100),) * 5 + ((0, 100),)
OF_ARM = [("observation.state", "obs/joint_pos"), ("action", "actions")]


def motor(radians: np.ndarray) -> np.ndarray:
    """LeIsaac's conversion of one arm, in float32 and in its order of operations."""
    out = np.empty_like(radians)
    for joint, ((low, high), (motor_low, motor_high)) in enumerate(zip(LIMITS, MOTOR, strict=True)):
        degrees = radians[:, joint] / np.pi * 180
        out[:, joint] = (degrees - low) / (high - low) * (motor_high - motor_low) + motor_low
    return out


def recorded(path: Path, *keys: str) -> list[np.ndarray]:
    """Return datasets of the kept episodes (the first two of four), without the rows that LeIsaac skips."""
    with h5py.File(path) as file:
        return [np.concatenate([file[f"data/demo_{n}/{key}"][SKIPPED:] for n in (0, 1)]) for key in keys]


def sample(folder: Path, name: str, **more: Any) -> Path:
    """Four episodes: two successes, one that was interrupted, one failure."""
    [path] = write_sample(name, folder, **{"episodes": 4, "frames": FRAMES, "height": 48, "width": 64, **more})
    return path


def change(path: Path, act: Callable[[h5py.Group, int], None]) -> Path:
    with h5py.File(path, "a") as file:
        for number, demo in enumerate(file["data"].values()):
            act(demo, number)
    return path


def replace(demo: h5py.Group, key: str, values: np.ndarray) -> None:
    del demo[key]
    demo[key] = values


def test_one_arm(tmp_path: Path) -> None:
    path = sample(tmp_path, "leisaac")
    report = run_shipped("leisaac_so101", [path], tmp_path / "out")
    assert (report.kept, report.rejected) == (2, {"no_success_label": 1, "not_successful": 1})
    table = rows(tmp_path / "out")
    for key, source in OF_ARM:
        [radians] = recorded(path, source)
        np.testing.assert_array_equal(column(table, key), motor(radians), err_msg=key)
        assert column(table, key).dtype == np.float32
        assert names(tmp_path / "out", key) == list(ARM)
    facts = info(tmp_path / "out")
    assert (facts["codebase_version"], facts["robot_type"], facts["fps"]) == ("v3.0", "so101_follower", 30)
    assert column(table, "frame_index").tolist() == [*range(FRAMES - SKIPPED)] * 2
    np.testing.assert_array_equal(
        column(table, "timestamp"), np.tile((np.arange(FRAMES - SKIPPED) / 30).astype(np.float32), 2)
    )
    for camera, key in enumerate(("observation.images.front", "observation.images.wrist")):
        found = [read_marker(frame) for frame in videos(tmp_path / "out", key)]
        assert found == [(row, camera) for row in range(SKIPPED, FRAMES)] * 2


@pytest.mark.parametrize(
    ("environment", "text"),
    [
        ("SO101-PickOrange-Mimic", "Pick three oranges and put them into the plate, then reset the arm to rest state."),
        ("SO101-LiftCube-DigitalTwin", "Lift the red cube up."),
        ("SO101-FoldCloth-BiArm-Direct", "Fold the cloth, and reset the arm to rest state."),
        ("SO101-AssembleHamburger", "Assemble the hamburger in order."),
        ("SO101-NewTask", "LeIsaac-SO101-NewTask-v0"),
    ],
)
def test_the_instruction_is_that_of_the_environment(tmp_path: Path, environment: str, text: str) -> None:
    path = sample(tmp_path, "leisaac", episodes=2, cameras=())
    with h5py.File(path, "a") as file:
        file["data"].attrs["env_args"] = json.dumps({"env_name": f"LeIsaac-{environment}-v0", "type": 2})
    assert {row.task for row in plan("leisaac_so101", [path]).manifest.kept} == {text}
    assert {row.task for row in plan("leisaac_so101", [path], "source.task=Do it.").manifest.kept} == {"Do it."}


def test_both_versions_at_once(tmp_path: Path) -> None:
    path = sample(tmp_path, "leisaac", cameras=())
    run_shipped("leisaac_so101", [path], tmp_path / "out", "formats=[v3.0, v2.1]")
    [radians] = recorded(path, "actions")
    for version in ("v3.0", "v2.1"):
        assert info(tmp_path / "out" / version)["codebase_version"] == version
        np.testing.assert_array_equal(column(rows(tmp_path / "out" / version), "action"), motor(radians))


@pytest.mark.parametrize(("frames", "is_kept"), [(9, False), (10, True)])
def test_ten_frames_are_enough_before_five_are_skipped(tmp_path: Path, frames: int, is_kept: bool) -> None:
    [row, _] = plan("leisaac_so101", [sample(tmp_path, "leisaac", episodes=2, frames=frames)]).manifest.rows
    assert (row.reason, row.length) == (("", frames - SKIPPED) if is_kept else ("too_short", frames))


def test_two_arms_are_converted_each_on_its_own(tmp_path: Path) -> None:
    path = sample(tmp_path, "leisaac_bi_so101")
    run_shipped("leisaac_bi_so101", [path], tmp_path / "out")
    table = rows(tmp_path / "out")
    left, right, actions = recorded(path, "obs/left_joint_pos", "obs/right_joint_pos", "actions")
    np.testing.assert_array_equal(column(table, "observation.state"), np.hstack([motor(left), motor(right)]))
    np.testing.assert_array_equal(column(table, "action"), np.hstack([motor(actions[:, :6]), motor(actions[:, 6:])]))
    expected = [f"{side}_{name}" for side in ("left", "right") for name in ARM]
    assert names(tmp_path / "out", "action") == names(tmp_path / "out", "observation.state") == expected
    facts = info(tmp_path / "out")
    assert facts["robot_type"] == "bi_so101_follower"
    cameras = [key for key, feature in facts["features"].items() if feature["dtype"] == "video"]
    assert cameras == [f"observation.images.{name}" for name in ("left_wrist", "right_wrist", "top")]


def test_speeds_of_the_base_come_from_the_user_terms_and_are_not_converted(tmp_path: Path) -> None:
    path = sample(tmp_path, "leisaac_lekiwi")
    run_shipped("leisaac_lekiwi", [path], tmp_path / "out")
    table = rows(tmp_path / "out")
    for key, joints, speeds in (
        ("observation.state", "obs/joint_pos", "obs/user_vel_state"),
        ("action", "actions", "obs/user_vel_action"),
    ):
        radians, speed = recorded(path, joints, speeds)
        assert (radians[:, 6:] != speed).all(), "the simulator's own columns of the base are another thing"
        np.testing.assert_array_equal(column(table, key), np.hstack([motor(radians[:, :6]), speed]), err_msg=key)
        assert names(tmp_path / "out", key) == [*ARM, "x.vel", "y.vel", "theta.vel"]
    assert info(tmp_path / "out")["robot_type"] == "lekiwi"


@pytest.mark.parametrize(
    ("layout", "pipeline", "width"),
    [("leisaac", "leisaac_so101", 8), ("leisaac_bi_so101", "leisaac_bi_so101", 16), ("leisaac_lekiwi",) * 2 + (11,)],
)
def test_actions_that_are_no_joints_stay_as_they_are(tmp_path: Path, layout: str, pipeline: str, width: int) -> None:
    path = sample(tmp_path, layout, cameras=())
    raw = np.random.default_rng(0).normal(size=(2, FRAMES, width)).astype(np.float32)
    change(path, lambda demo, number: replace(demo, "actions", raw[number % 2]))
    run_shipped(pipeline, [path], tmp_path / "out")
    np.testing.assert_array_equal(column(rows(tmp_path / "out"), "action"), raw[:, SKIPPED:].reshape(-1, width))
    assert names(tmp_path / "out", "action") == [f"dim_{index}" for index in range(width)]
    assert names(tmp_path / "out", "observation.state")[0].endswith("shoulder_pan.pos")


@pytest.mark.parametrize("is_direct", [True, False])
@pytest.mark.parametrize("option", ["recorded", "processed"])
def test_the_correction_for_direct_environments(tmp_path: Path, is_direct: bool, option: str) -> None:
    """Their `actions[t]` is the action of step t-1, `processed_actions[t]` that of step t."""
    path = sample(tmp_path, "leisaac", cameras=())
    with h5py.File(path, "a") as file:
        name = f"LeIsaac-SO101-PickOrange{'-Direct' if is_direct else ''}-v0"
        file["data"].attrs["env_args"] = json.dumps({"env_name": name, "type": 2})
    change(path, lambda demo, _: replace(demo, "actions", np.roll(demo["processed_actions"][()], 1, axis=0)))
    run_shipped("leisaac_so101", [path], tmp_path / "out", f"source.options.direct_actions={option}")
    is_corrected = is_direct and option == "processed"
    [radians] = recorded(path, "processed_actions" if is_corrected else "actions")
    np.testing.assert_array_equal(column(rows(tmp_path / "out"), "action"), motor(radians))


def test_radians_without_the_last_step(tmp_path: Path) -> None:
    path = sample(tmp_path, "leisaac", cameras=())
    run_shipped("leisaac_so101", [path], tmp_path / "out", "steps[3]={joint_remapper: {robot: so101}}")
    [radians] = recorded(path, "obs/joint_pos")
    np.testing.assert_array_equal(column(rows(tmp_path / "out"), "observation.state"), radians)
    assert names(tmp_path / "out", "action") == list(ARM)


def test_a_mistake_in_the_option_is_told_with_the_nearest_right_word() -> None:
    with pytest.raises(UsageError, match="did you mean 'processed'"):
        load_pipeline(Path("leisaac_so101"), ["source.files=[a.hdf5]", "source.options.direct_actions=procesed"])

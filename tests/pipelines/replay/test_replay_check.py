"""`verify --replay`: what a dataset has, taken back, is what was recorded; and where it is not, it says so by name."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from robotrove.blocks.episode_step import Entries, EpisodeMap
from robotrove.blocks.inverse import Scaled, roundoff
from robotrove.blocks.source.hdf5_reader import Hdf5Reader
from robotrove.blocks.steps.frame_trimmer import FrameTrimmer
from robotrove.blocks.steps.joint_remapper import JointRemapper
from robotrove.blocks.steps.unit_converter import UnitConverter
from robotrove.core.episode import Episode
from robotrove.core.errors import UsageError
from robotrove.core.workspace import Workspace
from robotrove.formats.hdf5.samples import write_sample
from robotrove.pipelines.pipeline import Pipeline
from robotrove.pipelines.replay.action_export import export_actions
from robotrove.pipelines.replay.replay_check import ReplayedColumn, ReplayReport, check_replay
from robotrove.pipelines.run.reopen import finished_run
from robotrove.pipelines.run.runner import execute
from robotrove.pipelines.run.status import Silent
from robotrove.pipelines.spec.pipeline_file import shipped_names
from robotrove.tests.support.pipelines.joint_spaces import (
    DROID_POLICY,
    DROID_STATE,
    G1,
    G1_POLICY,
    GR1_ACTION,
    GR1_POLICY,
    GR1_STATE,
)
from robotrove.tests.support.pipelines.runs import (
    Here,
    quick_disk,  # noqa: F401 - autouse
)
from robotrove.tests.support.pipelines.shipped_runs import run_shipped

FRAMES = 12
ARM = ("shoulder_pan.pos", "shoulder_lift.pos", "elbow_flex.pos", "wrist_flex.pos", "wrist_roll.pos", "gripper.pos")
ARMS = tuple(f"{side}_{name}" for side in ("left", "right") for name in ARM)
SPEEDS = ("x.vel", "y.vel", "theta.vel")


def ordered(simulator: list[str], policy: list[str]) -> ReplayedColumn:
    """What must be compared where joints are only picked by name."""
    named = tuple(name for name in simulator if name in policy)
    return ReplayedColumn(named, (), tuple(name for name in simulator if name not in policy))


POSE = [*(f"pos_{n}" for n in range(3)), *(f"quat_{n}" for n in range(4))]
HANDS = ReplayedColumn(tuple(f"{side}_eef_{name}" for side in ("left", "right") for name in POSE), (), ())
DROID = (ordered(DROID_STATE[:8], DROID_POLICY), ordered(DROID_STATE, DROID_POLICY))
ALOHA = ("waist", "shoulder", "elbow", "forearm_roll", "wrist_angle", "wrist_rotate", "gripper")


def passed(*names: str) -> ReplayedColumn:
    """What must be compared where nothing is changed."""
    return ReplayedColumn(names, (), ())


def numbered(name: str, count: int) -> list[str]:
    return [f"{name}_{number}" for number in range(count)]


# Pipeline: sample, rows of an episode that are kept, action, state, and how many other columns pass unchanged.
CASES: dict[str, tuple[str, int, int, ReplayedColumn, ReplayedColumn, int]] = {
    "leisaac_so101": ("leisaac", 2, 7, *[ReplayedColumn((), ARM, ())] * 2, 0),
    "leisaac_bi_so101": ("leisaac_bi_so101", 2, 7, *[ReplayedColumn((), ARMS, ())] * 2, 0),
    "leisaac_lekiwi": ("leisaac_lekiwi", 2, 7, *[ReplayedColumn(SPEEDS, ARM, ())] * 2, 0),
    "arena_gr1_microwave": ("arena_gr1", 3, 11, ordered(GR1_ACTION, GR1_POLICY), ordered(GR1_STATE, GR1_POLICY), 0),
    "arena_g1_locomanip": ("arena_g1", 3, 11, *[ordered(G1, G1_POLICY)] * 2, 5),
    "arena_droid": (
        "arena_droid",
        3,
        11,
        ordered(DROID_STATE[:8], DROID_POLICY),
        ordered(DROID_STATE, DROID_POLICY),
        0,
    ),
    "evaltasks_nut_pouring": ("evaltasks", 3, 11, ordered(GR1_ACTION, GR1_POLICY), ordered(GR1_STATE, GR1_POLICY), 0),
    "aloha": (
        "aloha",
        3,
        12,
        *[passed(*(f"{side}_{joint}" for side in ("left", "right") for joint in ALOHA))] * 2,
        1,  # observation.velocity
    ),
    "libero": (
        "libero",
        3,
        12,
        passed(*numbered("actions", 7)),
        passed(*numbered("ee_states", 6), *numbered("gripper_states", 2)),
        0,
    ),
    "libero_gr00t": (
        "libero",
        3,
        11,
        ReplayedColumn(("x", "y", "z", "axis_angle1", "axis_angle2", "axis_angle3"), ("gripper",), ()),
        passed("x", "y", "z", "axis_angle1", "axis_angle2", "axis_angle3", "gripper_left", "gripper_right"),
        0,
    ),
    "piper_bimanual": (
        "piper",
        3,
        12,
        *[passed(*(f"{side}_joint_{joint}.pos" for side in ("left", "right") for joint in range(1, 8)))] * 2,
        0,
    ),
    "robomimic": (
        "robomimic",
        3,
        12,
        passed(*numbered("actions", 7)),
        passed(*numbered("robot0_joint_pos", 7), *numbered("robot0_gripper_qpos", 2)),
        0,
    ),
}
CASES["arena_gr1_ranch_bottle"] = CASES["arena_gr1_microwave"]
CASES["arena_g1_apple"] = CASES["arena_g1_locomanip"]
CASES["evaltasks_pipe_sorting"] = CASES["evaltasks_nut_pouring"]


def test_every_shipped_pipeline_replays() -> None:
    assert sorted(CASES) == sorted(shipped_names())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Give the folder of a pipeline with its recording, `dataset` and `dataset.run`; made once."""
    done: dict[tuple[str, ...], Path] = {}

    def make(pipeline: str, *overrides: str) -> Path:
        if (key := (pipeline, *overrides)) not in done:
            folder = tmp_path_factory.mktemp("run")
            write_sample(CASES[pipeline][0], folder, frames=FRAMES, height=48, width=48, cameras=_cameras(pipeline))
            task = ["source.task=Do it."] if pipeline in ("aloha", "robomimic") else []
            run_shipped(pipeline, sorted(folder.glob("*.hdf5")), folder / "dataset", *task, *overrides)
            done[key] = folder
        return done[key]

    return make


def _cameras(pipeline: str) -> tuple[str, ...] | None:
    return () if pipeline.startswith("leisaac") else None


def check(folder: Path, dataset: Path | None = None) -> ReplayReport:
    return check_replay(dataset or folder / "dataset", finished_run(folder / "dataset.run"))


@pytest.mark.parametrize("pipeline", CASES)
def test_what_was_recorded_comes_back(made: Callable[..., Path], pipeline: str) -> None:
    _, episodes, rows, action, state, others = CASES[pipeline]
    report = check(made(pipeline))
    assert report.problems == ()
    assert (report.ok, report.episodes, report.rows, report.foreign) == (True, episodes, episodes * rows, 0)
    for key, expected in (("action", action), ("observation.state", state)):
        assert replace(report.columns[key], largest_difference=0.0) == expected
        is_rounded = bool(expected.rounded) and pipeline != "libero_gr00t"  # whose grippers are exact in float32
        assert (0 < report.columns[key].largest_difference < 2.5e-6) == is_rounded
    assert len(report.columns) == 2 + others
    if pipeline.startswith("arena_g1_"):
        assert report.columns["observation.eef_pose"] == HANDS
        assert report.columns["teleop.base_height_command"].exact == ("base_height_cmd_0",)


# Without the run directory, these say nothing of the order and the units: what is wrong, and what helps.
NO_TYPE = (
    "is 'gr1_arms_only', and no robot manifest has it",
    "say which with --robot NAME or FILE, or give --source RUN_DIR",
)
ALONE = {
    "evaltasks_nut_pouring": NO_TYPE,
    "evaltasks_pipe_sorting": NO_TYPE,
    "libero_gr00t": (  # whose grippers were recorded as 1 (close) and -1 (open)
        "has 7 entries (x, y, z …), which are not the joints of robot libero",
        "--robot NAME or FILE of the robot that it is, or --source RUN_DIR",
    ),
}


def exported(path: Path) -> list[np.ndarray]:
    with h5py.File(path) as file:
        return [file[f"data/demo_{number}/actions"][()] for number in range(len(file["data"]))]


@pytest.mark.parametrize("pipeline", CASES)
def test_actions_are_exported_alike_from_the_run_and_by_the_robot(
    made: Callable[..., Path], tmp_path: Path, pipeline: str
) -> None:
    _, episodes, rows, action, _, _ = CASES[pipeline]
    folder = made(pipeline)
    export = export_actions(folder / "dataset", tmp_path / "run.hdf5", run_dir=folder / "dataset.run")
    assert sorted(export.joints) == sorted([*action.exact, *action.rounded, *action.not_compared])
    assert (export.converted, export.zeros) == (action.rounded, action.not_compared)
    actions = exported(tmp_path / "run.hdf5")
    assert [values.shape for values in actions] == [(rows, len(export.joints))] * episodes
    if pipeline in ALONE:
        with pytest.raises(UsageError) as caught:
            export_actions(folder / "dataset", tmp_path / "alone.hdf5")
        assert (caught.value.found, caught.value.todo) == ALONE[pipeline]
        return
    export_actions(folder / "dataset", tmp_path / "alone.hdf5")
    for by_run, alone in zip(actions, exported(tmp_path / "alone.hdf5"), strict=True):
        np.testing.assert_array_equal(by_run, alone)


ADDED = {
    "arena_gr1_microwave": ("annotation.human.action.task_description", "observation.img_state_delta"),
    "evaltasks_nut_pouring": ("annotation.human.action.task_description", "annotation.human.validity"),
}


@pytest.mark.parametrize("pipeline", ADDED)
def test_what_steps_add_is_not_compared(made: Callable[..., Path], pipeline: str) -> None:
    assert sorted(check(made(pipeline)).added) == sorted([*ADDED[pipeline], "next.reward", "next.done"])


def test_the_largest_difference_is_that_of_float32(made: Callable[..., Path]) -> None:
    """LeIsaac's formula in float32, and its inverse in float64, by numpy alone."""
    folder = made("leisaac_so101")
    with h5py.File(folder / "leisaac.hdf5") as file:
        radians = np.concatenate([file[f"data/demo_{n}/actions"][5:] for n in (0, 1)])
    degrees = ((-110, 110), (-100, 100), (-100, 90), (-95, 95), (-160, 160), (-10, 100))
    low, high, motor_low, motor_high = np.float32([(*pair, -100, 100) for pair in degrees[:5]] + [(-10, 100, 0, 100)]).T
    motor = (radians / np.float32(np.pi) * np.float32(180) - low) / (high - low) * (motor_high - motor_low) + motor_low
    assert motor.dtype == np.float32
    back = (motor.astype(float) - motor_low) * ((high - low).astype(float) / (motor_high - motor_low)) + low
    expected = np.abs(back / 180 * np.pi - radians).max()
    assert check(folder).columns["action"].largest_difference == pytest.approx(expected, rel=1e-6)


def test_a_large_difference_is_the_figure_and_numbers_that_are_none_are_not(
    made: Callable[..., Path], tmp_path: Path
) -> None:
    folder = made("leisaac_so101")
    dataset = copied(folder, tmp_path)

    def spoil(values: np.ndarray) -> None:
        values[2, 0] += 20.0  # of 200 motor units over 220 degrees
        values[3, 1] = np.nan
        values[4, 2] = np.inf

    change(dataset, spoil)
    report = check(folder, dataset)
    assert report.n_problems == 3
    assert report.columns["action"].largest_difference == pytest.approx(np.radians(22), rel=1e-6)


@pytest.mark.parametrize("version", ["v3.0", "v2.1"])
def test_both_versions(made: Callable[..., Path], version: str) -> None:
    folder = made("leisaac_so101", "formats=[v3.0, v2.1]")
    report = check_replay(folder / "dataset" / version, finished_run(folder / "dataset.run"))
    assert (report.problems, report.episodes, report.rows) == ((), 2, 14)


def copied(folder: Path, tmp_path: Path) -> Path:
    return shutil.copytree(folder / "dataset", tmp_path / "dataset")


def change(dataset: Path, edit: Callable[[np.ndarray], Any], key: str = "action", file: int = 0) -> None:
    """Edit the (rows, entries) of a column of a data file."""
    path = sorted(dataset.glob("data/*/*.parquet"))[file]
    table = pq.read_table(path)
    index, field = table.schema.get_field_index(key), table.schema.field(key)
    values = np.array(table[key].to_pylist())
    edit(values)
    pq.write_table(table.set_column(index, field, pa.array(values.tolist(), field.type)), path)


def test_the_smallest_difference_of_a_joint_that_was_only_ordered(made: Callable[..., Path], tmp_path: Path) -> None:
    folder = made("arena_gr1_microwave")
    dataset = copied(folder, tmp_path)
    joint = "R_thumb_proximal_pitch_joint"
    with h5py.File(folder / "arena_gr1.hdf5") as file:
        recorded = file["data/demo_1/processed_actions"][4, GR1_ACTION.index(joint)]
    other = np.nextafter(recorded, np.float32(9))
    change(dataset, lambda values: values.__setitem__((4, GR1_POLICY.index(joint)), other), file=1)
    (problem,) = check(folder, dataset).problems
    assert (problem.episode, problem.source, problem.feature) == (1, "arena_gr1.hdf5:data/demo_1", "action")
    assert problem.row == 4
    assert problem.message == f"{joint} is {other.item()!r} in the dataset, {recorded.item()!r} in the recording"


def test_two_joints_exchanged(made: Callable[..., Path], tmp_path: Path) -> None:
    """As by a mistake in a list of joints: all rows differ, both joints are named."""
    folder = made("arena_g1_locomanip")
    dataset = copied(folder, tmp_path)
    one, other = G1_POLICY.index("left_knee_joint"), G1_POLICY.index("right_knee_joint")
    change(dataset, lambda values: values.__setitem__((slice(None), [one, other]), values[:, [other, one]]), file=2)
    report = check(folder, dataset)
    assert [(problem.episode, problem.row) for problem in report.problems] == [(2, 0), (2, 0)]
    for problem, joint in zip(report.problems, ("left_knee_joint", "right_knee_joint"), strict=True):
        assert problem.message.startswith(f"{joint} is ")
        assert problem.message.endswith("(11 rows differ)")


def test_the_dataset_s_own_names_say_where_joints_are(made: Callable[..., Path], tmp_path: Path) -> None:
    folder = made("arena_g1_locomanip")
    dataset = copied(folder, tmp_path)
    info = json.loads((dataset / "meta/info.json").read_text())
    names = info["features"]["action"]["names"]
    names[3], names[9] = names[9], names[3]
    (dataset / "meta/info.json").write_text(json.dumps(info))
    report = check(folder, dataset)
    assert {(problem.feature, problem.message.split()[0]) for problem in report.problems} == {
        ("action", "left_knee_joint"),
        ("action", "right_knee_joint"),
    }
    for file in range(3):
        change(dataset, lambda values: values.__setitem__((slice(None), [3, 9]), values[:, [9, 3]]), file=file)
    assert check(folder, dataset).ok


@pytest.mark.parametrize(("off", "is_found"), [(1e-5, False), (1e-3, True)])
def test_motor_units_within_what_rounding_explains(
    made: Callable[..., Path], tmp_path: Path, off: float, is_found: bool
) -> None:
    """1e-5 of 200 motor units are 2e-7 rad, what float32 does; 1e-3 are 2e-5 rad."""
    folder = made("leisaac_so101")
    dataset = copied(folder, tmp_path)
    with h5py.File(folder / "leisaac.hdf5") as file:
        recorded = float(file["data/demo_1/actions"][5 + 3, 4])
    change(dataset, lambda values: values.__setitem__((7 + 3, 4), values[7 + 3, 4] + off))
    report = check(folder, dataset)
    if not is_found:
        assert report.ok
        return
    (problem,) = report.problems
    assert (problem.episode, problem.feature, problem.row) == (1, "action", 3)
    assert problem.message.startswith("wrist_roll.pos is ")
    assert f", {recorded!r} in the recording; rounding explains 8.9e-07" in problem.message
    assert problem.message.endswith(" (row 8 of the recording)")
    taken_back = float(problem.message.split()[2])
    assert taken_back - recorded == pytest.approx(off * 320 / 200 / 180 * np.pi, rel=0.2)


@pytest.mark.parametrize("key", ["observation.eef_pose", "action.eef_pose", "teleop.navigate_command"])
def test_a_column_that_passes_unchanged(made: Callable[..., Path], tmp_path: Path, key: str) -> None:
    folder = made("arena_g1_locomanip")
    dataset = copied(folder, tmp_path)
    change(dataset, lambda values: values.__setitem__((10, 2), np.nextafter(np.float32(values[10, 2]), 9)), key)
    (problem,) = check(folder, dataset).problems
    assert (problem.episode, problem.feature, problem.row) == (0, key, 10)


def test_rows_that_the_provenance_gets_wrong(made: Callable[..., Path], tmp_path: Path) -> None:
    folder = made("leisaac_so101")
    dataset = copied(folder, tmp_path)
    path = dataset / "meta/robotrove/episodes.parquet"
    table = pq.read_table(path)

    def with_rows(first: int, last: int) -> None:
        changed = table
        for key, value in (("first_row", first), ("last_row", last)):
            values = pa.array([value, *table[key].to_pylist()[1:]])
            changed = changed.set_column(table.schema.get_field_index(key), key, values)
        pq.write_table(changed, path)

    with_rows(4, 10)  # one row too early
    report = check(folder, dataset)
    assert {(problem.episode, problem.row) for problem in report.problems} == {(0, 0)}
    assert {problem.feature for problem in report.problems} == {"action", "observation.state"}
    with_rows(6, 12)
    (problem,) = check(folder, dataset).problems
    assert problem.message == "7 rows of the dataset cannot be rows 6..12 of 12 recorded, as its provenance says"


def test_a_recording_that_is_gone(tmp_path: Path) -> None:
    [path] = write_sample("leisaac", tmp_path, frames=FRAMES, cameras=())
    run_shipped("leisaac_so101", [path], tmp_path / "dataset")
    path.rename(tmp_path / "elsewhere.hdf5")
    report = check(tmp_path)
    assert (report.ok, report.episodes) == (False, 0)
    assert report.problems[0].message == f"{path} is missing: 2 episode(s) cannot be compared"


def small(folder: Path, *steps: Any, **reader: Any) -> Path:
    """Run a pipeline of one's own on a sample without cameras: 7 joints."""
    [path] = write_sample("isaaclab", folder, episodes=2, frames=FRAMES, cameras=())
    made = Pipeline(source=Hdf5Reader(files=[str(path)], layout="isaaclab", **reader), steps=list(steps))
    execute(made.resolved, Workspace.for_output(folder / "dataset"), Here(), watcher=Silent())
    return folder


def test_any_chain_of_orders_and_scales(tmp_path: Path) -> None:
    """By other names, with a joint that is filled in, scaled twice in between, and trimmed at both ends."""
    folder = small(
        tmp_path,
        JointRemapper(
            order=["c", "new", "a", "g"], source_names=list("abcdefg"), fill={"new": 3.0}, columns=["action"]
        ),
        UnitConverter(scale=[2.0, 1.0, -0.5, 1.0], offset=[0.0, 0.0, 10.0, 0.0], columns=["action"]),
        FrameTrimmer(head=2, tail=1),
        JointRemapper(order=["g", "c", "a"], columns=["action"]),
        UnitConverter(scale=10.0, columns=["action"]),
    )
    report = check(folder)
    assert report.problems == ()
    action = report.columns["action"]
    assert replace(action, largest_difference=0.0) == ReplayedColumn((), ("a", "c", "g"), ("b", "d", "e", "f"))
    assert 0 < action.largest_difference < 2e-6
    assert report.columns["observation.state"].exact == tuple(f"joint_pos_{n}" for n in range(7))
    dataset = shutil.copytree(folder / "dataset", tmp_path / "changed")
    change(dataset, lambda values: values.__setitem__((slice(None), 1), values[:, 2]))
    problems = check(folder, dataset).problems
    assert {problem.message.split()[0] for problem in problems} == {"c"}


class Deburr(EpisodeMap):
    """A step from outside."""

    name = "deburr"

    def apply(self, ep: Episode) -> Episode:
        return ep


def test_a_step_that_nobody_knows(tmp_path: Path) -> None:
    folder = small(tmp_path, FrameTrimmer(head=1), Deburr())
    with pytest.raises(UsageError, match=r"steps\[1\]: .*:Deburr has no inverse") as caught:
        check(folder)
    assert "robotrove verify DATASET --source" in str(caught.value)
    assert caught.value.found.endswith("so action, observation.state cannot be taken back to the recording")
    with pytest.raises(UsageError) as exported:
        export_actions(folder / "dataset", tmp_path / "back.hdf5", run_dir=folder / "dataset.run")
    assert exported.value.args == caught.value.args
    assert exported.value.exit_code == 2
    assert not (tmp_path / "back.hdf5").exists()


class Lab(EpisodeMap):
    """Actions in the order and the unit of a lab: the first joint comes last, and all are in tenths.

    Args:
        told: What `inverse` says the factor is.
    """

    name = "lab"

    def __init__(self, *, told: float) -> None:
        super().__init__()
        self.told = told

    def apply(self, ep: Episode) -> Episode:
        return ep.map_column("action", lambda rows: np.roll(rows, -1, axis=1) * 10)

    def inverse(self, key: str, names: list[str], entries: Entries) -> tuple[list[str], Entries]:
        if key != "action":
            return names, entries
        change = Scaled(self.told, 0.0, roundoff(entries[0].dtype))
        turned = [replace(entry, column=(entry.column - 1) % len(names), changes=(change,)) for entry in entries]
        return names, turned


def test_a_step_from_outside_that_has_an_inverse(tmp_path: Path) -> None:
    folder = small(tmp_path, FrameTrimmer(head=1), Lab(told=10.0))
    report = check(folder)
    joints = tuple(f"actions_{n}" for n in range(7))
    assert (report.problems, report.episodes) == ((), 2)
    assert replace(report.columns["action"], largest_difference=0.0) == ReplayedColumn((), joints, ())
    assert report.columns["observation.state"].exact == tuple(f"joint_pos_{n}" for n in range(7))
    export_actions(folder / "dataset", tmp_path / "back.hdf5", run_dir=folder / "dataset.run")
    with h5py.File(folder / "isaaclab.hdf5") as recorded, h5py.File(tmp_path / "back.hdf5") as exported:
        for name in ("demo_0", "demo_1"):
            expected = recorded[f"data/{name}/actions"][1:]
            np.testing.assert_allclose(exported[f"data/{name}/actions"][()], expected, rtol=1e-6)


def test_a_step_from_outside_whose_inverse_is_wrong(tmp_path: Path) -> None:
    problems = check(small(tmp_path, Lab(told=9.0))).problems
    assert {(problem.feature, problem.message.split()[0]) for problem in problems} == {
        ("action", f"actions_{n}") for n in range(7)
    }


class Counted(Deburr):
    """A step from outside that says that it keeps vectors."""

    keeps_vectors = True


def test_a_step_from_outside_that_keeps_vectors(tmp_path: Path) -> None:
    report = check(small(tmp_path, Counted()))
    assert (report.problems, report.columns["action"].exact) == ((), tuple(f"actions_{n}" for n in range(7)))


def test_a_scale_of_zero(tmp_path: Path) -> None:
    folder = small(tmp_path, FrameTrimmer(head=1), UnitConverter(scale=0.0, columns=["observation.state"]))
    with pytest.raises(UsageError, match="multiplies by 0") as caught:
        check(folder)
    assert caught.value.where == f"{folder / 'dataset.run'}, steps[1]"
    assert caught.value.found.endswith("so observation.state cannot be taken back to the recording")


def test_a_dataset_without_actions(tmp_path: Path) -> None:
    folder = small(tmp_path, columns={"observation.state": "obs/joint_pos"})
    with pytest.raises(UsageError, match="has no feature 'action'"):
        check(folder)

"""`export-actions`: what a simulator would step is what was recorded, read as the simulators' scripts read it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from robotrove.blocks.dataset.aggregator import Aggregator
from robotrove.blocks.dataset.dataset_stats import DatasetStats
from robotrove.blocks.source.hdf5_reader import Hdf5Reader
from robotrove.blocks.writer.shard_writer import ShardWriter
from robotrove.core.errors import Damaged, RobotroveError, UsageError
from robotrove.core.features import Feature
from robotrove.core.workspace import Workspace
from robotrove.formats.hdf5.samples import write_sample
from robotrove.pipelines.pipeline import Pipeline
from robotrove.pipelines.replay import action_export
from robotrove.pipelines.replay.action_export import ActionExport, export_actions, way_of_robot
from robotrove.pipelines.replay.replay_check import check_replay
from robotrove.pipelines.run.reopen import finished_run
from robotrove.pipelines.run.runner import execute
from robotrove.pipelines.run.status import Silent
from robotrove.tests.support.pipelines.joint_spaces import (
    DROID_POLICY,
    DROID_STATE,
    G1,
    G1_POLICY,
    GR1_ACTION,
    GR1_POLICY,
)
from robotrove.tests.support.pipelines.replay_reader import ReplayReader
from robotrove.tests.support.pipelines.runs import (
    Here,
    quick_disk,  # noqa: F401 - autouse
    run_here,
    write_pipeline,
)
from robotrove.tests.support.pipelines.shipped_runs import column, rows, run_shipped

FRAMES, EPISODES = 14, 3
# Limits in degrees and motor ranges of the SO-101 in LeIsaac.
LIMITS = np.array([(-110, 110), (-100, 100), (-100, 90), (-95, 95), (-160, 160), (-10, 100)], np.float64)
MOTOR = np.array([(-100, 100)] * 5 + [(0, 100)], np.float64)


def radians(motor: np.ndarray) -> np.ndarray:
    """LeIsaac's way back, of one arm, in float64."""
    (low, high), (motor_low, motor_high) = LIMITS.T, MOTOR.T
    return ((motor.astype(np.float64) - motor_low) / (motor_high - motor_low) * (high - low) + low) / 180 * np.pi


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Give the folder of a pipeline: its recording by the name of the sample, `dataset` and `dataset.run`."""
    done: dict[tuple[str, ...], Path] = {}

    def make(pipeline: str, sample: str, *overrides: str) -> Path:
        if (key := (pipeline, sample, *overrides)) not in done:
            folder = tmp_path_factory.mktemp("run")
            cameras = () if sample.startswith("leisaac") else None
            write_sample(sample, folder, episodes=EPISODES, frames=FRAMES, height=48, width=48, cameras=cameras)
            run_shipped(pipeline, [folder / f"{sample}.hdf5"], folder / "dataset", *overrides)
            done[key] = folder
        return done[key]

    return make


def recorded(folder: Path, sample: str, key: str, episode: int) -> np.ndarray:
    with h5py.File(folder / f"{sample}.hdf5") as file:
        values: np.ndarray = file[f"data/demo_{episode}/{key}"][()]
        return values


ARENA = [
    ("arena_gr1_microwave", "arena_gr1", GR1_ACTION, GR1_POLICY),
    ("arena_g1_locomanip", "arena_g1", G1, G1_POLICY),
    ("arena_droid", "arena_droid", DROID_STATE[:8], DROID_POLICY),
    ("evaltasks_nut_pouring", "evaltasks", GR1_ACTION, GR1_POLICY),
]


@pytest.mark.parametrize("with_source", [True, False])
@pytest.mark.parametrize(("pipeline", "sample", "simulator", "policy"), ARENA)
def test_joints_go_back_by_name_and_others_are_zero(
    made: Callable[..., Path],
    tmp_path: Path,
    pipeline: str,
    sample: str,
    simulator: list[str],
    policy: list[str],
    with_source: bool,
) -> None:
    folder = made(pipeline, sample)
    robot = "gr1" if sample == "evaltasks" and not with_source else None  # its robot_type is gr1_arms_only
    export = export_actions(
        folder / "dataset",
        tmp_path / "a.hdf5",
        robot=robot,
        run_dir=folder / "dataset.run" if with_source else None,
    )
    assert (export.joints, export.zeros) == (tuple(simulator), tuple(n for n in simulator if n not in policy))
    assert (export.episodes, export.rows, export.converted) == (3, 3 * (FRAMES - 1), ())
    file = ReplayReader(tmp_path / "a.hdf5")
    assert (file.names, file.total) == (["demo_0", "demo_1", "demo_2"], 3 * (FRAMES - 1))
    for number in range(3):
        episode = file.episodes[f"demo_{number}"]
        expected = recorded(folder, sample, "processed_actions", number)[:-1].copy()
        expected[:, [name not in policy for name in simulator]] = 0
        np.testing.assert_array_equal(np.stack(list(episode.steps())), expected)
        assert (episode.attrs["num_samples"], episode.attrs["num_frames"]) == (FRAMES - 1, FRAMES - 1)
        assert bool(episode.attrs["success"]) is (number < 2), "the sample's last one failed"
        assert set(episode.compression.values()) == {("gzip", 4)}
        if not with_source:
            assert (episode.initial_state, episode.seed) == (None, None)
            continue
        robot_state = episode.initial_state["articulation"]["robot"]
        for key in ("joint_position", "root_pose"):
            np.testing.assert_array_equal(
                robot_state[key], recorded(folder, sample, f"initial_state/articulation/robot/{key}", number)
            )
        assert episode.seed == 0
    with h5py.File(folder / f"{sample}.hdf5") as source:
        name = json.loads(source["data"].attrs["env_args"])["env_name"]
    assert file.env_args == {"env_name": name if with_source else "", "type": 2}
    assert (export.starts, export.shifted_starts, export.late_starts) == ((3, 0, 0) if with_source else (0, 0, 0))


LEISAAC = [("leisaac_so101", "leisaac", 6), ("leisaac_bi_so101", "leisaac_bi_so101", 12)]


@pytest.mark.parametrize("version", ["v3.0", "v2.1"])
@pytest.mark.parametrize("with_source", [True, False])
@pytest.mark.parametrize(("pipeline", "sample", "width"), [*LEISAAC, ("leisaac_lekiwi", "leisaac_lekiwi", 9)])
def test_motor_units_become_radians(
    made: Callable[..., Path],
    tmp_path: Path,
    pipeline: str,
    sample: str,
    width: int,
    with_source: bool,
    version: str,
) -> None:
    folder = made(pipeline, sample, "formats=[v3.0, v2.1]")
    dataset = folder / "dataset" / version
    run_dir = folder / "dataset.run" if with_source else None
    export = export_actions(dataset, tmp_path / "a.hdf5", run_dir=run_dir)
    assert (len(export.joints), len(export.converted), export.zeros) == (width, width // 6 * 6, ())
    file = ReplayReader(tmp_path / "a.hdf5")
    assert file.names == ["demo_0", "demo_1"]
    stored = column(rows(dataset), "action")
    for number, episode in enumerate(file.episodes.values()):
        found = np.stack(list(episode.steps()))
        assert (found.shape, found.dtype) == ((FRAMES - 5, width), np.float32)
        part = stored[number * (FRAMES - 5) : (number + 1) * (FRAMES - 5)]
        arms = [radians(part[:, first : first + 6]) for first in range(0, width // 6 * 6, 6)]
        np.testing.assert_allclose(found[:, : 6 * len(arms)], np.hstack(arms), rtol=2e-7, atol=0)
        actions = recorded(folder, sample, "actions", number)[5:]
        np.testing.assert_allclose(found[:, : 6 * len(arms)], actions[:, : 6 * len(arms)], rtol=0, atol=2.5e-6)
        if width == 9:
            np.testing.assert_array_equal(found[:, 6:], recorded(folder, sample, "obs/user_vel_action", number)[5:])
        assert bool(episode.attrs["success"])


def test_an_episode_that_begins_late_starts_from_the_state_there(made: Callable[..., Path], tmp_path: Path) -> None:
    """Rows 0 to 4 are not in the dataset: the state before row 5 is the one after action 4."""
    folder = made("leisaac_lekiwi", "leisaac_lekiwi")
    export = export_actions(folder / "dataset", tmp_path / "a.hdf5", run_dir=folder / "dataset.run")
    assert (export.starts, export.shifted_starts, export.late_starts) == (2, 2, 0)
    for number, episode in enumerate(ReplayReader(tmp_path / "a.hdf5").episodes.values()):
        robot = episode.initial_state["articulation"]["robot"]
        states = recorded(folder, "leisaac_lekiwi", "states/articulation/robot/joint_position", number)
        assert robot["joint_position"].shape == (1, 9)
        np.testing.assert_array_equal(robot["joint_position"], states[4:5])
    # This sample keeps the speed of the joints for its initial state alone.
    folder = made("leisaac_so101", "leisaac")
    export = export_actions(folder / "dataset", tmp_path / "b.hdf5", run_dir=folder / "dataset.run")
    assert (export.starts, export.shifted_starts, export.late_starts) == (2, 0, 2)
    robot = ReplayReader(tmp_path / "b.hdf5").episodes["demo_1"].initial_state["articulation"]["robot"]
    initial = recorded(folder, "leisaac", "initial_state/articulation/robot/joint_position", 1)
    np.testing.assert_array_equal(robot["joint_position"], initial)
    assert set(robot) == {"joint_position", "joint_velocity", "root_pose"}


@pytest.mark.parametrize(
    ("actions", "states", "first"),
    [([1, None], [1, None], 1), ([0, -1], [1, None], 0), ([-10, None], [-10, None], 4), ([None, -1], [0, -1], 0)],
)
@pytest.mark.parametrize("head", [0, 2])
def test_rows_that_the_mapping_cuts(tmp_path: Path, actions: list, states: list, first: int, head: int) -> None:
    """The simulator starts before the first action of the dataset, wherever it is in the recording."""
    [path] = write_sample("isaaclab", tmp_path / "in", episodes=2, frames=FRAMES, cameras=())
    with h5py.File(path, "a") as file:
        for demo in file["data"].values():
            del demo["initial_state/articulation/robot/joint_velocity"]
    columns = {"action": ("actions", actions), "observation.state": ("obs/joint_pos", states)}
    source = {"columns": {key: {"from": place, "rows": cut} for key, (place, cut) in columns.items()}}
    pipeline = write_pipeline(tmp_path, [path], source=source, steps=[{"frame_trimmer": {"head": head}}])
    run_here(pipeline, tmp_path / "dataset")
    replayed = check_replay(tmp_path / "dataset", finished_run(tmp_path / "dataset.run"))
    assert (replayed.problems, replayed.episodes) == ((), 2)
    export = export_actions(tmp_path / "dataset", tmp_path / "a.hdf5", run_dir=tmp_path / "dataset.run")
    begin = first + head
    assert (export.starts, export.shifted_starts, export.late_starts) == (2, 2 if begin else 0, 0)
    for number, episode in enumerate(ReplayReader(tmp_path / "a.hdf5").episodes.values()):
        with h5py.File(path) as file:
            demo = file[f"data/demo_{number}"]
            expected = demo["actions"][slice(*actions)][head:]
            before = "initial_state", slice(None)
            if begin:
                before = "states", slice(begin - 1, begin)
            state = demo[before[0]]["articulation/robot/joint_position"][before[1]]
        np.testing.assert_array_equal(np.stack(list(episode.steps())), expected)
        np.testing.assert_array_equal(episode.initial_state["articulation"]["robot"]["joint_position"], state)


def test_actions_of_two_rows_have_no_start(tmp_path: Path) -> None:
    [path] = write_sample("isaaclab", tmp_path / "in", episodes=1, frames=FRAMES, cameras=())
    parts = [{"from": "actions", "rows": [1, None]}, {"from": "processed_actions", "rows": [0, -1]}]
    columns = {"action": parts, "observation.state": {"from": "obs/joint_pos", "rows": [0, -1]}}
    run_here(write_pipeline(tmp_path, [path], source={"columns": columns}), tmp_path / "dataset")
    with pytest.raises(UsageError, match="its actions begin with actions at row 1, processed_actions at row 0"):
        export_actions(tmp_path / "dataset", tmp_path / "a.hdf5", run_dir=tmp_path / "dataset.run")
    replayed = check_replay(tmp_path / "dataset", finished_run(tmp_path / "dataset.run"))
    assert (replayed.problems, replayed.rows) == ((), FRAMES - 1)


def test_an_environment_in_other_bytes_is_exported_as_it_is(tmp_path: Path) -> None:
    [path] = write_sample("isaaclab", tmp_path / "in", episodes=1, frames=FRAMES, cameras=())
    content = json.dumps({"env_name": "Küche", "type": 2}, ensure_ascii=False).encode("latin-1")
    with h5py.File(path, "a") as file:
        file["data"].attrs["env_args"] = np.bytes_(content)
    source = {"task": "stack"}
    run_here(write_pipeline(tmp_path, [path], source=source), tmp_path / "dataset")
    export_actions(tmp_path / "dataset", tmp_path / "a.hdf5", run_dir=tmp_path / "dataset.run")
    with h5py.File(tmp_path / "a.hdf5") as file:
        assert file["data"].attrs["env_args"].encode(errors="surrogateescape") == content


def test_in_pieces_as_in_one(made: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = made("arena_gr1_microwave", "arena_gr1", "dataset=[aggregator]")
    export_actions(folder / "dataset", tmp_path / "one.hdf5")
    monkeypatch.setattr("robotrove.formats.lerobot.datasets.dataset.BATCH_ROWS", 5)
    export_actions(folder / "dataset", tmp_path / "pieces.hdf5")
    export_actions(folder / "dataset", tmp_path / "last.hdf5", episodes=[range(2, 3), range(0, 1)])
    whole, pieces, some = (ReplayReader(tmp_path / f"{name}.hdf5") for name in ("one", "pieces", "last"))
    assert whole.names == pieces.names
    assert (some.names, some.total) == (["demo_0", "demo_2"], 2 * (FRAMES - 1))
    for name, episode in whole.episodes.items():
        np.testing.assert_array_equal(episode.data["actions"], pieces.episodes[name].data["actions"])
    for name, episode in some.episodes.items():
        np.testing.assert_array_equal(episode.data["actions"], whole.episodes[name].data["actions"])


def test_actions_of_a_keyboard_stay_as_they_are(tmp_path: Path) -> None:
    [path] = write_sample("leisaac", tmp_path, episodes=2, frames=FRAMES, cameras=())
    raw = np.random.default_rng(0).normal(size=(FRAMES, 8)).astype(np.float32)
    with h5py.File(path, "a") as file:
        del file["data/demo_0/actions"]
        file["data/demo_0/actions"] = raw
    run_shipped("leisaac_so101", [path], tmp_path / "dataset")
    for name, run_dir in (("a.hdf5", None), ("b.hdf5", tmp_path / "dataset.run")):
        export = export_actions(tmp_path / "dataset", tmp_path / name, run_dir=run_dir)
        assert (export.joints, export.converted) == (tuple(f"dim_{n}" for n in range(8)), ())
        np.testing.assert_array_equal(ReplayReader(tmp_path / name).episodes["demo_0"].data["actions"], raw[5:])
    with pytest.raises(UsageError, match="are not the joints of robot so101"):
        export_actions(tmp_path / "dataset", tmp_path / "c.hdf5", robot="so101")


def test_actions_with_names_that_no_joint_has_need_the_run(tmp_path: Path) -> None:
    """Their units may be others than the simulator's: LIBERO's gripper for GR00T is 0 where the simulator takes 1."""
    named = Feature("float32", (7,), ("x", "y", "z", "axis_angle1", "axis_angle2", "axis_angle3", "gripper"))
    with pytest.raises(UsageError, match=r"has 7 entries \(x, y, z …\), which are not the joints of robot ") as caught:
        way_of_robot(named, "panda", None, None)
    assert caught.value.todo == "--robot NAME or FILE of the robot that it is, or --source RUN_DIR"
    numbered = Feature("float32", (7,), tuple(f"actions_{n}" for n in range(7)))
    assert way_of_robot(numbered, "panda", None, None).exact == numbered.names


@pytest.mark.parametrize(
    ("pipeline", "sample", "width", "first", "source"),
    [
        ("aloha", "aloha", 14, "left_waist", "action"),
        ("piper_bimanual", "piper", 14, "left_joint_1.pos", "action"),
        ("robomimic", "robomimic", 7, "actions_0", "actions"),
        ("libero", "libero", 7, "actions_0", "actions"),
    ],
)
def test_other_robots(tmp_path: Path, pipeline: str, sample: str, width: int, first: str, source: str) -> None:
    """Joints, or deltas of a hand that no manifest names: two robots have the type of the last two."""
    files = write_sample(sample, tmp_path / "in", episodes=2, frames=FRAMES, height=48, width=48)
    run_shipped(pipeline, files, tmp_path / "dataset", "writer.video={codec: libx264, preset: ultrafast}")
    replayed = check_replay(tmp_path / "dataset", finished_run(tmp_path / "dataset.run"))
    assert (replayed.problems, len(replayed.columns["action"].exact)) == ((), width)
    for name, run_dir in (("a.hdf5", None), ("b.hdf5", tmp_path / "dataset.run")):
        export = export_actions(tmp_path / "dataset", tmp_path / name, run_dir=run_dir)
        assert (len(export.joints), export.joints[0], export.zeros, export.starts) == (width, first, (), 0)
        found = ReplayReader(tmp_path / name).episodes["demo_0"].data["actions"]
        with h5py.File(files[0]) as file:
            demo = next(iter(file["data"].values())) if "data" in file else file[export_key(file)]
            np.testing.assert_array_equal(found, demo[source][:FRAMES].astype(np.float32))


def export_key(file: h5py.File) -> str:
    """Return the first episode of a file that has them at its root, or is one."""
    return "episode_0" if "episode_0" in file else "/"


def test_a_robot_of_one_s_own(made: Callable[..., Path], tmp_path: Path) -> None:
    """A dataset without the run that made it, of a robot that robotrove does not know."""
    folder = made("leisaac_so101", "leisaac", "writer.robot_type=my_arm", "steps[3]={joint_remapper: {robot: so101}}")
    with pytest.raises(UsageError, match="is 'my_arm', and no robot manifest has it"):
        export_actions(folder / "dataset", tmp_path / "a.hdf5")
    names = [f"{joint}.pos" for joint in ("gripper", "wrist_roll", "wrist_flex", "shoulder_lift", "shoulder_pan")]
    robot = tmp_path / "arm.yaml"
    robot.write_text(
        f"name: my_arm\nrobot_type: my_arm\njoints: [{', '.join([*names, 'elbow_flex.pos'])}]\n"
        f"spaces:\n  a: [{', '.join([*names, 'elbow_flex.pos'])}]\n  b: [neck, elbow_flex.pos, gripper.pos]\n"
    )
    with pytest.raises(UsageError, match="has no joint space 'action'"):
        export_actions(folder / "dataset", tmp_path / "a.hdf5", robot=str(robot))
    export = export_actions(folder / "dataset", tmp_path / "a.hdf5", robot=str(robot), space="b")
    assert (export.joints, export.zeros) == (("neck", "elbow_flex.pos", "gripper.pos"), ("neck",))
    actions = recorded(folder, "leisaac", "actions", 1)[5:]
    expected = np.stack([np.zeros(len(actions)), actions[:, 2], actions[:, 5]], axis=1)
    np.testing.assert_array_equal(ReplayReader(tmp_path / "a.hdf5").episodes["demo_1"].data["actions"], expected)


@pytest.fixture
def two_runs(tmp_path: Path) -> tuple[Path, Path, Path]:
    """A dataset of two runs, of two environments each with two files, and the run of the second."""
    names = ["LeIsaac-SO101-PickOrange-v0", "LeIsaac-SO101-LiftCube-v0"]
    runs = []
    for number in range(2):
        files = []
        for place, name in enumerate(names):
            folder = tmp_path / f"{number}{name}"
            [path] = write_sample("leisaac", folder, episodes=2, frames=FRAMES, cameras=(), seed=2 * number + place)
            files.append(path.rename(folder / f"{name}.hdf5"))
            with h5py.File(files[-1], "a") as file:
                file["data"].attrs["env_args"] = json.dumps({"env_name": name, "type": 2, "sim_args": {"dt": 0.1}})
                file.attrs["format_version"] = number
                file["data/demo_0"].attrs["seed"] = 40 + number
        run_shipped("leisaac_so101", files, tmp_path / f"run{number}")
        runs.append(tmp_path / f"run{number}")
    merged = Pipeline(dataset=[Aggregator(datasets=[str(run) for run in runs]), DatasetStats()])
    execute(merged.resolved, Workspace.for_output(tmp_path / "merged"), Here(), watcher=Silent())
    return tmp_path / "merged", tmp_path / "run1.run", tmp_path / "out.hdf5"


def test_one_environment_of_one_run_in_a_file(two_runs: tuple[Path, Path, Path]) -> None:
    merged, run_dir, target = two_runs
    with pytest.raises(UsageError, match=r"2 episode\(s\) do not come from the run .*first: 0"):
        export_actions(merged, target, run_dir=run_dir)
    with pytest.raises(UsageError, match=r"is of 'LeIsaac-SO101-LiftCube-v0' \(format_version 1\), episodes before"):
        export_actions(merged, target, run_dir=run_dir, episodes=[range(2, 4)])
    assert [path.name for path in target.parent.iterdir() if "out.hdf5" in path.name] == [], "nothing is left behind"
    export_actions(merged, target, run_dir=run_dir, episodes=[range(3, 4)])
    file = ReplayReader(target)
    assert file.names == ["demo_3"]
    assert file.env_args == {"env_name": "LeIsaac-SO101-LiftCube-v0", "type": 2, "sim_args": {"dt": 0.1}}
    assert file.root_attrs == {"format_version": 1}, "its quaternions are xyzw"
    assert file.episodes["demo_3"].seed == 41


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"episodes": [range(1, 9)]}, "has no episode 3"),
        ({"episodes": [range(7, 8)]}, "has no episode 7"),
        ({"robot": "gr2"}, "did you mean 'gr1'"),
        ({"space": "stat"}, "did you mean 'state'"),
    ],
)
def test_bad_usage(made: Callable[..., Path], tmp_path: Path, arguments: dict, message: str) -> None:
    folder = made("arena_gr1_microwave", "arena_gr1")
    with pytest.raises(UsageError, match=message):
        export_actions(folder / "dataset", tmp_path / "a.hdf5", **arguments)
    assert list(tmp_path.iterdir()) == []


def test_robot_and_source_exclude_each_other_and_the_folder_must_be_there(
    made: Callable[..., Path], tmp_path: Path
) -> None:
    folder = made("arena_gr1_microwave", "arena_gr1")
    with pytest.raises(UsageError, match="contradict --source"):
        export_actions(folder / "dataset", tmp_path / "a.hdf5", robot="gr1", run_dir=folder / "dataset.run")
    with pytest.raises(UsageError, match="is not a run directory"):
        export_actions(folder / "dataset", tmp_path / "a.hdf5", run_dir=folder / "nothing")
    with pytest.raises(UsageError, match="its folder is missing"):
        export_actions(folder / "dataset", tmp_path / "nothing/a.hdf5")


def test_an_existing_file_is_refused(
    made: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = made("arena_gr1_microwave", "arena_gr1")
    target = tmp_path / "a.hdf5"
    target.write_text("mine")
    with pytest.raises(UsageError, match="already exists"):
        export_actions(folder / "dataset", target)
    # Made by somebody else in the meantime: it stays.
    monkeypatch.setattr(action_export.os.path, "lexists", lambda path: False)
    with pytest.raises(UsageError, match="already exists"):
        export_actions(folder / "dataset", target)
    assert target.read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["a.hdf5"]


def test_a_full_disk_leaves_nothing_behind(
    made: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = made("arena_gr1_microwave", "arena_gr1")
    full = OSError(28, "No space left on device")
    monkeypatch.setattr(h5py.Dataset, "__setitem__", lambda *given: (_ for _ in ()).throw(full))
    with pytest.raises(RobotroveError, match=r"HDF5 cannot write it: .*No space left"):
        export_actions(folder / "dataset", tmp_path / "a.hdf5")
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written(
    made: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read-only file system refuses to remove too what was never there."""
    folder = made("arena_gr1_microwave", "arena_gr1")

    def refuse(*given: object, **options: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(h5py, "File", refuse)
    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(RobotroveError, match=r"HDF5 cannot write it: .*Read-only"):
        export_actions(folder / "dataset", tmp_path / "a.hdf5")


def test_a_recording_that_is_gone(tmp_path: Path) -> None:
    [path] = write_sample("leisaac", tmp_path, frames=FRAMES, cameras=())
    run_shipped("leisaac_so101", [path], tmp_path / "dataset")
    before = path.read_bytes()
    export_actions(tmp_path / "dataset", tmp_path / "a.hdf5", run_dir=tmp_path / "dataset.run")
    assert path.read_bytes() == before
    path.rename(tmp_path / "elsewhere.hdf5")
    with pytest.raises(RobotroveError, match="is missing"):
        export_actions(tmp_path / "dataset", tmp_path / "b.hdf5", run_dir=tmp_path / "dataset.run")
    assert not (tmp_path / "b.hdf5").exists()


def test_rows_of_another_episode_are_never_taken(made: Callable[..., Path], tmp_path: Path) -> None:
    """A dataset whose meta points to the wrong rows."""
    folder = made("arena_gr1_microwave", "arena_gr1", "dataset=[aggregator]", "writer.robot_type=gr1")
    copy = tmp_path / "dataset"
    subprocess.run(["cp", "-r", str(folder / "dataset"), str(copy)], check=True)
    path = copy / "meta/episodes/chunk-000/file-000.parquet"
    table = pq.read_table(path)
    lengths = pa.array([12, 14, 13])
    pq.write_table(table.set_column(table.schema.get_field_index("length"), "length", lengths), path)
    with pytest.raises(RobotroveError, match="not all of episode 1"):
        export_actions(copy, tmp_path / "a.hdf5")


LONG = """
import re, sys
from pathlib import Path
from robotrove.pipelines.replay.action_export import export_actions
export = export_actions(Path(sys.argv[1]), Path(sys.argv[2]), robot="g1")
print(export.rows, int(re.search("VmHWM: *([0-9]+)", Path("/proc/self/status").read_text().expandtabs())[1]) // 1024)
"""


def test_memory_does_not_grow_with_the_episode(made: Callable[..., Path], tmp_path: Path) -> None:
    """One episode of 20,000 and of 600,000 rows of 43 joints, 3 and 103 MB, each in one row group."""
    folder = made("arena_g1_locomanip", "arena_g1", "dataset=[aggregator]")
    peaks = []
    for count in (20_000, 600_000):
        dataset = tmp_path / str(count)
        subprocess.run(["cp", "-r", str(folder / "dataset"), str(dataset)], check=True)
        [rows_file] = dataset.glob("data/*/*.parquet")
        table = pq.read_table(rows_file, columns=["action", "episode_index"]).slice(0, 1)
        values = np.resize(np.arange(43, dtype=np.float32), count * 43)
        action = pa.FixedSizeListArray.from_arrays(pa.array(values), 43)
        columns = {"action": action, "episode_index": pa.array(np.zeros(count, np.int64))}
        pq.write_table(pa.table({name: columns[name] for name in table.column_names}), rows_file, row_group_size=count)
        meta = dataset / "meta/episodes/chunk-000/file-000.parquet"
        episodes = pq.read_table(meta).slice(0, 1)
        place = episodes.schema.get_field_index("length")
        pq.write_table(episodes.set_column(place, "length", pa.array([count])), meta)
        (dataset / "meta/robotrove/episodes.parquet").unlink()
        command = [sys.executable, "-c", LONG, str(dataset), str(tmp_path / f"{count}.hdf5")]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        written, peak = map(int, done.stdout.split())
        assert written == count
        peaks.append(peak)
    with h5py.File(tmp_path / "600000.hdf5") as file:
        order = [G1_POLICY.index(name) for name in G1]
        assert file["data/demo_0/actions"][599_999].tolist() == order
    assert peaks[1] - peaks[0] < 40, peaks


def test_what_was_done_is_told(made: Callable[..., Path], tmp_path: Path) -> None:
    folder = made("arena_droid", "arena_droid")
    export = export_actions(folder / "dataset", tmp_path / "a.hdf5", space="state")
    assert isinstance(export, ActionExport)
    assert (export.path, export.zeros) == (str(tmp_path / "a.hdf5"), tuple(DROID_STATE[8:]))


@pytest.mark.parametrize("length", [0.5, {}, 10**30, "24", None])
def test_actions_of_an_episode_whose_length_is_no_number(tmp_path: Path, length: Any) -> None:
    [recording] = write_sample("isaaclab", tmp_path, episodes=2, frames=4, height=48, width=64)
    source = Hdf5Reader(files=[str(recording)], layout="isaaclab")
    root = tmp_path / "dataset"
    Pipeline(source=source, steps=[], writer=ShardWriter(), formats=["v2.1"]).run(output=root, workers=1)
    path = root / "meta/episodes.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[1]["length"] = length
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    robot = tmp_path / "arm.yaml"
    robot.write_text(f"name: arm\nrobot_type: arm\njoints: [{', '.join(f'actions_{n}' for n in range(7))}]\n")
    with pytest.raises(Damaged, match="instead of a count"):
        export_actions(root, tmp_path / "a.hdf5", robot=str(robot))

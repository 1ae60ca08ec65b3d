from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

from robotrove.cli.datasets.export_actions import _lines
from robotrove.pipelines.replay.action_export import ActionExport


def test_what_was_written_is_told(robotrove: Callable, converted: Path, tmp_path: Path) -> None:
    target = tmp_path / "actions.hdf5"
    done = robotrove("export-actions", converted / "dataset", "-o", target, "--source", converted / "dataset.run")
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == [f"{target}: 2 episodes, 16 rows of 7 joints"]
    with h5py.File(target) as found, h5py.File(converted / "isaaclab.hdf5") as recorded:
        assert found["data"].attrs["env_args"] == recorded["data"].attrs["env_args"]
        for name in ("demo_0", "demo_1"):
            np.testing.assert_array_equal(found[f"data/{name}/actions"], recorded[f"data/{name}/actions"])
    again = robotrove("export-actions", converted / "dataset", "-o", target, "--source", converted / "dataset.run")
    assert (again.code, again.out) == (2, "")
    assert "already exists" in again.err


def test_without_the_run_the_robot_has_to_be_known(robotrove: Callable, converted: Path, tmp_path: Path) -> None:
    unknown = robotrove("export-actions", converted / "dataset", "-o", tmp_path / "a.hdf5")
    assert unknown.code == 2
    assert "--robot NAME or FILE, or give --source RUN_DIR" in unknown.err
    robot = tmp_path / "arm.yaml"
    joints = ", ".join(f"actions_{n}" for n in range(7))
    robot.write_text(f"name: arm\nrobot_type: arm\njoints: [{joints}]\nspaces: {{sim: [x, {joints}]}}\n")
    options = ("--robot", robot, "--episodes", "1", "--json")
    done = robotrove("export-actions", converted / "dataset", "-o", tmp_path / "a.hdf5", *options)
    assert done.code == 0, done.err
    assert done.json == {
        "path": str(tmp_path / "a.hdf5"),
        "episodes": 1,
        "rows": 8,
        "joints": ["x", *(f"actions_{n}" for n in range(7))],
        "zeros": ["x"],
        "converted": [],
        "starts": 0,
        "shifted_starts": 0,
        "late_starts": 0,
    }
    text = robotrove("export-actions", converted / "dataset", "-o", tmp_path / "b.hdf5", "--robot", robot)
    assert text.out.splitlines()[1:] == [
        "  zero, because the dataset has no such joints: x",
        "  without an initial state for Isaac Lab's replay: 2 episodes; give --source RUN_DIR",
    ]


def test_bad_usage(robotrove: Callable, converted: Path, tmp_path: Path) -> None:
    for options, message in (
        (("--episodes", "1-0"), "'1-0' is neither a number nor a range"),
        (("--episodes", "0,x"), "'x' is neither a number nor a range"),
        (("--episodes", "0-99999999999999"), "has no episode 2"),
    ):
        refused = robotrove("export-actions", converted / "dataset", "-o", tmp_path / "a.hdf5", *options)
        assert (refused.code, refused.out) == (2, "")
        assert message in refused.err
    assert "is not a dataset" in robotrove("export-actions", tmp_path, "-o", tmp_path / "a.hdf5").err
    assert list(tmp_path.iterdir()) == []


def test_a_source_that_was_given_is_not_asked_for() -> None:
    export = ActionExport(
        "a.hdf5", 2, 16, joints=["x"], zeros=[], converted=[], starts=0, shifted_starts=0, late_starts=0
    )
    [_, lacking] = _lines(export, Path("dataset.run"))
    assert lacking == "  without an initial state for Isaac Lab's replay: 2 episodes"

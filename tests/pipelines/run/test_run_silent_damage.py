"""Inputs that once gave wrong datasets without a word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from robotrove.core.errors import RunChanged, UsageError
from robotrove.core.workspace import Workspace
from robotrove.executors.local import LocalExecutor
from robotrove.formats.hdf5.layout import flag
from robotrove.pipelines.plan.planner import make_plan
from robotrove.pipelines.spec.resolved_pipeline import load_pipeline
from robotrove.tests.support.pipelines.runs import run_here, sample, write_pipeline


def _isaaclab(path: Path, **vectors: Any) -> Path:
    with h5py.File(path, "w") as file:
        group = file.create_group("data/demo_0")
        group.create_group("initial_state")
        group.attrs["success"] = True
        group["actions"] = np.zeros((4, 2), np.float32)
        for name, rows in vectors.items():
            group[f"obs/{name}"] = rows
    return path


def _column(output: Path, name: str) -> list[Any]:
    return pq.read_table(output / "data", columns=[name]).column(name).to_pylist()


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        (True, True), (np.int64(1), True), ("true", True), (b"Success", True), (np.array([False, True]), True),
        (False, False), (0, False), ("False", False), (b"false", False), ("failure", False), ("0", False),
        (None, None), (float("nan"), None), (-1, None), ("perhaps", None), (np.array([]), None),
    ],
)  # fmt: skip
def test_a_label_is_read_not_guessed(label: Any, expected: bool | None) -> None:
    assert flag(label) is expected


def test_a_label_stays_at_the_end_of_what_is_left(tmp_path: Path) -> None:
    file = sample(tmp_path, "a.hdf5", 2, 10)  # a success and a failure
    steps = [{"use": "success_filter", "policy": "label"}, {"use": "frame_trimmer", "head": 2, "tail": 3}]
    run_here(write_pipeline(tmp_path, [file], steps=steps), tmp_path / "out")
    assert _column(tmp_path / "out", "next.success") == [False] * 4 + [True] + [False] * 5


def test_recordings_that_begin_and_end_alike_are_two(tmp_path: Path) -> None:
    rows = np.zeros((4, 2), np.float32)
    _isaaclab(tmp_path / "a.hdf5", joint_pos=rows)
    rows[1] = 7
    _isaaclab(tmp_path / "b.hdf5", joint_pos=rows)
    (tmp_path / "c.hdf5").write_bytes((tmp_path / "a.hdf5").read_bytes())
    pipeline = write_pipeline(tmp_path, [tmp_path / f"{name}.hdf5" for name in "abc"])
    plan = make_plan(load_pipeline(pipeline))
    assert [row.reason for row in plan.manifest.rows] == ["", "", "duplicate_episode"]
    assert "a.hdf5" in plan.manifest.rows[2].detail


def test_whole_numbers_do_not_wrap(tmp_path: Path) -> None:
    large, fitting = np.uint64(2**63 + 5), np.uint64(2**62 + 1)
    for name, value in (("large", large), ("fitting", fitting)):
        _isaaclab(tmp_path / f"{name}.hdf5", joint_pos=np.zeros((4, 2)), count=np.full((4, 2), value))
    columns = {"action": "actions", "observation.state": "obs/joint_pos", "observation.count": "obs/count"}
    files = [tmp_path / "large.hdf5", tmp_path / "fitting.hdf5"]
    report = run_here(write_pipeline(tmp_path, files, source={"columns": columns}), tmp_path / "out")
    assert report.rejected == {"out_of_range": 1}
    assert _column(tmp_path / "out", "observation.count") == [[2**62 + 1] * 2] * 4


def test_int64_beside_uint64_keeps_its_digits(tmp_path: Path) -> None:
    wide = 2**53 + 1
    file = _isaaclab(
        tmp_path / "a.hdf5", joint_pos=np.zeros((4, 2)), i=np.full((4, 1), wide), u=np.full((4, 1), np.uint64(wide))
    )
    columns = {"action": "actions", "observation.ids": ["obs/i", "obs/u"]}
    run_here(write_pipeline(tmp_path, [file], source={"columns": columns}), tmp_path / "out")
    assert _column(tmp_path / "out", "observation.ids") == [[wide, wide]] * 4


def test_data_in_a_file_that_is_gone_are_no_zeros(tmp_path: Path) -> None:
    good = _isaaclab(tmp_path / "good.hdf5", joint_pos=np.ones((4, 2), np.float32))
    bad = _isaaclab(tmp_path / "bad.hdf5")
    virtual = h5py.VirtualLayout((4, 2), np.float32)
    virtual[:] = h5py.VirtualSource("gone.hdf5", "rows", (4, 2))
    with h5py.File(bad, "a") as file:
        file["data/demo_0"].create_group("obs").create_virtual_dataset("joint_pos", virtual)
    report = run_here(write_pipeline(tmp_path, [good, bad]), tmp_path / "out")
    assert (report.kept, report.rejected) == (1, {"missing_file": 1})


def test_a_changed_robot_file_is_another_pipeline(tmp_path: Path) -> None:
    robot = tmp_path / "arm.yaml"
    joint = {"name": "j", "unit": "rad", "range_deg": [-90, 90], "motor_range": [-100, 100]}
    robot.write_text(yaml.safe_dump({"name": "arm", "robot_type": "arm", "joints": [joint]}))
    file = _isaaclab(tmp_path / "a.hdf5", joint_pos=np.ones((4, 1), np.float32))
    steps = [{"use": "unit_converter", "robot": str(robot), "columns": ["observation.state"]}]
    pipeline = write_pipeline(tmp_path, [file], steps=steps)
    run_here(pipeline, tmp_path / "out")
    robot.write_text(robot.read_text().replace("90", "45"))
    with pytest.raises(RunChanged, match="a file that an argument names"):
        run_here(pipeline, tmp_path / "out")


def test_a_camera_that_is_called_like_a_temporary_file_is_kept(tmp_path: Path) -> None:
    file = sample(tmp_path, "a.hdf5", 1, 5)
    columns = {"action": "actions", "observation.images.x.tmp": "obs/front"}
    run_here(write_pipeline(tmp_path, [file], source={"columns": columns}), tmp_path / "out")
    assert (tmp_path / "out/videos/observation.images.x.tmp/chunk-000/file-000.mp4").exists()


def test_workers_must_be_some() -> None:
    with pytest.raises(UsageError, match="-1"):
        LocalExecutor(workers=-1)


def test_the_run_directory_is_not_in_the_output(tmp_path: Path) -> None:
    for run_dir in (tmp_path / "out", tmp_path / "out/run"):
        with pytest.raises(UsageError, match="inside the output"):
            Workspace.for_output(tmp_path / "out", run_dir)
    assert list(tmp_path.iterdir()) == []

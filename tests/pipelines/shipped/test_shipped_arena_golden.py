"""The episode that Isaac Lab Arena wrote comes back from the recording that it was made of."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest

from robotrove.core.workspace import Workspace
from robotrove.pipelines.replay.action_export import export_actions
from robotrove.pipelines.replay.replay_check import check_replay
from robotrove.pipelines.run.reopen import finished_run
from robotrove.tests.support.pipelines.joint_spaces import GR1_ACTION, GR1_STATE
from robotrove.tests.support.pipelines.runs import quick_disk  # noqa: F401
from robotrove.tests.support.pipelines.shipped_runs import column, frames, info, lines, run_shipped
from robotrove.tests.support.places import SHARED_DATA, needs
from robotrove.verification.dataset.runner import verify
from robotrove.verification.source.source_check import check_source

GOLDEN = SHARED_DATA / "arena_gr1_golden"
ROWS = "data/chunk-000/episode_000000.parquet"
VIDEO = "videos/chunk-000/observation.images.ego_view/episode_000000.mp4"
pytestmark = needs(GOLDEN)


def inverted(rows: np.ndarray, names: list[str], simulator: list[str]) -> np.ndarray:
    """Return the simulator's vectors (T + 1, joints) of the policy's (T, joints); Arena dropped the last row."""
    recorded = np.random.default_rng(0).normal(size=(len(rows) + 1, len(simulator))).astype(np.float32)
    recorded[:-1, [simulator.index(name) for name in names]] = rows
    return recorded


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The HDF5 file of the golden episode, by inverting the mapping."""
    path = tmp_path_factory.mktemp("recording") / "arena_gr1.hdf5"
    table, features = pq.read_table(GOLDEN / ROWS), info(GOLDEN)["features"]
    pictures = frames(GOLDEN / VIDEO)
    with h5py.File(path, "w") as file:
        file.create_group("data").attrs["env_args"] = json.dumps({"env_name": "GR1", "type": 2})
        demo = file.create_group("data/demo_0")
        demo.attrs["num_samples"] = len(pictures) + 1
        for key, place, simulator in (
            ("observation.state", "obs/robot_joint_pos", GR1_STATE),
            ("action", "processed_actions", GR1_ACTION),
        ):
            demo[place] = inverted(column(table, key), features[key]["names"], simulator)
        demo["actions"] = demo["processed_actions"][()]
        demo["camera_obs/robot_pov_cam_rgb"] = np.concatenate([pictures, pictures[-1:]])
        demo["initial_state/articulation/robot/joint_position"] = demo["obs/robot_joint_pos"][:1]
    return path


@pytest.fixture(scope="module")
def converted(recording: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("converted") / "arena_gr1" / "lerobot"
    [task] = lines(GOLDEN, "tasks.jsonl")
    report = run_shipped(
        "arena_gr1_microwave",
        [recording],
        output,
        "source.fps=20",
        f"source.task={json.dumps(task['task'])}",
        "steps[2].columns=[human.task_description]",
    )
    assert (report.kept, report.rejected) == (1, {})
    return output


def test_the_same_columns_in_the_same_order_with_the_same_types_and_values(converted: Path) -> None:
    found, golden = pq.read_table(converted / ROWS), pq.read_table(GOLDEN / ROWS)
    assert [(field.name, field.type) for field in found.schema] == [(field.name, field.type) for field in golden.schema]
    for key in golden.column_names:
        assert found[key].to_pylist() == golden[key].to_pylist(), key


def test_the_same_names_length_task_and_statistics(converted: Path) -> None:
    found, golden = info(converted), info(GOLDEN)
    for key in ("observation.state", "action"):
        assert found["features"][key]["names"] == golden["features"][key]["names"]
    for key in ("codebase_version", "robot_type", "total_episodes", "total_frames", "total_tasks", "fps", "data_path"):
        assert found[key] == golden[key], key
    described = {key: (entry["dtype"], entry["shape"]) for key, entry in found["features"].items()}
    assert described == {key: (entry["dtype"], entry["shape"]) for key, entry in golden["features"].items()}
    assert list(found["features"]) == list(golden["features"])
    for name in ("tasks.jsonl", "episodes.jsonl"):
        assert lines(converted, name) == lines(GOLDEN, name)
    stats, theirs = (json.loads((root / "meta/stats.json").read_text()) for root in (converted, GOLDEN))
    assert [(key, list(entry)) for key, entry in stats.items()] == [(key, list(entry)) for key, entry in theirs.items()]
    for key, entry in stats.items():
        scale = np.maximum(np.abs(entry["min"]), np.abs(entry["max"]))
        for name, values in entry.items():  # GR00T sums in float32
            assert (np.abs(np.array(values) - theirs[key][name]) <= 4e-7 * scale).all(), (key, name)


def test_the_quirks_that_are_bugs_are_not_there(converted: Path) -> None:
    assert (info(GOLDEN)["splits"], info(GOLDEN)["total_chunks"]) == ({"train": "0:100"}, 0)
    assert (info(converted)["splits"], info(converted)["total_chunks"]) == ({"train": "0:1"}, 1)


def test_the_same_frames(converted: Path) -> None:
    found, golden = frames(converted / VIDEO), frames(GOLDEN / VIDEO)
    assert found.shape == golden.shape
    assert len(found) == 152
    error = np.abs(found.astype(np.int16) - golden).mean(axis=(1, 2, 3))
    assert error.max() < 2, "each frame is the golden one, but for what the encoder loses"


def test_our_own_checks_agree(converted: Path) -> None:
    assert [finding for finding in verify(converted).findings if finding.severity == "error"] == []
    run_dir = Workspace.for_output(converted).run_dir
    assert check_source(converted, finished_run(run_dir)).ok
    replayed = check_replay(converted, finished_run(run_dir))
    assert (replayed.problems, replayed.rows) == ((), 152)
    assert len(replayed.columns["action"].exact) == 26
    assert len(replayed.columns["action"].not_compared) == 10


def test_the_golden_actions_are_exported_as_the_simulator_has_them(tmp_path: Path) -> None:
    """Of Arena's own dataset, without a run: zeros where the policy names no joint, as Arena's replay has them."""
    export_actions(GOLDEN, tmp_path / "golden.hdf5")
    policy = info(GOLDEN)["features"]["action"]["names"]
    expected = np.zeros((152, 36), np.float32)
    expected[:, [GR1_ACTION.index(name) for name in policy]] = column(pq.read_table(GOLDEN / ROWS), "action")
    with h5py.File(tmp_path / "golden.hdf5") as file:
        np.testing.assert_array_equal(file["data/demo_0/actions"][()], expected)
        assert "success" not in file["data/demo_0"].attrs, "the dataset does not say it"

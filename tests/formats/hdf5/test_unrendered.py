"""Recordings of simulators without observations: each names the tool that renders it, others do not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from robotrove.core.errors import EpisodeRejected
from robotrove.formats.hdf5.file_facts import describe
from robotrove.formats.hdf5.unrendered import unrendered, unrendered_file
from robotrove.pipelines.plan.planner import Plan, make_plan
from robotrove.pipelines.spec.pipeline_draft import guess
from robotrove.pipelines.spec.resolved_pipeline import load_pipeline

ROBOMIMIC = "python -m robomimic.scripts.dataset_states_to_obs --dataset {} --output_name image.hdf5 --done_mode 2"
ENV_ARGS = {"env_args": json.dumps({"env_name": "Lift", "type": 1, "env_kwargs": {}})}
MODEL = {"model_file": "<mujoco/>"}
STATES = {"states": np.zeros((4, 9)), "actions": np.zeros((4, 7))}
MANISKILL = {"env_states/actors/cube": np.zeros((5, 13)), "actions": np.zeros((4, 8))}


def record(path: Path, group: str, arrays: dict[str, Any], attrs: dict[str, str], above: dict[str, str]) -> Path:
    """Write one episode with its attributes and those of the group above it."""
    path.parent.mkdir(exist_ok=True)
    with h5py.File(path, "w") as file:
        episode = file.create_group(group)
        episode.attrs.update(attrs)
        episode.parent.attrs.update(above)
        for name, values in arrays.items():
            episode[name] = values
    return path


RECORDERS: dict[str, tuple[str, dict[str, Any], dict[str, str], dict[str, str], str]] = {
    "robomimic": ("data/demo_1", STATES, MODEL, ENV_ARGS, ROBOMIMIC),
    "robomimic without a model": ("data/demo_1", STATES, {}, ENV_ARGS, ROBOMIMIC),
    "robosuite": ("data/demo_1", STATES, MODEL, {"env": "Lift"}, "convert_robosuite --dataset {}` (it writes into"),
    "RoboCasa": (
        "data/demo_1",
        STATES,
        {**MODEL, "ep_meta": "{}"},
        ENV_ARGS,
        "python -m robocasa.scripts.dataset_scripts.dataset_states_to_obs --dataset {}`",
    ),
    "LIBERO": (
        "data/demo_1",
        STATES,
        MODEL,
        {**ENV_ARGS, "problem_info": "{}"},
        "python scripts/create_dataset.py --demo-file {} --use-camera-obs`",
    ),
    "ManiSkill": (
        "traj_0",
        MANISKILL,
        {},
        {},
        "python -m mani_skill.trajectory.replay_trajectory --traj-path {} --use-env-states -o rgb --save-traj`",
    ),
}


@pytest.mark.parametrize("recorder", RECORDERS)
@pytest.mark.parametrize("with_group", [True, False])
def test_the_tool_that_renders_it(tmp_path: Path, recorder: str, with_group: bool) -> None:
    group, arrays, attrs, above, command = RECORDERS[recorder]
    path = record(tmp_path / "two words/a.hdf5", group, arrays, attrs, above)
    if with_group:
        with h5py.File(path, "a") as file:
            file.create_group(f"{group}/obs")
    expected = command.format(f"'{path}'")
    with h5py.File(path) as file:
        assert expected in unrendered(file[group])
        assert expected in unrendered_file(file)
    with pytest.raises(EpisodeRejected) as caught:
        guess([path])
    assert caught.value.reason == "missing_dataset"
    assert expected in caught.value.detail


@pytest.mark.parametrize("obs", ["obs/qpos", "obs/agent/qpos", "obs"])
@pytest.mark.parametrize("recorder", RECORDERS)
def test_observations_of_any_kind_need_no_tool(tmp_path: Path, recorder: str, obs: str) -> None:
    group, arrays, attrs, above, _ = RECORDERS[recorder]
    path = record(tmp_path / "a.hdf5", group, {**arrays, obs: np.zeros((4, 9))}, attrs, above)
    with h5py.File(path) as file:
        assert unrendered(file[group]) == unrendered_file(file) == ""


@pytest.mark.parametrize(
    "arrays",
    [
        {"states": np.zeros((4, 9)), "actions": np.zeros((4, 7))},  # of a real robot
        {"env_states": np.zeros((4, 9))},  # no actions: nothing to replay
        {"states/articulation/robot/joint_position": np.zeros((4, 9)), "actions": np.zeros((4, 7))},  # Isaac Lab
    ],
)
def test_other_recordings_need_no_tool(tmp_path: Path, arrays: dict[str, Any]) -> None:
    path = record(tmp_path / "a.hdf5", "episode_0", arrays, {}, {})
    assert describe(path).layout is None
    with h5py.File(path) as file:
        assert unrendered_file(file) == ""


def test_a_file_without_groups_and_a_damaged_one_need_no_tool(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file["data"] = np.zeros(3)
        assert unrendered_file(file) == ""
        file["episode"] = h5py.SoftLink("/nowhere")
        assert unrendered_file(file) == ""


@pytest.mark.parametrize("link", [h5py.SoftLink("/nowhere"), h5py.ExternalLink("gone.hdf5", "/obs")])
def test_observations_behind_a_link_that_leads_nowhere_are_another_fault(tmp_path: Path, link: object) -> None:
    group, arrays, attrs, above, _ = RECORDERS["ManiSkill"]
    path = record(tmp_path / "a.hdf5", group, arrays, attrs, above)
    with h5py.File(path, "a") as file:
        file[f"{group}/obs"] = link
        assert unrendered(file[group]) == unrendered_file(file) == ""


def planned(folder: Path, path: Path, source: dict[str, Any]) -> Plan:
    pipeline = {"source": {"files": [str(path)], "fps": 20, "task": "t", **source}, "output": "out"}
    (folder / "pipeline.yaml").write_text(json.dumps(pipeline))
    return make_plan(load_pipeline(folder / "pipeline.yaml"))


def own(group: str, state: str) -> dict[str, Any]:
    """Return a mapping of one's own for the episodes of a recorder."""
    columns = {"action": "actions", "observation.state": state}
    return {"layout": "generic", "options": {"episodes": f"/{group[:-1]}*"}, "columns": columns}


@pytest.mark.parametrize("recorder", RECORDERS)
def test_a_plan_says_it_too(tmp_path: Path, recorder: str) -> None:
    """With the layout that the file seems to have, with another, and with a mapping of one's own."""
    group, arrays, attrs, above, command = RECORDERS[recorder]
    path = record(tmp_path / "a.hdf5", group, arrays, attrs, above)
    robot = {"layout": "libero" if recorder == "LIBERO" else "robomimic"}
    for source in (robot, own(group, "obs/agent/qpos"), own(group, "obs")):
        [row] = planned(tmp_path, path, source).manifest.rows
        assert row.reason == ("no_episodes" if (recorder, source) == ("ManiSkill", robot) else "missing_dataset")
        assert command.format(path) in row.detail
    [typo] = planned(tmp_path, path, own(group, "action")).manifest.rows
    assert (typo.reason, "did you mean 'actions'" in typo.detail, command.format(path) in typo.detail) == (
        "missing_dataset",
        True,
        False,
    )


def test_what_is_in_such_a_file_converts_by_a_mapping(tmp_path: Path) -> None:
    path = record(tmp_path / "a.hdf5", "traj_0", {**MANISKILL, "env_states/actors/cube": np.ones((4, 13))}, {}, {})
    [row] = planned(tmp_path, path, own("traj_0", "env_states/actors/cube")).manifest.rows
    assert (row.reason, row.length) == ("", 4)

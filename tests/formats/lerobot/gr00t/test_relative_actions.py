from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from robotrove.core.errors import ConfigError, Damaged, UsageError
from robotrove.formats.lerobot.datasets.dataset_v21 import DatasetV21
from robotrove.formats.lerobot.gr00t import relative_actions as module
from robotrove.formats.lerobot.gr00t.relative_actions import (
    RELATIVE_KEYS,
    RELATIVE_STATS,
    ActionPart,
    RelativeAction,
    read_actions,
    relative_stats,
)
from robotrove.formats.lerobot.recompute.dataset_recompute import gr00t_files
from robotrove.formats.lerobot.stats import exact_quantiles

MODALITY = {
    "state": {
        "left_arm": {"start": 1, "end": 4},
        "gripper": {"start": 4, "end": 5},
        "wrist_pose": {"original_key": "observation.eef", "start": 0, "end": 9},
    },
    "action": {
        "left_arm": {"start": 0, "end": 3, "original_key": None},
        "gripper": {"start": 3, "end": 4},
        "wrist": {"original_key": "action.eef", "start": 2, "end": 11},
    },
    "video": {"front": {"original_key": "observation.images.front"}},
}
CONFIG = """
state_delta_indices: [-2, 0]
action_delta_indices: [0, 1, 3]
actions:
  gripper: {rep: ABSOLUTE}
  wrist: {rep: RELATIVE, type: EEF, format: XYZ_ROT6D, state_key: wrist_pose}
  left_arm: {rep: RELATIVE}
"""
WIDTHS = {"observation.state": 6, "action": 5, "observation.eef": 9, "action.eef": 11}


def make_dataset(root: Path, lengths: dict[int, int]) -> dict[int, dict[str, np.ndarray]]:
    """Write the rows and meta of a v2.1 dataset; states are float32, actions float64."""
    rng = np.random.default_rng(0)
    (root / "meta").mkdir()
    (root / "data/chunk-000").mkdir(parents=True)
    data = {}
    for number, length in lengths.items():
        data[number] = {
            key: rng.normal(size=(length, width)).astype(np.float64 if key == "action" else np.float32)
            for key, width in WIDTHS.items()
        }
        table = pa.table({key: rows.tolist() for key, rows in data[number].items()})
        types = pa.schema({key: pa.list_(pa.from_numpy_dtype(rows.dtype)) for key, rows in data[number].items()})
        pq.write_table(table.cast(types), root / f"data/chunk-000/episode_{number:06d}.parquet")
    path = "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet"
    (root / "meta/info.json").write_text(json.dumps({"data_path": path, "chunks_size": 1000}))
    lines = [json.dumps({"episode_index": n, "length": length, "tasks": []}) for n, length in lengths.items()]
    (root / "meta/episodes.jsonl").write_text("\n".join(lines) + "\n")
    (root / "meta/modality.json").write_text(json.dumps(MODALITY))
    (root / "actions.yaml").write_text(CONFIG)
    return data


def assert_statistics(found: dict[str, Any], samples: list[np.ndarray]) -> None:
    """Those of all samples in float64."""
    whole = np.stack(samples)
    exact = {
        "max": np.max(whole, axis=0),
        "min": np.min(whole, axis=0),
        "q01": np.quantile(whole, 0.01, axis=0),
        "q99": np.quantile(whole, 0.99, axis=0),
        "mean": np.mean(whole, axis=0),
        "std": np.std(whole, axis=0),
    }
    assert list(found) == list(exact)
    for name, values in exact.items():
        np.testing.assert_allclose(np.array(found[name]), values, rtol=1e-9, atol=1e-12, err_msg=name, strict=True)


def homogeneous(pose: np.ndarray) -> np.ndarray:
    """A 4x4 matrix of xyz and two rows of a rotation that need not be orthonormal."""
    first = pose[3:6] / np.sqrt(pose[3:6] @ pose[3:6])
    second = pose[6:] - (first @ pose[6:]) * first
    second /= np.sqrt(second @ second)
    matrix = np.eye(4)
    matrix[:3, :3] = first, second, np.cross(first, second)
    matrix[:3, 3] = pose[:3]
    return matrix


@pytest.mark.parametrize(("batch_values", "frames"), [(100, 10), (1 << 21, 4096)])
def test_the_file_of_a_dataset(tmp_path: Path, batch_values: int, frames: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact_quantiles, "_BATCH_VALUES", batch_values)
    monkeypatch.setattr(module, "_FRAMES", frames)
    data = make_dataset(tmp_path, {7: 50, 2: 4, 0: 3, 1: 0, 11: 31})  # 0 and 1 are too short for a sample
    found = relative_file(tmp_path)
    assert list(found) == ["left_arm", "wrist"]
    assert [tuple(stats) for stats in found.values()] == [RELATIVE_KEYS] * 2
    arms, wrists = [], []
    for number in (7, 2, 11):
        rows = data[number]
        for i in range(len(rows["action"]) - 3):
            state = rows["observation.state"][i, 1:4].astype(np.float64)
            arms.append(np.stack([rows["action"][i + d, :3] - state for d in (0, 1, 3)]))
            inverse = np.linalg.inv(homogeneous(rows["observation.eef"][i].astype(np.float64)))
            moves = [inverse @ homogeneous(rows["action.eef"][i + d, 2:].astype(np.float64)) for d in (0, 1, 3)]
            wrists.append(np.stack([np.r_[m[:3, 3], m[0, :3], m[1, :3]] for m in moves]))
    assert len(arms) == 47 + 1 + 28
    assert_statistics(found["left_arm"], arms)
    assert_statistics(found["wrist"], wrists)


def test_one_number_and_one_offset(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    action, state = rng.normal(size=(2, 5000, 1)).astype(np.float32)
    file = tmp_path / "episode_000000.parquet"
    pq.write_table(pa.table({"action": action.tolist(), "state": state.tolist()}), file)
    found = relative_stats([file], [RelativeAction("x", ActionPart("action", 0, 1), ActionPart("state", 0, 1), (0,))])
    assert list(found) == ["x"]
    assert_statistics(found["x"], list((action.astype(np.float64) - state)[:, None]))


def relative_file(root: Path) -> dict[str, Any]:
    return gr00t_files(DatasetV21(root), gr00t=False, relative=root / "actions.yaml")[RELATIVE_STATS]


def turned(degrees: float, position: list[float]) -> np.ndarray:
    """A pose turned about z."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[c, -s, 0, position[0]], [s, c, 0, position[1]], [0, 0, 1, position[2]], [0, 0, 0, 1]])


@pytest.mark.parametrize("form", ["DEFAULT", "XYZ_ROTVEC", "XYZ_ROT6D"])
def test_poses_in_each_format(form: str) -> None:
    def written(degrees: float, position: list[float]) -> np.ndarray:
        matrix = turned(degrees, position)
        if form == "XYZ_ROTVEC":
            return np.array([*position, 0, 0, np.radians(degrees)])
        return matrix.ravel() if form == "DEFAULT" else np.r_[matrix[:3, 3], matrix[0, :3], matrix[1, :3]]

    states = np.stack([written(90, [1, 0, 0]), written(-170, [0, 0, 2])])
    actions = np.stack([written(120, [1, 2, 0]), written(150, [0, -1, 2])])
    width = states.shape[1]
    part = ActionPart("x", 0, width)
    action = RelativeAction("x", part, part, (0,), form)
    assert action.shape == ((1, 4, 4) if form == "DEFAULT" else (1, width))
    c, s = np.cos(np.radians(10)), np.sin(np.radians(10))  # of -170 degrees less 180
    expected = np.stack([written(30, [2, 0, 0]), written(-40, [s, c, 0])])
    np.testing.assert_allclose(action.samples(actions, states), expected, atol=1e-12)
    same = action.samples(states, states)
    np.testing.assert_allclose(same, np.stack([written(0, [0, 0, 0])] * 2), atol=1e-12)


def test_half_turns_have_a_rotation_vector() -> None:
    part = ActionPart("x", 0, 6)
    action = RelativeAction("x", part, part, (0,), "XYZ_ROTVEC")
    axes = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0.6, 0, 0.8], [1e-7 / np.pi, 0, 0]])
    turns = np.concatenate([np.zeros((5, 3)), axes * np.pi], axis=1)
    found = action.samples(turns, np.zeros((5, 6)))
    np.testing.assert_allclose(found[:, 3:] * np.sign(found[:, 3:].sum(axis=1))[:, None], turns[:, 3:], atol=1e-14)


def test_what_has_no_samples(tmp_path: Path) -> None:
    make_dataset(tmp_path, {0: 3, 1: 2})
    with pytest.raises(UsageError, match="action left_arm: none of 2 episodes has more than 3 frames"):
        relative_file(tmp_path)
    file = tmp_path / "data/chunk-000/episode_000000.parquet"
    wide = RelativeAction("x", ActionPart("action", 3, 6), ActionPart("observation.state", 0, 3), (0,))
    with pytest.raises(Damaged, match=r"episode_000000.parquet, column action: rows have 5 values; x needs 3 to 6"):
        relative_stats([file], [wide])
    with pytest.raises(Damaged, match=r"has no column nothing"):
        relative_stats([file], [RelativeAction("x", ActionPart("nothing", 0, 1), ActionPart("action", 0, 1), (0,))])


def read(folder: Path, config: str, modality: Any = MODALITY) -> list[RelativeAction]:
    (folder / "modality.json").write_text(json.dumps(modality))
    (folder / "actions.yaml").write_text(config)
    return read_actions(folder / "modality.json", folder / "actions.yaml")


def test_configuration(tmp_path: Path) -> None:
    assert read(tmp_path, CONFIG) == [
        RelativeAction("left_arm", ActionPart("action", 0, 3), ActionPart("observation.state", 1, 4), (0, 1, 3)),
        RelativeAction(
            "wrist", ActionPart("action.eef", 2, 11), ActionPart("observation.eef", 0, 9), (0, 1, 3), "XYZ_ROT6D"
        ),
    ]
    [short] = read(tmp_path, "{state_delta_indices: [1], action_horizon: 3, actions: {gripper: {rep: RELATIVE}}}")
    assert short.deltas == (1, 2, 3)
    (tmp_path / "actions.json").write_text('{\n\t"action_horizon": 2, "actions": {"gripper": {"rep": "ABSOLUTE"}}}')
    assert read_actions(tmp_path / "modality.json", tmp_path / "actions.json") == []


def mistakes(folder: Path, config: str, modality: Any = MODALITY) -> list[str]:
    with pytest.raises(ConfigError) as error:
        read(folder, config, modality)
    return [problem.message for problem in error.value.problems]


def test_all_mistakes_of_a_configuration_at_once(tmp_path: Path) -> None:
    found = mistakes(
        tmp_path,
        """
        action_horizons: 16
        actions:
          left_arms: {rep: RELATIVE, state_key: left_arm}
          left_arm: {rep: RELATIVE, stat_key: left_arm}
          gripper: {rep: RELATIVE, state_key: left_arm}
          wrist: {rep: RELATIVE, type: EEF, format: XYZ_ROTVEC, state_key: wrist_poze}
        """,
    )
    assert len(found) == 5, found
    assert "action_horizons: no such key (did you mean 'action_horizon'?); keys: state_delta_indices, " in found[1]
    assert found[0].startswith("actions.left_arm.stat_key: no such key (did you mean 'state_key'?); keys: rep, ")
    assert found[2] == "actions.left_arms: modality.json has no such action (did you mean 'left_arm'?)"
    assert found[3] == "actions.gripper: the action has 1 values, its state 3"
    assert found[4] == ("actions.wrist.state_key: modality.json has no state 'wrist_poze' (did you mean 'wrist_pose'?)")


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ("{actions: {gripper: {rep: RELATIVE}}}", "give one of action_delta_indices and action_horizon"),
        ("{action_horizon: 0, actions: {gripper: {rep: relative}}}", "action_horizon: Input should be greater"),
        ("{action_horizon: 2, actions: {gripper: {rep: relative}}}", "actions.gripper.rep: Input should be 'RELATIVE'"),
        ("{action_delta_indices: [0, 2, 1], actions: {gripper: {rep: RELATIVE}}}", "do not ascend"),
        ("{action_delta_indices: [-1, 0], actions: {gripper: {rep: RELATIVE}}}", "do not ascend from 0"),
        (
            "{action_delta_indices: [1, 2], actions: {gripper: {rep: RELATIVE}}}",
            "action_delta_indices is 1",
        ),
        ("{action_horizon: 2, actions: {wrist: {rep: RELATIVE, type: EEF, state_key: wrist_pose}}}", "has 16 values"),
        ("[1]", "Input should be a valid dictionary"),
        ("{action_horizon: 2, actions: {gripper: [1]}}", "actions.gripper: Input should be a valid dictionary"),
    ],
)
def test_one_mistake(tmp_path: Path, config: str, words: str) -> None:
    assert any(words in message for message in mistakes(tmp_path, config))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    wrong = {"state": {"a": {"start": 3, "end": 3}, "b": {"end": 2}}, "action": {"c": {"start": -1, "end": 2}}}
    assert mistakes(tmp_path, CONFIG, wrong) == [
        "state.a: start 3 is not before end 3",
        "state.b.start: Field required",
        "action.c.start: Input should be greater than or equal to 0",
    ]
    with pytest.raises(UsageError, match=r"actions.yaml:1: not valid YAML"):
        read(tmp_path, "{")
    laughs = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n" for before, name in pairwise("abcdefghij")
    )
    with pytest.raises(UsageError, match="its aliases repeat more than 1,000,000 characters"):
        read(tmp_path, laughs)
    with pytest.raises(UsageError, match=r"gone.json: cannot be read"):
        read_actions(tmp_path / "gone.json", tmp_path / "actions.yaml")

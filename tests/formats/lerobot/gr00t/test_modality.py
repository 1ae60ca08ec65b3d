"""modality.json and metadata.json for GR00T: which parts of which columns, and what cannot be cut."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from robotrove.core.errors import UsageError
from robotrove.core.features import Feature, Features
from robotrove.formats.lerobot.datasets.dataset_v21 import DatasetV21
from robotrove.formats.lerobot.gr00t.modality import differences, gr00t_metadata, modality_of, read_modality
from robotrove.manifests.robot import RobotManifest, load_robot

CAMERA = Feature("video", (4, 6, 3), ("height", "width", "channels"))
ROBOT = RobotManifest.model_validate(
    {
        "name": "two",
        "robot_type": "two",
        "joints": ["a", "b", "c"],
        "groups": {"arm": ["a", "b"], "hand": ["c"]},
        "gr00t": {
            "parts": {
                "state": {"pose": {"column": "observation.pose", "start": 1, "end": 3}},
                "video": {"ego": "observation.images.top"},
            }
        },
    }
)


def vector(*names: str, width: int = 0) -> Feature:
    return Feature("float32", (width or len(names),), names or None)


def features(**more: Feature) -> Features:
    both = {"observation.state": vector("a", "b", "c"), "action": vector("a", "b", "c")}
    return both | {key.replace("__", "."): feature for key, feature in more.items()}


def test_groups_parts_cameras_and_the_task() -> None:
    pose, top, side = vector(width=3), CAMERA, CAMERA
    content = modality_of(
        features(observation__pose=pose, observation__images__top=top, observation__images__side=side), ROBOT
    )
    both = {
        "arm": {"start": 0, "end": 2},
        "hand": {"start": 2, "end": 3},
    }
    state = {key: {"original_key": "observation.state"} | part for key, part in both.items()}
    assert content == {
        "state": state | {"pose": {"original_key": "observation.pose", "start": 1, "end": 3}},
        "action": {key: {"original_key": "action"} | part for key, part in both.items()},
        "video": {
            "ego": {"original_key": "observation.images.top"},
            "side": {"original_key": "observation.images.side"},
        },
        "annotation": {"human.task_description": {"original_key": "task_index"}},
    }


def test_a_vector_may_lack_a_group_and_have_others_between() -> None:
    found = features(action=vector("x", "c", "y"), annotation__human__goal=Feature("int64", (1,)))
    content = modality_of(found, ROBOT)
    assert content["action"] == {"hand": {"original_key": "action", "start": 1, "end": 2}}
    assert content["annotation"] == {"human.goal": {"original_key": "annotation.human.goal"}}


def test_vectors_without_names_are_the_robots_whole() -> None:
    content = modality_of(features(action=vector(width=3)), ROBOT)
    assert content["action"]["hand"] == {"original_key": "action", "start": 2, "end": 3}


def test_numbers_are_no_names() -> None:
    content = modality_of(features(action=vector("motor_0", "motor_1", "motor_2")), ROBOT)
    assert content["action"]["hand"] == {"original_key": "action", "start": 2, "end": 3}


def test_names_of_rlinf() -> None:
    content = modality_of({"state": vector(width=3), "actions": vector(width=3)}, ROBOT)
    assert content["state"]["arm"]["original_key"] == "state"
    assert content["action"]["arm"]["original_key"] == "actions"


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (features(action=vector("b", "a", "c")), r"group arm are not all there side by side[\s\S]*joint_remapper"),
        (features(action=vector("a", "c", "b")), "group arm are not all there side by side"),
        (features(action=vector("a", "c")), "group arm are not all there"),
        (features(action=vector(width=8)), r"float32\[8\] and names no joint of robot two"),
        (features(action=vector("x", "y", "z")), "names no joint of robot two"),
        ({"action": vector(width=3)}, "observation.state: is not a feature"),
        (features(observation__pose=vector(width=2)), r"observation.pose is float32\[2\][\s\S]*values 1 to 2"),
        (features(observation__pose=CAMERA), "observation.pose is video"),
    ],
)
def test_what_cannot_be_cut(found: Features, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        modality_of(found, ROBOT)


def test_metadata_is_cut_from_the_statistics(tmp_path: Path) -> None:
    (tmp_path / "meta").mkdir()
    found = features(observation__pose=vector(width=3), observation__images__top=CAMERA)
    numbers = np.random.default_rng(0).normal(size=(6, 3)).round(3)
    stats = dict(zip(("mean", "std", "min", "max", "q01", "q99"), numbers.tolist(), strict=True))
    info = {"codebase_version": "v2.1", "fps": 20, "features": {key: one.to_json() for key, one in found.items()}}
    for name, content in (
        ("info", info),
        ("stats", {key: stats for key in ("observation.state", "observation.pose", "action")}),
        ("modality", modality_of(found, ROBOT)),
    ):
        (tmp_path / f"meta/{name}.json").write_text(json.dumps(content))
    entry = gr00t_metadata(DatasetV21(tmp_path), "gr1")["gr1"]
    cut = {"arm": slice(0, 2), "hand": slice(2, 3), "pose": slice(1, 3)}
    assert entry["statistics"]["state"] == {
        key: {name: values[part] for name, values in stats.items()} for key, part in cut.items()
    }
    assert list(entry["statistics"]["action"]["arm"]) == ["max", "min", "mean", "std", "q01", "q99"]
    assert entry["modalities"]["video"] == {"ego": {"resolution": [6, 4], "channels": 3, "fps": 20.0}}
    assert entry["modalities"]["state"]["arm"] == {
        "absolute": True,
        "rotation_type": None,
        "shape": [2],
        "continuous": True,
    }
    assert entry["embodiment_tag"] == "gr1"


def test_statistics_of_lerobot_are_not_enough(tmp_path: Path) -> None:
    (tmp_path / "meta").mkdir()
    info = {"codebase_version": "v2.1", "fps": 20, "features": {key: one.to_json() for key, one in features().items()}}
    (tmp_path / "meta/info.json").write_text(json.dumps(info))
    (tmp_path / "meta/modality.json").write_text(json.dumps(modality_of(features(), ROBOT)))
    (tmp_path / "meta/stats.json").write_text(json.dumps({"observation.state": {"mean": [0, 0, 0]}}))
    with pytest.raises(UsageError, match=r"has not all statistics[\s\S]*--gr00t"):
        gr00t_metadata(DatasetV21(tmp_path), "gr1")


def test_parts_of_vectors_that_rlinf_names() -> None:
    found: Features = {"state": vector(width=8), "actions": vector(width=7), "image": CAMERA}
    content = modality_of(found, load_robot("libero"))
    assert content["state"]["gripper"] == {"original_key": "state", "start": 6, "end": 8}
    assert content["action"]["yaw"] == {"original_key": "actions", "start": 5, "end": 6}


def test_libero_as_gr00t_and_rlinf_name_it() -> None:
    found: Features = {
        "action": vector(*[f"actions_{n}" for n in range(7)]),
        "observation.state": vector(*[f"ee_states_{n}" for n in range(6)], "gripper_states_0", "gripper_states_1"),
        "observation.images.front": CAMERA,
        "observation.images.wrist": CAMERA,
    }
    content = modality_of(found, load_robot("libero"))
    keys = ["x", "y", "z", "roll", "pitch", "yaw", "gripper"]
    assert [(key, part["start"], part["end"]) for key, part in content["state"].items()] == [
        *((key, n, n + 1) for n, key in enumerate(keys[:6])),
        ("gripper", 6, 8),
    ]
    assert [(key, part["start"], part["end"]) for key, part in content["action"].items()] == [
        (key, n, n + 1) for n, key in enumerate(keys)
    ]
    assert list(content["video"]) == ["image", "wrist_image"]
    assert list(content["annotation"]) == ["human.action.task_description"]


ARM = {"original_key": "action", "start": 0, "end": 2}
HAND = {"original_key": "action", "start": 2, "end": 3}


@pytest.mark.parametrize(
    ("found", "expected", "notes"),
    [
        ({"action": {"arm": ARM}}, {"action": {"arm": ARM}}, []),
        ({"action": {"arm": ARM}, "annotation": None}, {"action": {"arm": ARM}}, []),
        ({"action": {"arm": dict(reversed(ARM.items()))}}, {"action": {"arm": ARM}}, []),
        (
            {"action": {"arm": ARM, "foot": HAND}},
            {"action": {"arm": ARM | {"end": 1}, "hand": HAND}},
            [
                'action.arm is {"original_key": "action", "start": 0, "end": 2} '
                'instead of {"original_key": "action", "start": 0, "end": 1}',
                "action.hand is missing",
                'action.foot is unexpected: {"original_key": "action", "start": 2, "end": 3}',
            ],
        ),
        (
            {"action": {"hand": HAND, "arm": ARM}},
            {"action": {"arm": ARM, "hand": HAND}},
            ["action has the order hand, arm instead of arm, hand"],
        ),
        ({"mask": {}}, {"video": {}}, ["video is missing", "mask is unexpected: {}"]),
        ({"video": {"a\x1b[2J": {}}}, {"video": {}}, ["video.a\\x1b[2J is unexpected: {}"]),
    ],
)
def test_differences_are_named_key_by_key(found: dict, expected: dict, notes: list[str]) -> None:
    assert differences(found, expected) == notes


@pytest.mark.parametrize(
    ("name", "text", "notes"),
    [
        ("mine.json", '{"state": {},\n "action": {,}}', "mine.json: cannot be read as JSON: .* line 2 column 13"),
        ("mine.json", "[]", "mine.json: holds a list instead of an object"),
        ("mine.json", None, "mine.json: cannot be read: No such file"),
        ("mine.json", '{"state": {"arm": {"start": 0}, "arm": {"start": 3}}}', "has a key twice in one object: arm"),
        ("mine.txt", "{}", "mine.txt: its name does not end with .json"),
    ],
)
def test_a_file_that_cannot_be_a_modality_json(tmp_path: Path, name: str, text: str | None, notes: str) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(UsageError, match=notes):
        read_modality(str(tmp_path / name))


def test_a_file_of_windows_begins_with_a_mark(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text('{"state": {}}', encoding="utf-8-sig")
    assert read_modality(str(tmp_path / "mine.json")) == {"state": {}}

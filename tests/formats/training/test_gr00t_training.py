"""Configurations of GR00T, run with stubs of its classes, against the published ones, which are written down here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from robotrove.core.errors import UsageError
from robotrove.formats.training.gr00t_config import CONFIG, config_files
from robotrove.formats.training.gr00t_training import Changes, Gr00tTraining, Like, gr00t_training, kept_statistics
from robotrove.manifests.robot import Gr00tVersion, load_robot
from robotrove.tests.support.training.gr00t_stubs import executed
from robotrove.tests.support.training.robot_datasets import change_modality, robot_dataset

GROUPS = ["left_arm", "right_arm", "left_hand", "right_hand"]
WAIST = [*GROUPS, "waist"]
BODY = ["left_leg", "right_leg", "waist", *GROUPS]
COMMANDS = ["base_height_command", "navigate_command"]
ARMS = ["left_arm", "right_arm"]
SINGLE = ["single_arm", "gripper"]
PIPER = ["left_arm", "left_gripper", "right_arm", "right_gripper"]
POSE = ["x", "y", "z", "roll", "pitch", "yaw", "gripper"]
JOINTS = ["joint_position", "gripper_position"]
ACTION_TEXT, TEXT = ["annotation.human.action.task_description"], ["annotation.human.task_description"]
DROID_CAMERAS, DROID_TEXT = ["exterior_image_1_left", "wrist_image_left"], ["annotation.language.language_instruction"]
# Robot, release, owner (the first of a robot and release is the default): tag, state, action, sine and cosine,
# relative, horizon, cameras, instruction. From isaac-sim/IsaacLab-Arena release/0.1.1, e81d5e4, 9985c3f and af4c882,
# NVIDIA/Isaac-GR00T 755876a, 4af2b62, 4e62473 and 23ace64, 12e21/piper_gr00t 4d021be.
PUBLISHED: dict[tuple[str, Gr00tVersion, Like], tuple[Any, ...]] = {
    ("gr1", "n1", "gr00t"): ("gr1", GROUPS, GROUPS, GROUPS, [], 16, ["ego_view"], ACTION_TEXT),
    ("gr1", "n1.5", "gr00t"): ("gr1", GROUPS, GROUPS, GROUPS, [], 16, ["ego_view"], ACTION_TEXT),
    ("gr1", "n1.6", "arena"): ("gr1", GROUPS, GROUPS, GROUPS, [], 16, ["ego_view"], ACTION_TEXT),
    ("g1", "n1.5", "arena"): ("new_embodiment", WAIST, [*GROUPS, *COMMANDS], [], [], 16, ["ego_view"], TEXT),
    ("g1", "n1.6", "arena"): ("new_embodiment", WAIST, [*WAIST, *COMMANDS], [], [], 50, ["ego_view"], TEXT),
    ("g1", "n1.7", "arena"): ("new_embodiment", WAIST, [*WAIST, *COMMANDS], [], [], 40, ["ego_view"], TEXT),
    ("g1", "n1.6", "gr00t"): ("unitree_g1", BODY, [*WAIST, *COMMANDS], [], ARMS, 30, ["ego_view"], TEXT),
    ("g1", "n1.7", "gr00t"): (
        "unitree_g1_full_body_with_waist_height_nav_cmd",
        *(BODY, [*WAIST, *COMMANDS], [], ARMS, 50, ["ego_view"], TEXT),
    ),
    ("so101", "n1.5", "gr00t"): ("new_embodiment", SINGLE, SINGLE, [], [], 16, ["front", "wrist"], TEXT),
    ("so101", "n1.6", "gr00t"): ("new_embodiment", SINGLE, SINGLE, [], ["single_arm"], 16, ["front", "wrist"], TEXT),
    ("so101", "n1.7", "gr00t"): ("new_embodiment", SINGLE, SINGLE, [], ["single_arm"], 16, ["front", "wrist"], TEXT),
    ("bi_piper", "n1.6", "piper"): (
        *("new_embodiment", PIPER, PIPER, [], ARMS, 16, ["left_wrist", "mid", "right_wrist"], TEXT),
    ),
    ("libero", "n1.5", "gr00t"): ("new_embodiment", POSE, POSE, [], [], 16, ["image", "wrist_image"], ACTION_TEXT),
    ("libero", "n1.6", "gr00t"): ("libero_panda", POSE, POSE, [], [], 16, ["image", "wrist_image"], ACTION_TEXT),
    ("libero", "n1.7", "gr00t"): ("libero_sim", POSE, POSE, [], [], 16, ["image", "wrist_image"], ACTION_TEXT),
    ("droid", "n1.6", "gr00t"): ("oxe_droid", JOINTS, JOINTS, [], JOINTS[:1], 32, DROID_CAMERAS, DROID_TEXT),
    ("droid", "n1.7", "gr00t"): (
        "oxe_droid_relative_eef_relative_joint",
        *(JOINTS, JOINTS, [], JOINTS[:1], 40, DROID_CAMERAS, DROID_TEXT),
    ),
}
# robotrove's own choice where nobody publishes a configuration.
OWN: dict[tuple[str, Gr00tVersion, Like], tuple[Any, ...]] = {
    ("gr1", "n1.7", "robotrove"): ("new_embodiment", GROUPS, GROUPS, [], ARMS, 16, ["ego_view"], ACTION_TEXT),
    ("so101", "n1", "robotrove"): ("new_embodiment", SINGLE, SINGLE, [], [], 16, ["front", "wrist"], TEXT),
    ("bi_piper", "n1.7", "robotrove"): (
        *("new_embodiment", PIPER, PIPER, [], ARMS, 16, ["left_wrist", "mid", "right_wrist"], TEXT),
    ),
    ("droid", "n1.5", "robotrove"): ("oxe_droid", JOINTS, JOINTS, [], [], 16, DROID_CAMERAS, DROID_TEXT),
}
NAMES = ("tag", "state", "action", "sin_cos", "relative", "horizon", "video", "language")


def ran(training: Gr00tTraining, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    return {"tag": training.tag} | executed(config_files(training)[CONFIG], training.version, monkeypatch)


@pytest.mark.parametrize("case", [*PUBLISHED, *OWN], ids="-".join)
def test_configurations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: tuple[str, Gr00tVersion, Like]) -> None:
    name, version, like = case
    training = gr00t_training(robot_dataset(tmp_path / "data", name), load_robot(name), version, like)
    assert ran(training, monkeypatch) == dict(zip(NAMES, (PUBLISHED | OWN)[case], strict=True))
    relative = config_files(training).get("relative_actions.yaml")
    assert (relative is not None) == bool(training.relative)
    if relative is not None:
        wanted = {key: {"rep": "RELATIVE" if key in training.relative else "ABSOLUTE"} for key in training.action}
        assert yaml.safe_load(relative) == {"action_horizon": training.horizon, "actions": wanted}


def test_the_owner_that_is_taken_by_default(tmp_path: Path) -> None:
    first: dict[tuple[str, Gr00tVersion], Like] = {}
    for name, version, like in PUBLISHED | OWN:
        first.setdefault((name, version), like)
    datasets = {name: robot_dataset(tmp_path / name, name) for name in {name for name, _ in first}}
    found = {(name, version): gr00t_training(datasets[name], load_robot(name), version).like for name, version in first}
    assert found == first


@pytest.mark.parametrize(
    ("name", "version", "words"),
    [
        ("gr1", "n1", "Configuration: NVIDIA/Isaac-GR00T 755876a (N1), gr1_arms_only of"),
        ("gr1", "n1.5", "Configuration: NVIDIA/Isaac-GR00T 4af2b62 (N1.5), fourier_gr1_arms_only of"),
        ("gr1", "n1.6", "Configuration: isaac-sim/IsaacLab-Arena e81d5e4, gr1_arms_only_data_config.py."),
        ("gr1", "n1.7", "Configuration: robotrove's choice (gr00t.policy and gr00t.relative of robot gr1), not a pub"),
        ("bi_piper", "n1.6", "Configuration: 12e21/piper_gr00t 4d021be, "),
    ],
)
def test_the_first_lines_say_where_the_choice_is_from(
    tmp_path: Path, name: str, version: Gr00tVersion, words: str
) -> None:
    training = gr00t_training(robot_dataset(tmp_path / "data", name), load_robot(name), version)
    lines = config_files(training)[CONFIG].splitlines()
    assert lines[0] == f'"""How GR00T {version.upper()} reads data, after its meta/modality.json.'
    assert lines[2].startswith(words)


def test_values_that_the_user_replaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset, robot = robot_dataset(tmp_path / "data", "gr1"), load_robot("gr1")
    changes = Changes(tag="new_embodiment", relative=("right_arm", "left_arm"), horizon=20)
    training = gr00t_training(dataset, robot, "n1.6", None, changes)
    published = dict(zip(NAMES, PUBLISHED["gr1", "n1.6", "arena"], strict=True))
    assert ran(training, monkeypatch) == published | {"tag": "new_embodiment", "relative": ARMS, "horizon": 20}
    assert training.notes[:3] == (
        "embodiment tag new_embodiment instead of gr1",
        "relative actions left_arm, right_arm instead of none",
        "20 actions at a time instead of 16",
    )
    droid = gr00t_training(
        robot_dataset(tmp_path / "droid", "droid"), load_robot("droid"), "n1.6", None, Changes(relative=())
    )
    assert (droid.relative, droid.notes) == ((), ("relative actions none instead of joint_position",))


@pytest.mark.parametrize(
    ("name", "version", "like", "changes", "words"),
    [
        (
            "so101",
            "n1.6",
            "arena",
            Changes(),
            r"no configuration of arena for GR00T N1.6[\s\S]*gr00t \(n1.5, n1.6, n1.7\)",
        ),
        ("gr1", "n1.7", "arena", Changes(), r"no configuration of arena for GR00T N1.7[\s\S]*arena \(n1.6\), gr00t"),
        ("gr1", "n1.6", None, Changes(tag="gr2"), r"no embodiment tag 'gr2' .did you mean 'gr1'"),
        ("g1", "n1.6", None, Changes(relative=("waist", "left_am")), r"'left_am' is not .* .did you mean 'left_arm'"),
        (
            "g1",
            "n1.6",
            None,
            Changes(relative=("navigate_command",)),
            r"expected: none, or some of left_arm, right_arm,",
        ),
        ("gr1", "n1.5", None, Changes(relative=("left_arm",)), r"N1.5 has no actions relative to the state"),
        ("g1", "n1.7", None, Changes(horizon=51), r"is 51: checkpoints of GR00T N1.7 .*[\s\S]*at most 50"),
        ("g1", "n1.5", "robotrove", Changes(), r"35 values of action[\s\S]*at most 32 for GR00T N1.5"),
    ],
)
def test_values_that_a_release_does_not_take(
    tmp_path: Path, name: str, version: Gr00tVersion, like: Like | None, changes: Changes, words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        gr00t_training(robot_dataset(tmp_path / "data", name), load_robot(name), version, like, changes)


def test_states_as_sine_and_cosine_are_twice_as_wide(tmp_path: Path) -> None:
    """N1 and N1.5 take 64 values of state; 43 joints are 86 as sine and cosine."""
    robot, dataset = load_robot("g1"), robot_dataset(tmp_path / "data", "g1")
    arena = robot.gr00t.like["arena"]["n1.5"]
    published = arena.model_copy(update={"state": BODY, "sin_cos": BODY})
    changed = robot.model_copy(
        update={"gr00t": robot.gr00t.model_copy(update={"like": {"arena": {"n1.5": published}}})}
    )
    with pytest.raises(UsageError, match=r"86 values of state[\s\S]*at most 64 for GR00T N1.5"):
        gr00t_training(dataset, changed, "n1.5")


@pytest.mark.parametrize(
    ("cameras", "chosen", "words"),
    [
        (["front", "wrist", "top"], ("front", "wrist"), ""),
        (["front"], ("front",), "cameras front: the dataset has no wrist"),
        (["front", "hand"], ("front", "hand"), "cameras front, hand: the dataset has no wrist"),
        (["hand", "wrist"], ("hand", "wrist"), "cameras hand, wrist: the dataset has no front"),
        (["only"], ("only",), "cameras only: the dataset has no front, wrist"),
    ],
)
def test_cameras_that_a_dataset_calls_otherwise(
    tmp_path: Path, cameras: list[str], chosen: tuple[str, ...], words: str
) -> None:
    dataset = robot_dataset(tmp_path / "data", "so101", cameras)
    training = gr00t_training(dataset, load_robot("so101"), "n1.6")
    assert (training.video, training.notes) == (chosen, (words,) if words else ())


def test_cameras_that_cannot_be_told_apart(tmp_path: Path) -> None:
    dataset = robot_dataset(tmp_path / "data", "so101", ["front", "left", "right"])
    with pytest.raises(UsageError, match=r"no camera wrist, and several others: left, right[\s\S]*--like robotrove"):
        gr00t_training(dataset, load_robot("so101"), "n1.6")
    assert gr00t_training(dataset, load_robot("so101"), "n1.6", "robotrove").video == ("front", "left", "right")


def test_instructions_that_a_dataset_calls_otherwise(tmp_path: Path) -> None:
    robot = load_robot("so101")
    dataset = robot_dataset(tmp_path / "one", "so101")
    other = change_modality(dataset, "annotation", {"human.task_description": "what_to_do"})
    training = gr00t_training(other, robot, "n1.6")
    assert training.language == "what_to_do"
    assert training.notes == ("instruction what_to_do: the dataset has no human.task_description",)
    columns = {f"annotation.{name}": {"dtype": "int64", "shape": [1], "names": None} for name in ("first", "second")}
    features = dataset.info["features"] | columns
    several = robot_dataset(tmp_path / "two", "so101", features=features)
    with pytest.raises(UsageError, match=r"no annotation human.task_description, and several others: first, second"):
        gr00t_training(several, robot, "n1.6")
    assert gr00t_training(several, robot, "n1.6", "robotrove").language == "first"


def test_keys_that_a_dataset_lacks(tmp_path: Path) -> None:
    dataset = robot_dataset(tmp_path / "data", "g1")
    dataset = change_modality(dataset, "action", {"navigate_command": "", "waist": ""})
    training = gr00t_training(dataset, load_robot("g1"), "n1.6")
    assert training.action == (*GROUPS, "base_height_command")
    note = "action without waist, navigate_command: meta/modality.json of the dataset has no such key"
    assert training.notes == (note,)


def test_statistics_of_the_checkpoint(tmp_path: Path) -> None:
    """N1.6 keeps those of its checkpoint for tags of its pretraining (override_pretraining_statistics=False)."""
    kept = {("n1.6", "gr1"), ("n1.6", "robocasa_panda_omron")}
    for version in ("n1", "n1.5", "n1.6", "n1.7"):
        for tag in ("gr1", "robocasa_panda_omron", "unitree_g1", "libero_panda", "new_embodiment"):
            assert bool(kept_statistics(version, tag)) == ((version, tag) in kept)
    dataset, robot = robot_dataset(tmp_path / "data", "gr1"), load_robot("gr1")
    plain = gr00t_training(dataset, robot, "n1.6").notes
    assert plain[0].startswith(
        "GR00T N1.6 keeps the statistics of its checkpoint for tag gr1: it does not use stats.json"
    )
    assert "--tag new_embodiment" in plain[0]
    assert "inferred" in plain[0]
    assert plain[1:] == ("sine and cosine work only if the checkpoint's processor has them switched on (not verified)",)
    relative = gr00t_training(dataset, robot, "n1.6", None, Changes(relative=("left_arm",))).notes
    assert "training may fail (not verified)" in relative[2]
    own = gr00t_training(dataset, robot, "n1.6", None, Changes(tag="new_embodiment")).notes
    assert not any("keeps" in note for note in own)


def test_names_from_elsewhere_stay_in_comments(tmp_path: Path) -> None:
    robot = load_robot("so101")
    published = robot.gr00t.like["gr00t"]["n1.6"].model_copy(update={"source": 'mine"""\nimport os; $(x)'})
    hostile = robot.gr00t.model_copy(update={"like": {"gr00t": {"n1.6": published}}})
    dataset = robot_dataset(tmp_path / "data", "so101", ["front", "wrist"])
    dataset = change_modality(dataset, "video", {"wrist": 'a"""\nimport os\n"""'})
    training = gr00t_training(dataset, robot.model_copy(update={"gr00t": hostile}), "n1.6")
    shown = "\n".join([training.source, *training.notes])
    assert not set(shown) & set("\"'`$\\")
    assert len(shown.splitlines()) == 2
    assert training.video[1] == 'a"""\nimport os\n"""'

from __future__ import annotations

from pathlib import Path

import pytest

from robotrove.core.errors import ConfigError, UsageError
from robotrove.manifests.robot import load_robot


def test_the_so101_has_its_joints_in_order() -> None:
    robot = load_robot("so101")
    arm = ["shoulder_pan.pos", "shoulder_lift.pos", "elbow_flex.pos", "wrist_flex.pos", "wrist_roll.pos"]
    assert robot.joint_names == [*arm, "gripper.pos"]
    assert robot.groups == {"single_arm": arm, "gripper": ["gripper.pos"]}


def test_a_user_adds_one_without_code(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("{name: mine, robot_type: arm, joints: [{name: a, unit: deg}], groups: {all: [a]}}")
    assert load_robot(str(path)).joint_names == ["a"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{name: m, robot_type: m, joints: [{name: a}, {name: a}]}", "joints listed twice: a"),
        ("{name: m, robot_type: m, joints: [{name: elbow}], groups: {arm: [elbw]}}", "did you mean 'elbow'"),
        ("{name: m, robot_type: m, joints: []}", "joints"),
        ("{name: m, robot_type: m, joints: [{name: a, unit: turns}]}", "joints.0.unit"),
        ("{name: m, robot_type: m, joints: [{name: a}], speed: 3}", "speed"),
        ("{name: m", "is not YAML"),
    ],
)
def test_mistakes_in_one(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=words):
        load_robot(str(path))


def test_an_unknown_name_is_told_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'so101'"):
        load_robot("so100")

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest

from robotrove.core.errors import ConfigError, UsageError
from robotrove.manifests.robot import load_robot, shipped_robots


def test_the_so101_has_its_joints_in_order() -> None:
    robot = load_robot("so101")
    arm = ["shoulder_pan.pos", "shoulder_lift.pos", "elbow_flex.pos", "wrist_flex.pos", "wrist_roll.pos"]
    assert robot.joint_names == [*arm, "gripper.pos"]
    assert robot.groups == {"single_arm": arm, "gripper": ["gripper.pos"]}


def test_each_has_a_robot_type_of_its_own() -> None:
    """A dataset is known by it."""
    robots = [load_robot(name) for name in shipped_robots()]
    assert len({robot.robot_type for robot in robots}) == len(robots)


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
        ("{name: m, robot_type: m, joints: [{name: a, unit: turns}]}", r"joints\[0\].unit: found the text 'turns'"),
        (
            "{name: m, robot_type: m, joints: [hip], spaces: {sim: [knee, hpi]}}",
            "none of the spaces .did you mean 'hpi'",
        ),
        ("{name: m, robot_type: m, joints: [a], spaces: {sim: [a, b, b]}}", "spaces.sim: joints listed twice: b"),
        ("{name: m, robot_type: m, joints: [a], groups: {arm: [a, a]}}", "groups.arm: joints listed twice: a"),
        (
            "{name: m, robot_type: m, joints: [a], gr00t: {tags: {n2: gr1}}}",
            r"tags.n2: no such key .did you mean \'n1\'.*n1.6",
        ),
        ("{name: m, robot_type: m, joints: [a], groups: {arm: [a]}, gr00t: {relative: [amr]}}", "did you mean 'arm'"),
        (
            "{name: m, robot_type: m, joints: [a], gr00t: {parts: {state: {p: {column: c, start: 2, end: 2}}}}}",
            "start 2 is not before end 2",
        ),
        ("- m", "is not a mapping"),
        ("", "is not a mapping"),
        ("{name: m, robot_type: m, joints: [{name: a}], speed: 3}", "speed"),
        ("{name: m", "not valid YAML"),
    ],
)
def test_mistakes_in_one(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=words):
        load_robot(str(path))


def test_mistakes_in_published_configurations(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "name: mine\nrobot_type: arm\njoints: [shoulder, elbow]\ngroups: {arm: [shoulder], hand: [elbow]}\n"
        "gr00t:\n  like:\n    arena:\n      n1.5:\n        source: a file\n        tag: gr1\n"
        "        state: [arm, hand]\n        action: [amr]\n        sin_cos: [arm]\n        relative: [hnad]\n"
        "        video: [front]\n        language: task\n    mine: {n1.6: {}}\n"
    )
    with pytest.raises(
        ConfigError, match=r"mine.yaml:17: gr00t.like.mine: no such key; keys: arena, gr00t, piper"
    ) as caught:
        load_robot(str(path))
    assert {problem.line for problem in caught.value.problems} == {17}
    path.write_text(path.read_text().rsplit("    mine", 1)[0])
    with pytest.raises(ConfigError) as caught:
        load_robot(str(path))
    assert [(problem.line, problem.message) for problem in caught.value.problems] == [
        (12, "gr00t.like.arena[\"n1.5\"].action[0]: names an unknown group 'amr' (did you mean 'arm'?)"),
        (13, 'gr00t.like.arena["n1.5"].sin_cos: GR00T N1.5 takes all states as sine and cosine, or none'),
        (14, "gr00t.like.arena[\"n1.5\"].relative[0]: names an unknown group 'hnad' (did you mean 'hand'?)"),
    ]


def test_every_mistake_is_told_with_its_line_and_the_nearest_right_name(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "name: mine\nrobot_type: arm\njoints:\n  - shoulder\n  - elbow\n"
        "groups:\n  arm:\n    - shoulder\n    - elbw\n  hand: [elbow, showlder]\n"
    )
    with pytest.raises(ConfigError) as caught:
        load_robot(str(path))
    assert [(problem.line, problem.message) for problem in caught.value.problems] == [
        (9, "groups.arm[1]: names an unknown joint 'elbw' (did you mean 'elbow'?)"),
        (10, "groups.hand[1]: names an unknown joint 'showlder' (did you mean 'shoulder'?)"),
    ]
    assert f"{path}:9: " in str(caught.value)


# Of each robot: joints, spaces, and where groups begin and end in the dataset's vectors (as its modality.json has it).
SHIPPED: dict[str, tuple[int, dict[str, int], dict[str, tuple[int, int]]]] = {
    "so101": (6, {}, {"single_arm": (0, 5), "gripper": (5, 6)}),
    "bi_so101": (12, {}, {"left_arm": (0, 5), "left_gripper": (5, 6), "right_arm": (6, 11), "right_gripper": (11, 12)}),
    "lekiwi": (9, {}, {"single_arm": (0, 5), "gripper": (5, 6), "base": (6, 9)}),
    "gr1": (
        26,
        {"state": 54, "action": 36},
        {"left_arm": (0, 7), "right_arm": (7, 14), "left_hand": (14, 20), "right_hand": (20, 26)},
    ),
    "g1": (
        43,
        {"sim": 43},
        {
            "left_leg": (0, 6),
            "right_leg": (6, 12),
            "waist": (12, 15),
            "left_arm": (15, 22),
            "left_hand": (22, 29),
            "right_arm": (29, 36),
            "right_hand": (36, 43),
        },
    ),
    "droid": (8, {"state": 13, "action": 8}, {"joint_position": (0, 7), "gripper_position": (7, 8)}),
    "bi_piper": (14, {}, {"left_arm": (0, 6), "left_gripper": (6, 7), "right_arm": (7, 13), "right_gripper": (13, 14)}),
    "aloha": (14, {}, {"left_arm": (0, 6), "left_gripper": (6, 7), "right_arm": (7, 13), "right_gripper": (13, 14)}),
    "libero": (8, {}, {}),
    "panda": (9, {}, {"arm": (0, 7), "gripper": (7, 9)}),
}


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_robots(name: str) -> None:
    robot = load_robot(name)
    width, spaces, groups = SHIPPED[name]
    assert robot.name == name
    assert len(robot.joints) == width
    assert {space: len(joints) for space, joints in robot.spaces.items()} == spaces
    for group, (start, stop) in groups.items():
        assert robot.groups[group] == robot.joint_names[start:stop], group
    assert robot.groups.keys() == groups.keys()
    assert set(robot.gr00t.tags) == {"n1", "n1.5", "n1.6", "n1.7"}


def test_all_shipped_robots_are_tested() -> None:
    folder = files("robotrove.manifests").joinpath("robots")
    assert {Path(entry.name).stem for entry in folder.iterdir()} == set(SHIPPED)


def test_the_order_of_the_simulators_joints() -> None:
    """Spot checks against the joint lists of Isaac Lab Arena (54dof, 36dof, 43dof and 13dof_joint_space.yaml)."""
    gr1, g1, droid = load_robot("gr1"), load_robot("g1"), load_robot("droid")
    assert gr1.spaces["state"].index("left_shoulder_pitch_joint") == 12
    assert gr1.spaces["state"].index("R_thumb_distal_joint") == 53
    assert gr1.spaces["action"].index("R_pinky_proximal_joint") == 21
    assert gr1.joint_names[14] == "L_pinky_proximal_joint"
    assert g1.spaces["sim"].index("left_hand_thumb_2_joint") == 41
    assert droid.spaces["state"][7:9] == ["finger_joint", "right_outer_knuckle_joint"]
    assert droid.spaces["action"] == droid.joint_names


def test_an_unknown_name_is_told_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'so101'"):
        load_robot("so100")


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "robot.yaml"
    path.write_bytes(b"name: \xff")
    with pytest.raises(UsageError, match=r"robot.yaml: is not text in UTF-8 \(byte 6\)"):
        load_robot(str(path))

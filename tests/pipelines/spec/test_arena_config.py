"""Arena's own YAML files become pipelines; mistakes in them are told with their line."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import yaml
from click.testing import CliRunner

from robotrove.cli.arguments import write_new
from robotrove.cli.recordings.import_config import command
from robotrove.core.errors import ConfigError, UsageError
from robotrove.pipelines.spec.arena_config import ArenaConfig, arena_pipeline_text, read_arena_config
from robotrove.pipelines.spec.resolved_pipeline import load_pipeline
from robotrove.tests.support.pipelines.joint_spaces import G1, GR1_ACTION, GR1_POLICY, GR1_STATE

# The options of Arena's files that matter, as the files have them.
GR1: dict[str, Any] = {
    "language_instruction": "Reach out to the microwave and open it.",
    "task_index": 0,
    "data_root": "/datasets/isaaclab_arena/static_manipulation_tutorial",
    "hdf5_name": "arena_gr1_manipulation_dataset_generated.hdf5",
    "state_name_sim": "robot_joint_pos",
    "action_name_sim": "processed_actions",
    "pov_cam_name_sim": "robot_pov_cam_rgb",
    "task_description_lerobot": "annotation.human.action.task_description",
    "chunks_size": 1000,
    "fps": 50,
    "policy_joints_config_path": "isaaclab_arena_gr00t/embodiments/gr1/gr00t_26dof_joint_space.yaml",
    "action_joints_config_path": "isaaclab_arena_gr00t/embodiments/gr1/36dof_joint_space.yaml",
    "state_joints_config_path": "isaaclab_arena_gr00t/embodiments/gr1/54dof_joint_space.yaml",
    "robot_type": "gr1",
    "original_image_size": [512, 512, 3],
    "target_image_size": [512, 512, 3],
}
HANDS = {f"{side}_eef_{part}_name_sim": f"{side}_eef_{part}" for side in ("left", "right") for part in ("pos", "quat")}
COMMANDS = {
    "teleop_base_height_command_name_sim": "base_height_cmd",
    "teleop_navigate_command_name_sim": "navigate_cmd",
    "teleop_torso_orientation_rpy_command_name_sim": "torso_orientation_rpy_cmd",
}
# As in the file for the static apple.
APPLE: dict[str, Any] = {
    "policy_joints_config_path": "isaaclab_arena_gr00t/embodiments/g1/gr00t_43dof_joint_space.yaml",
    "action_joints_config_path": "isaaclab_arena_gr00t/embodiments/g1/43dof_joint_space.yaml",
    "state_joints_config_path": "isaaclab_arena_gr00t/embodiments/g1/43dof_joint_space.yaml",
    "language_instruction": "move the apple to the plate",
    "task_index": 3,
    "data_root": "/data",
    "hdf5_name": "arena_g1_static_apple_dataset_recorded.hdf5",
    "pov_cam_name_sim": "robot_head_cam_rgb",
    "task_description_lerobot": "annotation.human.task_description",
    "robot_type": "unitree_g1",
    **HANDS,
    **COMMANDS,
}


def write(folder: Path, options: dict[str, Any]) -> Path:
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(options, sort_keys=False, default_flow_style=None))
    return path


def imported(folder: Path, options: dict[str, Any], name: str = "pipeline.yaml") -> Path:
    target = folder / name
    arguments = ["arena", str(write(folder, options)), "-o", str(target)]
    done = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return target


@pytest.mark.parametrize(
    ("options", "shipped", "output"),
    [
        (GR1, "arena_gr1_microwave", f"{GR1['data_root']}/arena_gr1_manipulation_dataset_generated/lerobot"),
        (APPLE, "arena_g1_apple", "/data/arena_g1_static_apple_dataset_recorded/lerobot"),
    ],
)
def test_it_is_the_shipped_pipeline_on_the_files_of_the_configuration(
    tmp_path: Path, options: dict[str, Any], shipped: str, output: str
) -> None:
    found = load_pipeline(imported(tmp_path, options)).spec
    files = f"source.files=[{options['data_root']}/{options['hdf5_name']}]"
    assert found == load_pipeline(Path(shipped), [files, f"output={output}"]).spec


def test_every_option_that_has_an_effect(tmp_path: Path) -> None:
    options = {
        **GR1,
        "state_name_sim": "joints",
        "action_name_sim": "targets",
        "state_name_lerobot": "observation.body",
        "action_name_lerobot": "action.body",
        "video_name_lerobot": "observation.images.eye",
        "fps": 25,
        "original_image_size": [160, 256, 3],
        "target_image_size": [256, 256, 3],
        "task_index": 2,
        "valid_lerobot": "annotation.human.action.valid",
        "modality_template_path": "gr1/modality.json",
        **HANDS,
    }
    target = imported(tmp_path, options)
    spec = load_pipeline(target).spec
    columns = spec.source.arguments["columns"]
    assert {key: column["from"] for key, column in columns.items()} == {
        "observation.body": "obs/joints",
        "action.body": "targets",
        "observation.eef_pose": [
            {"from": f"obs/{side}_eef_{part}", "slice": None, "rows": None}
            for side in ("left", "right")
            for part in ("pos", "quat")
        ],
        "observation.images.eye": "camera_obs/robot_pov_cam_rgb",
    }, "without the teleoperator's commands there is no group action"
    assert spec.source.arguments["fps"] == 25
    steps = {step.use: step.arguments for step in spec.steps}
    assert steps["joint_remapper"]["spaces"] == {"observation.body": "state", "action.body": "action"}
    resizer = steps["image_resizer"]
    assert (resizer["pad"], resizer["height"], resizer["width"]) == ("square", 256, 256)
    text = target.read_text()
    assert "task_index 2: tasks are numbered from 0" in text
    assert "valid_lerobot: had no effect" in text
    assert "modality_template_path: info.json" in text


def test_one_hand_is_no_column_as_in_arena(tmp_path: Path) -> None:
    left = {key: value for key, value in HANDS.items() if key.startswith("left")}
    assert "eef_pose" not in imported(tmp_path, {**GR1, **left}).read_text()


def test_the_newer_names_of_input_and_output(tmp_path: Path) -> None:
    options = {key: value for key, value in GR1.items() if key not in ("data_root", "hdf5_name")}
    spec = load_pipeline(imported(tmp_path, {**options, "hdf5_path": "/a/b.hdf5", "output_dir": "/c"})).spec
    assert (spec.source.arguments["files"], spec.output) == (["/a/b.hdf5"], "/c")  # output_dir is the dataset itself
    spec = load_pipeline(imported(tmp_path, {**options, "hdf5_path": "/a/b.c.hdf5"}, "other.yaml")).spec
    assert spec.output == "/a/b.c/lerobot"
    spec = load_pipeline(imported(tmp_path, {**GR1, "output_dir": "datasets/gr1"}, "older.yaml")).spec
    assert spec.output == str(Path("datasets/gr1").absolute())  # where Arena's converter writes it


def mistakes(path: Path) -> list[tuple[int, str]]:
    with pytest.raises(ConfigError) as caught:
        read_arena_config(path)
    assert f"{path}:{caught.value.problems[0].line}: " in str(caught.value)
    return [(problem.line, problem.message) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("changes", "line", "words"),
    [
        ({"pov_cam_nme_sim": "x"}, 17, "did you mean 'pov_cam_name_sim'"),
        ({"fps": "fast"}, 10, "found the text 'fast', expected a whole number"),
        ({"task_index": -1}, 2, "at least 0"),
        ({"original_image_size": [512, 512]}, 15, "original_image_size"),
        ({"hdf5_name": None}, 4, "missing, expected the name of the HDF5 file"),
        ({"state_joints_config_path": "gr1/45dof_joint_space.yaml"}, 13, "did you mean '54dof_joint_space.yaml'"),
        ({"state_joints_config_path": "gr1/gr00t_26dof_joint_space.yaml"}, 13, "known are 54dof_joint_space.yaml"),
        ({"action_joints_config_path": "g1/43dof_joint_space.yaml"}, 12, "is of the robot g1, policy_joints_config"),
    ],
)
def test_a_mistake_is_told_with_its_line_and_the_nearest_right_name(
    tmp_path: Path, changes: dict[str, Any], line: int, words: str
) -> None:
    [(found, message)] = mistakes(write(tmp_path, {**GR1, **changes}))
    assert found == line
    assert words in message


def test_all_mistakes_at_once(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("hdf5_nam: a.hdf5\nfps: 0\nrobot_type: [gr1]\nstate_joints_config_path: 45dof.yaml\n")
    assert [line for line, _ in mistakes(path)] == [1, 2, 3, 4]


def joint_file(path: Path, joints: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump({"joints": joints}, sort_keys=False))


def test_joint_files_that_are_there_are_compared_with_the_robot(tmp_path: Path) -> None:
    """As in Arena's repository, paths are relative to a folder above the configuration."""
    folder = tmp_path / "isaaclab_arena_gr00t/embodiments/gr1"
    joint_file(folder / "54dof_joint_space.yaml", {name: index for index, name in enumerate(GR1_STATE)})
    joint_file(folder / "36dof_joint_space.yaml", {name: index for index, name in enumerate(GR1_ACTION)})
    groups = {"left_arm": GR1_POLICY[:7], "right_arm": GR1_POLICY[7:14], "hands": GR1_POLICY[14:]}
    joint_file(folder / "gr00t_26dof_joint_space.yaml", groups)
    (tmp_path / "configs").mkdir()
    path = write(tmp_path / "configs", GR1)
    assert read_arena_config(path).robot == "gr1"
    joint_file(folder / "36dof_joint_space.yaml", {name: index for index, name in enumerate(GR1_ACTION[::-1])})
    renamed = {("head_rol_joint" if name == "head_roll_joint" else name): i for i, name in enumerate(GR1_STATE)}
    joint_file(folder / "54dof_joint_space.yaml", renamed)
    (line, state), (other, action) = mistakes(path)
    assert (line, other) == (12, 13)
    assert "does not have the 36 joints of the robot gr1, or has them in another order" in state
    assert "'head_rol_joint' is not one of them (did you mean 'head_roll_joint'?)" in action


def test_the_files_of_the_g1_are_compared_too(tmp_path: Path) -> None:
    place = tmp_path / "isaaclab_arena_gr00t/embodiments/g1/43dof_joint_space.yaml"
    joint_file(place, {name: index for index, name in enumerate(G1)})
    assert read_arena_config(write(tmp_path, APPLE)).robot == "g1"
    joint_file(place, G1)
    assert {text.partition(": ")[2].endswith("has no mapping `joints`") for _, text in mistakes(write(tmp_path, APPLE))}


def without_joint_files(options: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {key: value for key, value in options.items() if not key.endswith("joints_config_path")} | more


def recorded(
    folder: Path, state: int, action: int, names: tuple[str, str] = ("robot_joint_pos", "processed_actions")
) -> dict[str, Any]:
    """Write a recording whose state and action have so many entries; return the options that name it."""
    path = folder / "rec.hdf5"
    with h5py.File(path, "w") as file:
        demo = file.create_group("data/demo_0")
        demo[f"obs/{names[0]}"] = np.zeros((3, state), np.float32)
        demo[names[1]] = np.zeros((3, action), np.float32)
    return {"hdf5_path": str(path), "state_name_sim": names[0], "action_name_sim": names[1]}


@pytest.mark.parametrize(
    ("state", "action", "robot", "spaces"),
    [(54, 36, "gr1", ("state", "action")), (43, 43, "g1", ("sim", "sim")), (13, 8, "droid", ("state", "action"))],
)
@pytest.mark.parametrize("names", [("robot_joint_pos", "processed_actions"), ("policy/joints", "targets")])
def test_without_joint_files_the_recording_says_the_robot(
    tmp_path: Path, state: int, action: int, robot: str, spaces: tuple[str, str], names: tuple[str, str]
) -> None:
    options = without_joint_files(GR1, **recorded(tmp_path, state, action, names))
    spec = load_pipeline(imported(tmp_path, options)).spec
    [remapper] = [step.arguments for step in spec.steps if step.use == "joint_remapper"]
    assert (remapper["robot"], tuple(remapper["spaces"].values())) == (robot, spaces)
    assert spec.dataset[-1].arguments["robot"] == robot


@pytest.mark.parametrize(
    ("shape", "found"),
    [
        ((54, 8), "has 54 entries of the state and 8 of the action"),
        ((36, 54), "has 36 entries of the state and 54 of the action"),
        (None, "cannot be read"),
    ],
)
def test_else_the_robot_is_to_be_filled_in(tmp_path: Path, shape: tuple[int, int] | None, found: str) -> None:
    recording = recorded(tmp_path, *shape) if shape else {"hdf5_path": str(tmp_path / "none.hdf5")}
    target = imported(tmp_path, without_joint_files(GR1, **recording))
    with pytest.raises(ConfigError) as caught:
        load_pipeline(target)
    text = target.read_text()
    lines = text.splitlines()
    for problem in caught.value.problems:
        assert "null" in lines[problem.line - 1]
        assert "found nothing (null)" in problem.message
    assert {"joint_remapper", "gr00t_files"} == {
        word for word in ("joint_remapper", "gr00t_files") if word in str(caught.value)
    }
    assert f"{recording['hdf5_path']} {found}. Fill in `robot:` and `spaces:`" in text
    choices = [line.removeprefix("  #   ") for line in lines if line.startswith("  #   {robot")]
    assert [choice.partition("  # ")[2] for choice in choices] == [
        "13 entries of the state and 8 of the action",
        "43 entries of the state and 43 of the action",
        "54 entries of the state and 36 of the action",
    ]
    chosen = choices[2].partition("  # ")[0]
    empty = "{robot: null, spaces: {observation.state: null, action: null}}"
    target.write_text(text.replace(empty, chosen).replace("gr00t_files: {robot: null}", "gr00t_files: {robot: gr1}"))
    assert (
        load_pipeline(target).spec
        == load_pipeline(imported(tmp_path, {**GR1, **none_there(recording)}, "whole.yaml")).spec
    )


def none_there(recording: dict[str, Any]) -> dict[str, Any]:
    """Take the recording away, so that only the configuration counts."""
    Path(recording["hdf5_path"]).unlink(missing_ok=True)
    return recording


@pytest.mark.parametrize(
    ("options", "state", "action", "words"),
    [
        (GR1, 13, 8, "it is of the robot droid: name 13dof_joint_space.yaml, 8dof_joint_space.yaml, gr00t_8dof_"),
        (GR1, 43, 43, "it is of the robot g1: name 43dof_joint_space.yaml, gr00t_43dof_joint_space.yaml"),
        (APPLE, 54, 36, "it is of the robot gr1: name 54dof_joint_space.yaml, 36dof_joint_space.yaml, gr00t_26dof_"),
        (GR1, 54, 7, "no known robot has these"),
    ],
)
def test_a_recording_of_another_robot_is_told_with_the_robot_that_fits(
    tmp_path: Path, options: dict[str, Any], state: int, action: int, words: str
) -> None:
    path = write(tmp_path, {**options, **recorded(tmp_path, state, action)})
    [(line, message)] = mistakes(path)
    assert "policy_joints_config_path" in path.read_text().splitlines()[line - 1]
    joints = "54 entries of the state and 36" if options is GR1 else "43 entries of the state and 43"
    assert joints in message
    assert f"rec.hdf5 has {state} entries of the state and {action} of the action; {words}" in message


def test_a_recording_that_fits_its_joint_files_is_no_mistake(tmp_path: Path) -> None:
    assert read_arena_config(write(tmp_path, {**GR1, **recorded(tmp_path, 54, 36)})).robot == "gr1"
    assert read_arena_config(write(tmp_path, {**APPLE, **recorded(tmp_path, 43, 43)})).robot == "g1"
    one = without_joint_files(GR1, policy_joints_config_path="gr1/gr00t_26dof_joint_space.yaml")
    assert load_pipeline(imported(tmp_path, one)).spec == load_pipeline(imported(tmp_path, GR1, "b.yaml")).spec


def test_what_is_no_configuration(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_arena_config(tmp_path / "none.yaml")
    (tmp_path / "list.yaml").write_text("- a\n")
    assert mistakes(tmp_path / "list.yaml") == [(1, "is not a mapping of options")]


def test_a_full_disk_leaves_no_half_pipeline(disk: Callable[[int], Path]) -> None:
    place = disk(16)
    with suppress(OSError):
        (place / "ballast").write_bytes(bytes(1 << 20))
    with pytest.raises(UsageError, match="cannot be written: No space left"):
        write_new(place / "pipeline.yaml", "#" * 9_000)
    assert [path.name for path in place.iterdir()] == ["ballast"]


def test_a_file_name_stays_in_its_comment() -> None:
    text = arena_pipeline_text(ArenaConfig(hdf5_name="a.hdf5"), "x\nworkers: 1\n", Path())
    assert "workers" not in yaml.safe_load(text)

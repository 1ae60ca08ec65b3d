"""Configuration files of Isaac Lab Arena's convert_hdf5_to_lerobot.py, read and checked."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from ..core.errors import ConfigError, Problem, UsageError, nearest
from ..core.validation_messages import mistakes
from ..core.yaml_source import KeyPath, read_yaml, show_path
from ..manifests.robot import RobotManifest, load_robot

Size: TypeAlias = tuple[int, int, int]

# Arena's files of joint spaces, by name, whatever folder they are in: the robot, and its space ("" for the policy's).
_JOINT_FILES = {
    "54dof_joint_space.yaml": ("gr1", "state"),
    "36dof_joint_space.yaml": ("gr1", "action"),
    "gr00t_26dof_joint_space.yaml": ("gr1", ""),
    "43dof_joint_space.yaml": ("g1", "sim"),
    "gr00t_43dof_joint_space.yaml": ("g1", ""),
    "13dof_joint_space.yaml": ("droid", "state"),
    "8dof_joint_space.yaml": ("droid", "action"),
    "gr00t_8dof_joint_space.yaml": ("droid", ""),
}
_SIDES = ("state_joints_config_path", "action_joints_config_path", "policy_joints_config_path")


def _known(path: str, *, is_policy: bool) -> str:
    """Refuse a joint file that is none of Arena's, or of the other kind."""
    name = Path(path).name
    fitting = [known for known, (_, space) in _JOINT_FILES.items() if (space == "") == is_policy]
    if name not in fitting:
        raise ValueError(
            f"{name!r} is not known{nearest(name, fitting)}; known are {', '.join(fitting)}; "
            "of another robot write a manifest, and joint_remapper: {robot: FILE, …}"
        )
    return path


RecordedJoints: TypeAlias = Annotated[str, AfterValidator(partial(_known, is_policy=False))]
PolicyJoints: TypeAlias = Annotated[str, AfterValidator(partial(_known, is_policy=True))]


class ArenaConfig(BaseModel):
    """What such a file may say, with Arena's own defaults."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    data_root: str = "/datasets/"
    hdf5_name: str | None = None
    hdf5_path: str | None = None
    output_dir: str | None = None
    language_instruction: str | None = None
    task_index: int = Field(default=0, ge=0)
    state_name_sim: str = "robot_joint_pos"
    action_name_sim: str = "processed_actions"
    left_eef_pos_name_sim: str | None = None
    left_eef_quat_name_sim: str | None = None
    right_eef_pos_name_sim: str | None = None
    right_eef_quat_name_sim: str | None = None
    teleop_base_height_command_name_sim: str | None = None
    teleop_navigate_command_name_sim: str | None = None
    teleop_torso_orientation_rpy_command_name_sim: str | None = None
    pov_cam_name_sim: str = "robot_head_cam"
    state_name_lerobot: str = "observation.state"
    action_name_lerobot: str = "action"
    action_eef_name_sim: str | None = None
    video_name_lerobot: str = "observation.images.ego_view"
    task_description_lerobot: str = "annotation.human.action.task_description"
    valid_lerobot: str | None = None
    chunks_size: int = Field(default=1000, ge=1)
    fps: int = Field(default=50, ge=1)
    data_path: str | None = None
    video_path: str | None = None
    modality_template_path: str | None = None
    info_template_path: str | None = None
    modality_fname: str | None = None
    episodes_fname: str | None = None
    tasks_fname: str | None = None
    info_fname: str | None = None
    policy_joints_config_path: PolicyJoints = "g1/gr00t_43dof_joint_space.yaml"
    action_joints_config_path: RecordedJoints = "g1/43dof_joint_space.yaml"
    state_joints_config_path: RecordedJoints = "g1/43dof_joint_space.yaml"
    robot_type: str | None = None
    original_image_size: Size = (480, 640, 3)
    target_image_size: Size = (480, 640, 3)

    @property
    def recording(self) -> Path:
        """The HDF5 file."""
        return Path(self.hdf5_path) if self.hdf5_path else Path(self.data_root) / str(self.hdf5_name)

    @property
    def output(self) -> Path:
        """Where Arena's converter puts the dataset."""
        folder = Path(self.output_dir) if self.output_dir else self.recording.with_suffix("")
        return folder / "lerobot"

    def space(self, side: str) -> tuple[str, str]:
        """Return the robot and its joint space that one of the joint files stands for."""
        return _JOINT_FILES[Path(getattr(self, side)).name]

    @property
    def robot(self) -> str:
        """Name of the robot's manifest."""
        return self.space("policy_joints_config_path")[0]


def read_arena_config(path: Path) -> ArenaConfig:
    """Read such a file and, as far as they can be found, the joint files that it names.

    Raises:
        UsageError: If it cannot be read; a ConfigError with every mistake, its line and the nearest right name.
    """
    root, problems = read_yaml(_text(path), str(path))
    data = root.plain() if root else None
    if root is None or not isinstance(data, dict):
        raise ConfigError(str(path), [*problems, Problem(1, "is no mapping of options")])
    config, found = None, []
    try:
        config = ArenaConfig.model_validate(data)
        found = list(_inconsistencies(config, path.absolute().parent))
    except ValidationError as exc:
        found = [(where, text) for where, text, _ in mistakes(ArenaConfig, exc, data)]
    problems += [Problem(root.at(where).line, f"{show_path(where)}: {text}") for where, text in found]
    if problems or config is None:
        raise ConfigError(str(path), problems)
    return config


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise UsageError(str(path), f"cannot be read: {exc}", "a configuration file of Isaac Lab Arena") from exc


def _inconsistencies(config: ArenaConfig, folder: Path) -> Iterator[tuple[KeyPath, str]]:
    if not (config.hdf5_name or config.hdf5_path):
        yield ("hdf5_name",), "missing, expected the name of the HDF5 file in data_root"
    robot = load_robot(config.robot)
    for side in _SIDES:
        if (other := config.space(side)[0]) != robot.name:
            yield (side,), f"is of the robot {other}, policy_joints_config_path of {robot.name}"
        elif (place := _found(Path(getattr(config, side)), folder)) and (
            text := _difference(place, robot, config, side)
        ):
            yield (side,), f"{place} {text}"


def _found(path: Path, folder: Path) -> Path | None:
    """Return the file at a path relative to the repository that the configuration is in, None if it is not there."""
    places = (parent / path for parent in (Path.cwd(), folder, *folder.parents))
    return next((place for place in places if place.is_file()), None)


def _difference(path: Path, robot: RobotManifest, config: ArenaConfig, side: str) -> str:
    """Say how the joints of a file differ from the robot's; empty if they do not."""
    root, _ = read_yaml(_text(path), str(path))
    joints: Any = root.plain().get("joints") if root and isinstance(root.value, dict) else None
    if not isinstance(joints, dict):
        return "has no mapping `joints`"
    space = config.space(side)[1]
    names = sorted(joints, key=joints.__getitem__) if space else [name for group in joints.values() for name in group]
    expected = robot.spaces[space] if space else robot.joint_names
    if names == expected:
        return ""
    wrong = next((name for name in names if name not in expected), "")
    hint = f": {wrong!r} is none of them{nearest(wrong, expected)}" if wrong else ", or has them in another order"
    return f"has not the {len(expected)} joints of the robot {robot.name}{hint}; write a robot manifest of your own"

"""Arena configuration: files of Isaac Lab Arena's convert_hdf5_to_lerobot.py, and the pipeline file for one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property, partial
from pathlib import Path
from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from ...core.errors import ConfigError, EpisodeRejected, Problem, nearest, printable
from ...core.validation_messages import mistakes
from ...core.yaml_source import KeyPath, read_yaml, show_path, text_of
from ...formats.hdf5.file_facts import row_widths
from ...manifests.robot import RobotManifest, load_robot
from .pipeline_draft import flow
from .places import seen_from

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
_SIDES = ("policy_joints_config_path", "state_joints_config_path", "action_joints_config_path")
# The joint spaces of the state and of the action in recordings of each robot.
_SPACES = {"droid": ("state", "action"), "g1": ("sim", "sim"), "gr1": ("state", "action")}

_FILE = "a configuration file of Isaac Lab Arena"
_COMMANDS = ("base_height_command", "navigate_command", "torso_orientation_rpy_command")
_NO_EFFECT = ("action_eef_name_sim", "valid_lerobot", "info_fname")  # nor have they one in Arena
_FIXED = ("data_path", "video_path", "modality_fname", "episodes_fname", "tasks_fname", "chunks_size")
_TEMPLATES = ("modality_template_path", "info_template_path")


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
    """Options of such a file, with Arena's own defaults."""

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
    policy_joints_config_path: PolicyJoints | None = None
    action_joints_config_path: RecordedJoints | None = None
    state_joints_config_path: RecordedJoints | None = None
    robot_type: str | None = None
    original_image_size: Size = (480, 640, 3)
    target_image_size: Size = (480, 640, 3)

    @property
    def recording(self) -> Path:
        """The HDF5 file."""
        return Path(self.hdf5_path) if self.hdf5_path else Path(self.data_root) / str(self.hdf5_name)

    @property
    def output(self) -> Path:
        """Folder of the dataset in Arena's converter: `output_dir` itself, else a folder beside the recording."""
        return Path(self.output_dir) if self.output_dir else self.recording.with_suffix("") / "lerobot"

    def named(self) -> dict[str, tuple[str, str]]:
        """Return, for each option that names a joint file, the robot of that file and its joint space."""
        paths = {side: getattr(self, side) for side in _SIDES}
        return {side: _JOINT_FILES[Path(path).name] for side, path in paths.items() if path}

    @cached_property
    def robot(self) -> str:
        """Name of the robot's manifest, by the joint files, else by the recording; empty if neither says it."""
        return next((robot for robot, _ in self.named().values()), "") or self.fitting

    @property
    def fitting(self) -> str:
        """Name of the robot with as many joints as the recording has entries; empty if none has."""
        return next((robot for robot in _SPACES if self.joints(robot) == self.widths), "")

    @cached_property
    def widths(self) -> tuple[int, ...]:
        """Entries of the state and of the action in the recording, empty if they cannot be read."""
        with suppress(EpisodeRejected):
            return row_widths(self.recording, "isaaclab", [f"obs/{self.state_name_sim}", self.action_name_sim])
        return ()

    def joints(self, robot: str) -> tuple[int, ...]:
        """Return how many joints the state and the action of a robot have."""
        return tuple(len(load_robot(robot).spaces[space]) for space in self.spaces(robot))

    def spaces(self, robot: str) -> tuple[str, ...]:
        """Return the joint spaces of the state and of the action: those of the robot's joint files, or the usual."""
        named = (self.named().get(side, ("", "")) for side in _SIDES[1:])
        return tuple(
            space if owner == robot else usual for (owner, space), usual in zip(named, _SPACES[robot], strict=True)
        )


def read_arena_config(path: Path) -> ArenaConfig:
    """Read such a file and, as far as they can be found, the joint files that it names.

    Raises:
        UsageError: If it cannot be read; a ConfigError with every mistake, its line and the nearest right name.
    """
    root, problems = read_yaml(text_of(str(path), _FILE), str(path))
    data = root.plain() if root else None
    if root is None or not isinstance(data, dict):
        raise ConfigError(str(path), [*problems, Problem(1, "is not a mapping of options")])
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


def _inconsistencies(config: ArenaConfig, folder: Path) -> Iterator[tuple[KeyPath, str]]:
    if not (config.hdf5_name or config.hdf5_path):
        yield ("hdf5_name",), "missing, expected the name of the HDF5 file in data_root"
    if not config.robot:
        return
    robot = load_robot(config.robot)
    named = config.named()
    for side, (other, space) in named.items():
        if other != robot.name:
            yield (side,), f"is of the robot {other}, {next(iter(named))} of {robot.name}"
        elif (place := _found(Path(getattr(config, side)), folder)) and (text := _difference(place, robot, space)):
            yield (side,), f"{place} {text}"
    if config.widths and named and config.joints(robot.name) != config.widths:
        files = ", ".join(name for name, (owner, _) in _JOINT_FILES.items() if owner == config.fitting)
        other = f"it is of the robot {config.fitting}: name {files}" if files else "no known robot has these"
        yield (
            (next(iter(named)),),
            f"is of the robot {robot.name}, with {_entries(config.joints(robot.name))}, but "
            f"{printable(str(config.recording))} has {_entries(config.widths)}; {other}",
        )


def _entries(widths: tuple[int, ...]) -> str:
    return "{} entries of the state and {} of the action".format(*widths)


def _found(path: Path, folder: Path) -> Path | None:
    """Return the file at a path relative to the repository that the configuration is in, None if it is not there."""
    places = (parent / path for parent in (Path.cwd(), folder, *folder.parents))
    return next((place for place in places if place.is_file()), None)


def _difference(path: Path, robot: RobotManifest, space: str) -> str:
    """Say how the joints of a file differ from a space of the robot, "" for the policy's; empty if they do not."""
    root, _ = read_yaml(text_of(str(path), _FILE), str(path))
    joints: Any = root.plain().get("joints") if root and isinstance(root.value, dict) else None
    if not isinstance(joints, dict):
        return "has no mapping `joints`"
    names = sorted(joints, key=joints.__getitem__) if space else [name for group in joints.values() for name in group]
    expected = robot.spaces[space] if space else robot.joint_names
    if names == expected:
        return ""
    wrong = next((name for name in names if name not in expected), "")
    hint = f": {wrong!r} is not one of them{nearest(wrong, expected)}" if wrong else ", or has them in another order"
    return f"does not have the {len(expected)} joints of the robot {robot.name}{hint}; write your own robot manifest"


def arena_pipeline_text(config: ArenaConfig, name: str, folder: Path) -> str:
    """Return a pipeline file.

    Args:
        config: What Arena's converter was told; its paths are relative to the current folder.
        name: Name of the file that says it.
        folder: Folder of the pipeline file.
    """
    lines = [f"# Made from {printable(name)} of Isaac Lab Arena by `robotrove import-config arena`.", *_remarks(config)]
    lines += [*_source(config, folder), *_steps(config), "writer:", f"  robot_type: {flow(config.robot_type)}"]
    lines += ["  video: {codec: libx264, crf: 23, g: 10}", "dataset:"]
    lines += ["  - downgrader: {reference_exact: true}", f"  - gr00t_files: {flow({'robot': config.robot or None})}"]
    lines += [f"output: {flow(seen_from(folder, str(config.output)))}"]
    return "\n".join(lines) + "\n"


def _remapped(config: ArenaConfig, robot: str) -> str:
    state, action = config.spaces(robot) if robot else (None, None)
    spaces = {config.state_name_lerobot: state, config.action_name_lerobot: action}
    return flow({"robot": robot or None, "spaces": spaces})


def _remarks(config: ArenaConfig) -> Iterator[str]:
    """Yield, as comments, which options of the file are not carried over, and why."""
    given = config.model_fields_set
    if config.task_index:
        yield f"# task_index {config.task_index}: tasks are numbered from 0 here, alike in all files and columns."
    if config.language_instruction is None:
        yield "# language_instruction is not given; Arena would write the text None."
    for options, why in (
        (_NO_EFFECT, "had no effect in Arena either"),
        (_FIXED, "LeRobot's own names and chunks of 1000 episodes are used"),
        (_TEMPLATES, "info.json is written from what is in the dataset"),
    ):
        if names := [option for option in options if option in given]:
            yield f"# {', '.join(names)}: {why}."


def _source(config: ArenaConfig, folder: Path) -> Iterator[str]:
    yield "source:"
    yield f"  files: {flow([seen_from(folder, str(config.recording))])}"
    yield "  layout: isaaclab"
    yield f"  task: {flow(config.language_instruction)}"
    yield f"  fps: {config.fps}  # for files that do not say it"
    yield "  columns:"
    yield f"    {flow(config.state_name_lerobot)}: {_column(f'obs/{config.state_name_sim}')}"
    yield f"    {flow(config.action_name_lerobot)}: {_column(config.action_name_sim)}"
    commands = {name: getattr(config, f"teleop_{name}_name_sim") for name in _COMMANDS}
    if terms := _hands(config):
        # The group `action` is there where the teleoperator's commands are.
        groups = {"observation": "obs"} | ({"action": "action"} if any(commands.values()) else {})
        for prefix, group in groups.items():
            yield f"    {prefix}.eef_pose: {flow({'from': [f'{group}/{term}' for term in terms], 'dtype': 'float64'})}"
    for name, term in commands.items():
        if term:
            yield f"    teleop.{name}: {_column(f'action/{term}')}"
    yield f"    {flow(config.video_name_lerobot)}: {flow(f'camera_obs/{config.pov_cam_name_sim}')}"


def _hands(config: ArenaConfig) -> list[str]:
    """Return the terms of the hands' poses; both hands are needed, as in Arena."""
    names = [getattr(config, f"{side}_eef_{part}_name_sim") for side in ("left", "right") for part in ("pos", "quat")]
    return names if all(names) else []


def _column(source: str) -> str:
    return flow({"from": source, "dtype": "keep"})


def _steps(config: ArenaConfig) -> Iterator[str]:
    yield "steps:"
    yield "  - frame_trimmer: {tail: 1}"
    if not config.robot:
        found = f"has {_entries(config.widths)}" if config.widths else "cannot be read"
        yield f"  # No joint file is given, and {flow(str(config.recording))} {found}. Fill in `robot:` and `spaces:`"
        yield "  # here, and the same `robot:` in gr00t_files; one of"
        for robot in _SPACES:
            yield f"  #   {_remapped(config, robot)}  # {_entries(config.joints(robot))}"
    yield f"  - joint_remapper: {_remapped(config, config.robot)}"
    if config.target_image_size != config.original_image_size:
        height, width, _ = config.target_image_size
        yield f"  - image_resizer: {flow({'pad': 'square', 'height': height, 'width': width})}"
    yield f"  - annotator: {flow({'columns': [config.task_description_lerobot]})}"
    yield "  - column_adder:"
    yield "      columns:"
    yield "        next.reward: {value: 0.0, last: 1.0, dtype: float64}"
    yield "        next.done: {value: false, last: true, dtype: bool}"
    yield "        observation.img_state_delta: {value: 0.0, dtype: float64}"

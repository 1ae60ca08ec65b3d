"""The pipeline file that does what a configuration of Isaac Lab Arena's converter says."""

from __future__ import annotations

from collections.abc import Iterator

from ..core.errors import printable
from .arena_config import ArenaConfig
from .pipeline_text import flow

_COMMANDS = ("base_height_command", "navigate_command", "torso_orientation_rpy_command")
_NO_EFFECT = ("action_eef_name_sim", "valid_lerobot", "info_fname")  # nor have they one in Arena
_FIXED = ("data_path", "video_path", "modality_fname", "episodes_fname", "tasks_fname", "chunks_size")
_TEMPLATES = ("modality_template_path", "info_template_path")


def arena_pipeline_text(config: ArenaConfig, name: str) -> str:
    """Return a pipeline file.

    Args:
        config: What Arena's converter was told.
        name: Name of the file that says it.
    """
    lines = [f"# Made from {printable(name)} of Isaac Lab Arena by `robotrove import-config arena`.", *_remarks(config)]
    lines += [*_source(config), *_steps(config), "writer:", f"  robot_type: {flow(config.robot_type)}"]
    lines += ["  video: {codec: libx264, crf: 23, g: 10}", "dataset:"]
    lines += ["  - downgrader: {reference_exact: true}", f"  - gr00t_files: {flow({'robot': config.robot})}"]
    lines += [f"output: {flow(str(config.output))}"]
    return "\n".join(lines) + "\n"


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


def _source(config: ArenaConfig) -> Iterator[str]:
    yield "source:"
    yield f"  files: {flow([str(config.recording)])}"
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
    spaces = {
        config.state_name_lerobot: config.space("state_joints_config_path")[1],
        config.action_name_lerobot: config.space("action_joints_config_path")[1],
    }
    yield "steps:"
    yield "  - frame_trimmer: {tail: 1}"
    yield f"  - joint_remapper: {flow({'robot': config.robot, 'spaces': spaces})}"
    if config.target_image_size != config.original_image_size:
        height, width, _ = config.target_image_size
        yield f"  - image_resizer: {flow({'pad': 'square', 'height': height, 'width': width})}"
    yield f"  - annotator: {flow({'columns': [config.task_description_lerobot]})}"
    yield "  - column_adder:"
    yield "      columns:"
    yield "        next.reward: {value: 0.0, last: 1.0, dtype: float64}"
    yield "        next.done: {value: false, last: true, dtype: bool}"
    yield "        observation.img_state_delta: {value: 0.0, dtype: float64}"

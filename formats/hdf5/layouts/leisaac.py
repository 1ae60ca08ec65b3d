"""LeIsaac: files of Isaac Lab's recorder for an SO-101 arm, two of them, or a LeKiwi."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Literal, get_args

import h5py

from ....core.errors import EpisodeRejected
from ....manifests.robot import load_robot
from ..hdf5_file import lookup
from ..layout import Fact, camera_columns, check_choice, json_attribute
from ..mapping import ColumnPart, ColumnSpec, find_dataset
from .isaaclab import IsaacLabLayout

_Actions = Literal["recorded", "processed"]

# What LeIsaac's environments say that the robot does; -Mimic and -Direct variants say the same.
TASKS = {
    "LeIsaac-SO101-PickOrange*": "Pick three oranges and put them into the plate, then reset the arm to rest state.",
    "LeIsaac-SO101-LiftCube*": "Lift the red cube up.",
    "LeIsaac-SO101-CleanToyTable*": "Pick two letter e objects into the box, and reset the arm to rest state.",
    "LeIsaac-SO101-FoldCloth*": "Fold the cloth, and reset the arm to rest state.",
    "LeIsaac-SO101-AssembleHamburger*": "Assemble the hamburger in order.",
    "LeIsaac-LeKiwi-CleanupTrash*": "Pick up tissue trash from the floor and throw it into the trash bin.",
}
_ARM_JOINTS = (0, 6)


class LeIsaacLayout(IsaacLabLayout):
    """State and action of the robot with its names, all cameras, the instruction of the environment.

    Which robot it is, the observations tell: `user_vel_state` is a LeKiwi, `left_joint_pos` are two
    arms, `joint_pos` is one. Where actions have as many entries as the robot has joints, they are
    its joints (of a LeKiwi the six of the arm and user_vel_action); others, those of a keyboard or a
    state machine, stay as they are, as dim_0, dim_1 …

    Args:
        columns: Feature name to its source in the file; replaces the layout's own mapping as a whole.
        task: Instruction instead of the environment's.
        fps: Frames per second of episodes without a rate in the file.
        success_threshold: A label that is a number says success if it is at least this; without it only 0 and 1 count.
        direct_actions: Environments of the Direct workflow record in `actions` the action of the step
            before; "processed" takes theirs from `processed_actions`, which are of the step itself.
    """

    def __init__(
        self,
        *,
        columns: Mapping[str, ColumnSpec] | None = None,
        task: str | None = None,
        fps: int | None = None,
        success_threshold: float | None = None,
        direct_actions: _Actions = "recorded",
    ) -> None:
        super().__init__(columns=columns, task=task, fps=fps, success_threshold=success_threshold)
        check_choice("layout leisaac, direct_actions", direct_actions, get_args(_Actions))
        self.direct_actions = direct_actions

    @classmethod
    def matches(cls, file: h5py.File) -> bool:
        """True for a file of Isaac Lab's recorder with an environment name that begins with LeIsaac-."""
        return super().matches(file) and _environment(file["data"]).startswith("LeIsaac-")

    def default_columns(self, group: h5py.Group) -> dict[str, ColumnSpec]:
        """Return action, observation.state and every camera."""
        robot, state = _robot(group)
        names = load_robot(robot).joint_names
        is_direct = "-Direct" in _environment(group.parent)
        source = "processed_actions" if is_direct and self.direct_actions == "processed" else "actions"
        width = find_dataset(group, source).shape[-1]
        action = ColumnSpec(source=source, names=names)
        if width != len(names):
            action = ColumnSpec(source=source, names=[f"dim_{index}" for index in range(width)])
        elif robot == "lekiwi":
            parts = [ColumnPart(source=source, slice=_ARM_JOINTS), ColumnPart(source="obs/user_vel_action")]
            action = ColumnSpec(source=parts, names=names)
        return {
            "observation.state": ColumnSpec(source=state, names=names),
            "action": action,
            **camera_columns(group, ("obs",)),
        }

    def fallback_task(self, group: h5py.Group) -> Fact:
        """Return what the environment says that the robot does, or else its name."""
        name = _environment(group.parent)
        task = next((text for pattern, text in TASKS.items() if fnmatchcase(name, pattern)), None)
        return Fact(task, "env_task") if task else super().fallback_task(group)


def _environment(data: h5py.Group) -> str:
    return str(json_attribute(data, "env_args").get("env_name", ""))


def _robot(group: h5py.Group) -> tuple[str, list[ColumnPart]]:
    """Return the name of the robot's manifest and what its state is made of."""
    obs = lookup(group, "obs")
    terms = set(obs) if isinstance(obs, h5py.Group) else set()
    if {"joint_pos", "user_vel_state"} <= terms:
        return "lekiwi", [
            ColumnPart(source="obs/joint_pos", slice=_ARM_JOINTS),
            ColumnPart(source="obs/user_vel_state"),
        ]
    if {"left_joint_pos", "right_joint_pos"} <= terms:
        return "bi_so101", [ColumnPart(source="obs/left_joint_pos"), ColumnPart(source="obs/right_joint_pos")]
    if "joint_pos" in terms:
        return "so101", [ColumnPart(source="obs/joint_pos")]
    raise EpisodeRejected(
        "missing_dataset",
        f"{group.name}/obs has no joint_pos, nor left_joint_pos and right_joint_pos; "
        "map observation.state under `columns:`",
    )

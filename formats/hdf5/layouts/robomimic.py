"""robomimic, robosuite and RoboCasa: /data/demo_N with actions, obs and next_obs."""

from __future__ import annotations

from collections.abc import Sequence

import h5py

from ....core.errors import EpisodeRejected
from ..columns import Flip
from ..hdf5_file import lookup, member
from ..layout import Fact, Found, Layout, camera_columns, groups, json_attribute
from ..mapping import ColumnPart, ColumnSpec
from ..unrendered import unrendered

_JOINTS = ("joint_pos", "gripper_qpos")
_POSE = ("eef_pos", "eef_quat", "gripper_qpos")


class RobomimicLayout(Layout):
    """`action` from actions, `observation.state` from the robots' own sensors, all cameras of obs.

    The state is, for robot0, robot1 … in order, `joint_pos` and `gripper_qpos`; where a file keeps no
    joints, `eef_pos`, `eef_quat` (xyzw) and `gripper_qpos`. next_obs is never used: it repeats obs.
    Success is None (the format has no label); the instruction is RoboCasa's ep_meta.lang.
    """

    default_fps = 20
    copies = ("next_obs/",)
    row_counter = "num_samples"
    is_counter_exact = False
    states: Sequence[Sequence[str]] = ()

    @classmethod
    def matches(cls, file: h5py.File) -> bool:
        """True for /data with env_args; more specific layouts are asked before."""
        data = member(file, "data")
        return isinstance(data, h5py.Group) and "env_args" in data.attrs

    def keys(self, file: h5py.File) -> Sequence[str]:
        """Return data/demo_0, data/demo_1 … in natural order."""
        return [f"data/{name}" for name in groups(file, "data")]

    def default_columns(self, group: h5py.Group) -> dict[str, ColumnSpec]:
        """Return action, observation.state and every camera."""
        return {
            "action": ColumnSpec(source="actions"),
            "observation.state": self._state(group),
            **camera_columns(group, ("obs",), self.flip(group)),
        }

    def flip(self, group: h5py.Group) -> Flip:
        """Return how the file's frames differ from upright ones."""
        return "none"

    def file_task(self, group: h5py.Group) -> Found | None:
        """Return RoboCasa's instruction."""
        facts = json_attribute(group, "ep_meta")
        return Found(f"lang in attribute 'ep_meta' of {group.name}", facts["lang"]) if "lang" in facts else None

    def fallback_task(self, group: h5py.Group) -> Fact:
        """Return the environment's name."""
        name = json_attribute(group.parent, "env_args").get("env_name")
        return Fact(str(name), "env_name") if name else super().fallback_task(group)

    def file_fps(self, group: h5py.Group) -> Found | None:
        """Return control_freq from the env_kwargs of env_args."""
        arguments = json_attribute(group.parent, "env_args").get("env_kwargs")
        rate = arguments.get("control_freq") if isinstance(arguments, dict) else None
        return None if rate is None else Found(f"control_freq in attribute 'env_args' of {group.parent.name}", rate)

    def _state(self, group: h5py.Group) -> ColumnSpec:
        obs = lookup(group, "obs")
        names = set(obs) if isinstance(obs, h5py.Group) else set()
        robots = [f"robot{index}_" for index in range(len(names)) if any(n.startswith(f"robot{index}_") for n in names)]
        candidates = [
            *self.states,
            *([robot + term for robot in robots for term in terms] for terms in (_JOINTS, _POSE)),
        ]
        for terms in candidates:
            if terms and names.issuperset(terms):
                return ColumnSpec(source=[ColumnPart(source=f"obs/{term}") for term in terms])
        raise EpisodeRejected(
            "missing_dataset",
            unrendered(group)
            or f"{group.name}/obs has no robot0_joint_pos and robot0_gripper_qpos, nor other known sensors of a robot; "
            "map observation.state under `columns:`",
        )

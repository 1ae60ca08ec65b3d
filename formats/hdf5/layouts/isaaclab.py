"""Isaac Lab's recorder, also Mimic, Arena and EvalTasks: /data/demo_N with actions and obs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import h5py
import numpy as np

from ....core.errors import EpisodeRejected
from ..hdf5_file import lookup, member, searched_datasets
from ..layout import Fact, Found, Layout, camera_columns, found_at, groups, json_attribute
from ..mapping import ColumnPart, ColumnSpec, find_dataset

_TOLERANCE_RAD = 1e-3  # between a state and its observation; the simulator computes in float32
# The first that exists whole is the state: single arm, humanoids of Arena and EvalTasks, two arms.
_STATES = (("joint_pos",), ("robot_joint_pos",), ("left_joint_pos", "right_joint_pos"))


class IsaacLabLayout(Layout):
    """`action` from actions, `observation.state` from the joint positions, all cameras of obs and camera_obs.

    The state is `joint_pos`, else `robot_joint_pos`, else `left_joint_pos` and `right_joint_pos`, in obs
    or in one of the groups below it. Success is the demo's attribute, None where the recorder did not
    set it. Frames per second come from env_args (1 / (dt · decimation)) where the exporter wrote
    sim_args; the task is never in the file, and the environment's name stands in for it.
    """

    row_counter = "num_samples"
    is_counter_exact = False

    @classmethod
    def matches(cls, file: h5py.File) -> bool:
        """True for /data with env_args of type 2, or with demos that keep an initial_state."""
        data = member(file, "data")
        if not isinstance(data, h5py.Group):
            return False
        demos = groups(file, "data")
        first = member(data, demos[0]) if demos else None
        has_state = isinstance(first, h5py.Group) and member(first, "initial_state") is not None
        return has_state or json_attribute(data, "env_args").get("type") == 2

    def keys(self, file: h5py.File) -> Sequence[str]:
        """Return data/demo_0, data/demo_1 … in natural order."""
        return [f"data/{name}" for name in groups(file, "data")]

    def default_columns(self, group: h5py.Group) -> dict[str, ColumnSpec]:
        """Return action, observation.state and every camera."""
        return {
            "action": ColumnSpec(source="actions"),
            "observation.state": _state(group),
            **camera_columns(group, ("obs", "camera_obs")),
        }

    def absolute_state(self, group: h5py.Group) -> tuple[str, str] | None:
        """Return the dataset of joint positions in `states`, where the state does not repeat it.

        Isaac Lab's own tasks record `joint_pos_rel`, relative to the robot's default pose, under the name joint_pos
        (stack_env_cfg.py). `states` are those after the action of their row, `initial_state` that before the first.
        """
        source = self.default_columns(group)["observation.state"].parts[0].source
        recorded = find_dataset(group, source)[()]
        robots = member(group, "states/articulation")
        for robot in robots if isinstance(robots, h5py.Group) else ():
            place = f"articulation/{robot}/joint_position"
            path = f"states/{place}"
            states, first = member(group, path), member(group, f"initial_state/{place}")
            if isinstance(states, h5py.Dataset) and isinstance(first, h5py.Dataset) and states.shape == recorded.shape:
                offset = np.concatenate([first[()].reshape(1, -1), states[:-1]]) - recorded
                if np.abs(offset).max() <= _TOLERANCE_RAD:
                    return None
                is_constant = np.ptp(offset, axis=0).max() <= _TOLERANCE_RAD
                meaning = "is relative to the robot's default pose" if is_constant else "differs from the robot's state"
                return path, f"{source} {meaning}"
        return None

    def success(self, group: h5py.Group) -> Found | None:
        """Return the attribute `success`."""
        return found_at(group, "attr:success")

    def fallback_task(self, group: h5py.Group) -> Fact:
        """Return the environment's name."""
        name = json_attribute(group.parent, "env_args").get("env_name")
        return Fact(str(name), "env_name") if name else super().fallback_task(group)

    def file_fps(self, group: h5py.Group) -> Found | None:
        """Return 1 / (dt · decimation) from the sim_args of env_args."""
        arguments = json_attribute(group.parent, "env_args").get("sim_args")
        if not isinstance(arguments, dict) or not {"dt", "decimation"} <= arguments.keys():
            return None
        dt, decimation = arguments["dt"], arguments["decimation"]
        with suppress(TypeError, ValueError, ZeroDivisionError):
            rate = 1 / (float(dt) * float(decimation))
            return Found(f"1 / (dt · decimation) in attribute 'env_args' of {group.parent.name}", rate)
        where = f"dt and decimation in attribute 'env_args' of {group.parent.name}"
        return Found(where, f"{dt!r} and {decimation!r}")


def _state(group: h5py.Group) -> ColumnSpec:
    obs = lookup(group, "obs")
    paths = searched_datasets(obs) if isinstance(obs, h5py.Group) else {}
    folders = list(dict.fromkeys(path.rpartition("/")[0] for path in paths))
    for folder in sorted(folders, key=lambda path: path.count("/") if path else -1):
        prefix = f"{folder}/" if folder else ""
        for terms in _STATES:
            if all(prefix + term in paths for term in terms):
                return ColumnSpec(source=[ColumnPart(source=f"obs/{prefix}{term}") for term in terms])
    raise EpisodeRejected(
        "missing_dataset",
        f"{group.name}/obs has no joint_pos, robot_joint_pos or left_joint_pos and right_joint_pos; "
        "map observation.state under `columns:`",
    )

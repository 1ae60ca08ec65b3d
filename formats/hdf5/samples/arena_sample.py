"""Samples of Isaac Lab Arena and IsaacLabEvalTasks: humanoids and the DROID station, without a rate."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from ....core.columns import Array
from .isaaclab_sample import targets, write_recording
from .sample_spec import SampleSpec, action, state

# Entries of obs/robot_joint_pos and of processed_actions.
GR1 = (54, 36)
G1 = (43, 43)
DROID = (13, 8)

_EEF = {"left_eef_pos": 3, "left_eef_quat": 4, "right_eef_pos": 3, "right_eef_quat": 4}
_COMMANDS = {"base_height_cmd": 1, "navigate_cmd": 3, "torso_orientation_rpy_cmd": 3}


def write_gr1(spec: SampleSpec, folder: Path) -> list[Path]:
    """Write arena_gr1.hdf5, cameras in camera_obs with the suffix _rgb."""
    return _write(spec, folder / "arena_gr1.hdf5", "gr1_open_microwave", GR1, "camera_obs/{}_rgb")


def write_g1(spec: SampleSpec, folder: Path) -> list[Path]:
    """Write arena_g1.hdf5: also poses of the hands in obs, and in the group `action` these and the teleoperator's."""
    path = folder / "arena_g1.hdf5"
    return _write(spec, path, "galileo_g1_locomanip_pick_and_place", G1, "camera_obs/{}_rgb", is_whole_body=True)


def write_droid(spec: SampleSpec, folder: Path) -> list[Path]:
    """Write arena_droid.hdf5."""
    return _write(spec, folder / "arena_droid.hdf5", "droid_pick_and_place", DROID, "camera_obs/{}_rgb")


def write_evaltasks(spec: SampleSpec, folder: Path) -> list[Path]:
    """Write evaltasks.hdf5: a GR1 with its camera among the observations."""
    return _write(spec, folder / "evaltasks.hdf5", "Isaac-NutPour-GR1T2-ClosedLoop-v0", GR1, "obs/{}")


def _write(
    spec: SampleSpec, path: Path, task: str, joints: tuple[int, int], camera: str, is_whole_body: bool = False
) -> list[Path]:
    vectors = partial(_vectors, joints=joints, is_whole_body=is_whole_body)
    return [write_recording(spec, path, {"env_name": task, "type": 2}, vectors, camera)]


def _vectors(spec: SampleSpec, episode: int, joints: tuple[int, int], is_whole_body: bool) -> dict[str, Array]:
    position = state(episode, spec.frames, joints[0], spec.seed)
    vectors = targets(action(episode, spec.frames, joints[1], spec.seed), position)
    vectors |= {"obs/robot_joint_pos": position}
    if is_whole_body:
        vectors |= _terms(spec, episode, "obs", _EEF) | _terms(spec, episode, "action", _EEF | _COMMANDS)
    return vectors


def _terms(spec: SampleSpec, episode: int, group: str, widths: dict[str, int]) -> dict[str, Array]:
    """Return the terms of a group, each with signals of its own."""
    places = np.cumsum([0, *widths.values()]).tolist()
    values = state(episode, spec.frames, places[-1], spec.seed + (group == "action"))
    return {
        f"{group}/{name}": values[:, first : first + widths[name]] for name, first in zip(widths, places, strict=False)
    }

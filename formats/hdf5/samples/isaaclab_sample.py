"""Samples of Isaac Lab's recorder, and what its descendants' samples share."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import h5py
import numpy as np

from ....core.columns import Array
from .pictures import pictures
from .sample_spec import SampleSpec, action, state, velocity
from .storage import write_frames, write_vectors

JOINTS = 7

# The arrays of an episode by path.
Vectors: TypeAlias = Callable[[SampleSpec, int], Mapping[str, Array]]


def write_isaaclab(spec: SampleSpec, folder: Path) -> list[Path]:
    """Write isaaclab.hdf5: the rate in sim_args, cameras under obs; automatic chunks if compressed."""
    simulation = {"dt": 1 / (2 * spec.fps), "decimation": 2, "render_interval": 2, "num_envs": 1}
    facts = {"env_name": "Isaac-Sample-Reach-v0", "type": 2, "sim_args": simulation}
    return [write_recording(spec, folder / "isaaclab.hdf5", facts, lambda s, e: arm_vectors(s, e, JOINTS))]


def write_recording(
    spec: SampleSpec,
    path: Path,
    facts: Mapping[str, Any],
    vectors: Vectors,
    camera: str = "obs/{}",
    chunk_rows: int | None = None,
) -> Path:
    """Write a file of the recorder.

    Args:
        spec: What it is to hold.
        path: The file.
        facts: The content of env_args.
        vectors: Gives the arrays of an episode.
        camera: Path of a camera in an episode, {} for its name.
        chunk_rows: See `write_frames`.
    """
    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        data.attrs["env_args"] = json.dumps(facts)
        data.attrs["total"] = spec.episodes * spec.frames
        for episode in range(spec.episodes):
            demo = data.create_group(f"demo_{episode}")
            demo.attrs["num_samples"] = spec.frames
            demo.attrs["seed"] = spec.seed
            if (success := spec.success(episode)) is not None:
                demo.attrs["success"] = success
            write_vectors(demo, vectors(spec, episode), spec)
            for number, name in enumerate(spec.cameras):
                frames = pictures(spec.frames, spec.height, spec.width, number, spec.seed)
                write_frames(demo, camera.format(name), frames, spec, chunk_rows=chunk_rows)
    return path


def arm_vectors(spec: SampleSpec, episode: int, joints: int) -> dict[str, Array]:
    """Return what the recorder keeps of one arm."""
    position = state(episode, spec.frames, joints, spec.seed)
    target = action(episode, spec.frames, joints, spec.seed)
    speed = velocity(episode, spec.frames, joints, spec.fps, spec.seed)
    return {
        **targets(target, position),
        "obs/joint_pos": position,
        "obs/joint_vel": speed,
        "initial_state/articulation/robot/joint_velocity": speed[:1],
    }


def targets(target: Array, position: Array) -> dict[str, Array]:
    """Return what the recorder keeps of every robot: its actions, and the states that they lead to."""
    pose = np.tile(np.array([0, 0, 0, 1, 0, 0, 0], np.float32), (len(target), 1))
    robot = "articulation/robot"
    return {
        "actions": target,
        "processed_actions": target,
        "obs/actions": np.concatenate([np.zeros_like(target[:1]), target[:-1]]),
        f"initial_state/{robot}/joint_position": position[:1],
        f"initial_state/{robot}/root_pose": pose[:1],
        f"states/{robot}/joint_position": np.concatenate([position[1:], position[-1:]]),
        f"states/{robot}/root_pose": pose,
    }

"""Samples of Isaac Lab's recorder, and of LeIsaac's streaming one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from .pictures import pictures
from .signals import action, state, velocity
from .spec import SampleSpec
from .storage import write_frames, write_vectors

ISAACLAB_JOINTS = 7
LEISAAC_JOINTS = 6
FLUSH_STEPS = 100


def write_isaaclab(spec: SampleSpec, folder: Path) -> list[Path]:
    """Write isaaclab.hdf5: the rate in sim_args, cameras under obs; automatic chunks if compressed."""
    simulation = {"dt": 1 / (2 * spec.fps), "decimation": 2, "render_interval": 2, "num_envs": 1}
    facts = {"env_name": "Isaac-Sample-Reach-v0", "type": 2, "sim_args": simulation}
    return [_write(spec, folder / "isaaclab.hdf5", facts, ISAACLAB_JOINTS, chunk_rows=None)]


def write_leisaac(spec: SampleSpec, folder: Path) -> list[Path]:
    """Write leisaac.hdf5: an SO-101, chunks of 100 whole rows, lzf unless the spec says otherwise, no rate."""
    facts = {"env_name": "LeIsaac-SO101-PickOrange-v0", "type": 2}
    spec = replace(spec, compression=spec.compression or "lzf")
    return [_write(spec, folder / "leisaac.hdf5", facts, LEISAAC_JOINTS, chunk_rows=FLUSH_STEPS)]


def _write(spec: SampleSpec, path: Path, facts: dict[str, Any], joints: int, chunk_rows: int | None) -> Path:
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
            write_vectors(demo, _vectors(spec, episode, joints), spec)
            for number, camera in enumerate(spec.cameras):
                frames = pictures(spec.frames, spec.height, spec.width, number, spec.seed)
                write_frames(demo, f"obs/{camera}", frames, spec, chunk_rows=chunk_rows)
    return path


def _vectors(spec: SampleSpec, episode: int, joints: int) -> dict[str, Any]:
    position = state(episode, spec.frames, joints, spec.seed)
    target = action(episode, spec.frames, joints, spec.seed)
    speed = velocity(episode, spec.frames, joints, spec.fps, spec.seed)
    pose = np.tile(np.array([0, 0, 0, 1, 0, 0, 0], np.float32), (spec.frames, 1))
    robot = "articulation/robot"
    return {
        "actions": target,
        "processed_actions": target,
        "obs/actions": np.concatenate([position[:1], target[:-1]]),
        "obs/joint_pos": position,
        "obs/joint_vel": speed,
        f"initial_state/{robot}/joint_position": position[:1],
        f"initial_state/{robot}/joint_velocity": speed[:1],
        f"initial_state/{robot}/root_pose": pose[:1],
        f"states/{robot}/joint_position": target,
        f"states/{robot}/root_pose": pose,
    }

"""Samples of robomimic and of LIBERO."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from .pictures import pictures
from .sample_spec import SampleSpec, action, state
from .storage import write_frames, write_vectors

ROBOMIMIC_JOINTS = 9
ACTIONS = 7
INSTRUCTION = "open the top drawer of the cabinet"


def write_robomimic(spec: SampleSpec, folder: Path) -> list[Path]:
    """Write robomimic.hdf5: 7 joints and 2 fingers, next_obs, a train mask, no instruction."""
    path = folder / "robomimic.hdf5"
    with h5py.File(path, "w") as file:
        parts = {"robot0_joint_pos": (0, 7), "robot0_gripper_qpos": (7, 9)}
        motions = [
            (state(episode, spec.frames, ROBOMIMIC_JOINTS, spec.seed), action(episode, spec.frames, ACTIONS, spec.seed))
            for episode in range(spec.episodes)
        ]
        _write(file, spec, parts, motions, "{}_image")
        names = [f"demo_{episode}" for episode in range(spec.episodes)]
        file.create_dataset("mask/train", data=np.array(names, dtype="S"))
        for name in names:
            file.copy(f"data/{name}/obs/robot0_joint_pos", file[f"data/{name}"], "next_obs/robot0_joint_pos")
    return [path]


def write_libero(spec: SampleSpec, folder: Path) -> list[Path]:
    """Write an official LIBERO file: row t is after action t, the instruction in problem_info, frames upside down."""
    path = folder / "KITCHEN_SCENE1_open_the_top_drawer_of_the_cabinet_demo.hdf5"
    with h5py.File(path, "w") as file:
        parts = {"ee_states": (0, 6), "gripper_states": (6, 8)}
        motions = [libero_motion(episode, spec.frames, spec.seed) for episode in range(spec.episodes)]
        _write(file, spec, parts, motions, "{}_rgb", upside_down=True)
        data = file["data"]
        data.attrs["problem_info"] = json.dumps({"language_instruction": f'"{INSTRUCTION}"'})
        data.attrs["macros_image_convention"] = "opengl"
        data.attrs["num_demos"] = spec.episodes
    return [path]


def libero_motion(episode: int, frames: int, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return states (frames, 8) and actions (frames, 7) of a hand: state t is after action t.

    A whole action moves the hand by 5 cm or 0.05 rad. The gripper opens (-1) until half of the frames, then closes (1).
    """
    actions = np.random.default_rng([seed, episode]).uniform(-1, 1, (frames, ACTIONS))
    actions[:, 6] = np.where(np.arange(frames) < frames // 2, -1, 1)
    finger = 0.02 - 0.01 * actions[:, 6:]
    poses = np.array([0.4, 0, 0.9, 3, 0, 0]) + np.cumsum(0.05 * actions[:, :6], axis=0)
    return np.hstack([poses, finger, -finger]).astype(np.float32), actions.astype(np.float32)


def _write(
    file: h5py.File,
    spec: SampleSpec,
    parts: dict[str, tuple[int, int]],
    motions: list[tuple[NDArray[np.float32], NDArray[np.float32]]],
    camera_name: str,
    upside_down: bool = False,
) -> None:
    data = file.create_group("data")
    facts = {"env_name": "Sample_Drawer", "type": 1, "env_kwargs": {"control_freq": spec.fps}}
    data.attrs["env_args"] = json.dumps(facts)
    data.attrs["total"] = spec.episodes * spec.frames
    for episode, (states, actions) in enumerate(motions):
        demo = data.create_group(f"demo_{episode}")
        demo.attrs["num_samples"] = spec.frames
        last = np.zeros(spec.frames, np.uint8)
        last[-1] = 1
        vectors: dict[str, Any] = {
            "actions": actions,
            "dones": last,
            "rewards": last,
            **{f"obs/{name}": states[:, first:stop] for name, (first, stop) in parts.items()},
        }
        write_vectors(demo, vectors, spec)
        for number, camera in enumerate(spec.cameras):
            frames = pictures(spec.frames, spec.height, spec.width, number, spec.seed)
            stored = (np.ascontiguousarray(frame[::-1]) for frame in frames) if upside_down else frames
            write_frames(demo, f"obs/{camera_name.format(camera)}", stored, spec)

"""Samples of robomimic and of LIBERO."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from .pictures import pictures
from .sample_spec import SampleSpec, action, state
from .storage import write_frames, write_vectors

ROBOMIMIC_JOINTS = 9
LIBERO_STATES = 8
ACTIONS = 7
INSTRUCTION = "open the top drawer of the cabinet"


def write_robomimic(spec: SampleSpec, folder: Path) -> list[Path]:
    """Write robomimic.hdf5: 7 joints and 2 fingers, next_obs, a train mask, no instruction."""
    path = folder / "robomimic.hdf5"
    with h5py.File(path, "w") as file:
        _write(file, spec, {"robot0_joint_pos": (0, 7), "robot0_gripper_qpos": (7, 9)}, ROBOMIMIC_JOINTS, "{}_image")
        names = [f"demo_{episode}" for episode in range(spec.episodes)]
        file.create_dataset("mask/train", data=np.array(names, dtype="S"))
        for name in names:
            file.copy(f"data/{name}/obs/robot0_joint_pos", file[f"data/{name}"], "next_obs/robot0_joint_pos")
    return [path]


def write_libero(spec: SampleSpec, folder: Path) -> list[Path]:
    """Write a LIBERO file: the instruction in problem_info, frames upside down as opengl has them."""
    path = folder / "KITCHEN_SCENE1_open_the_top_drawer_of_the_cabinet_demo.hdf5"
    with h5py.File(path, "w") as file:
        parts = {"ee_states": (0, 6), "gripper_states": (6, 8)}
        _write(file, spec, parts, LIBERO_STATES, "{}_rgb", upside_down=True)
        data = file["data"]
        data.attrs["problem_info"] = json.dumps({"language_instruction": f'"{INSTRUCTION}"'})
        data.attrs["macros_image_convention"] = "opengl"
        data.attrs["num_demos"] = spec.episodes
    return [path]


def _write(
    file: h5py.File,
    spec: SampleSpec,
    parts: dict[str, tuple[int, int]],
    width: int,
    camera_name: str,
    upside_down: bool = False,
) -> None:
    data = file.create_group("data")
    facts = {"env_name": "Sample_Drawer", "type": 1, "env_kwargs": {"control_freq": spec.fps}}
    data.attrs["env_args"] = json.dumps(facts)
    data.attrs["total"] = spec.episodes * spec.frames
    for episode in range(spec.episodes):
        demo = data.create_group(f"demo_{episode}")
        demo.attrs["num_samples"] = spec.frames
        values = state(episode, spec.frames, width, spec.seed)
        last = np.zeros(spec.frames, np.uint8)
        last[-1] = 1
        vectors: dict[str, Any] = {
            "actions": action(episode, spec.frames, ACTIONS, spec.seed),
            "dones": last,
            "rewards": last,
            **{f"obs/{name}": values[:, first:stop] for name, (first, stop) in parts.items()},
        }
        write_vectors(demo, vectors, spec)
        for number, camera in enumerate(spec.cameras):
            frames = pictures(spec.frames, spec.height, spec.width, number, spec.seed)
            stored = (np.ascontiguousarray(frame[::-1]) for frame in frames) if upside_down else frames
            write_frames(demo, f"obs/{camera_name.format(camera)}", stored, spec)

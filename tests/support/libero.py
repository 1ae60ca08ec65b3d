"""Recordings of LIBERO as its own creator writes them, and as any4lerobot regenerates them, of one known motion."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np

STEPS = 24
SIZE = {"official": 128, "regenerated": 256}
TASK = "put the bowl on the plate"
OPEN, CLOSE = -1.0, 1.0  # the gripper's commands


def commands(episode: int, steps: int = STEPS) -> np.ndarray:
    """Return recorded actions (steps, 7): a motion as of a person's hand, and a gripper that opens and closes."""
    rng = np.random.default_rng(episode)
    motion = np.stack([np.convolve(rng.normal(size=steps + 4), np.ones(5) / 3, "valid") for _ in range(6)], axis=1)
    return np.column_stack([np.clip(motion, -1, 1), np.where(np.arange(steps) // 4 % 2, CLOSE, OPEN)])


def states(actions: np.ndarray) -> np.ndarray:
    """Return pose and fingers (steps + 1, 8): before the first action, then after each; a whole action is 5 cm."""
    poses = np.zeros((len(actions) + 1, 8))
    poses[:, :6] = [0.4, 0, 0.9, 3, 0, 0]
    poses[1:, :6] += np.cumsum(0.05 * actions[:, :6], axis=0)
    poses[:, 6] = np.arange(len(poses)) / 1000
    poses[:, 7] = -poses[:, 6]
    return poses


def picture(step: int, camera: int, size: int) -> np.ndarray:
    """Return a camera's view after so many steps, upright: each of its eight orientations is another picture."""
    cells = np.array([[30, 60, 90, 0], [0, 120, 0, 0], [0, 0, 150, 0], [180, 0, 0, 210]], np.uint8)
    cells[3, 1:3] = 40 + 7 * (step % 30), 60 + 120 * camera
    return np.repeat(np.kron(cells, np.ones((size // 4, size // 4), np.uint8))[..., None], 3, axis=2)


def write_libero(
    folder: Path, kind: str, *, episodes: int = 2, steps: int = STEPS, convention: str = "opengl", seed: int = 0
) -> Path:
    """Write a file of either kind; episode n has the actions `commands(seed + n)`.

    Row t of an official file is the view after action t, as the renderer gives it: upside down in the convention
    "opengl". That of a regenerated file is the view before it, in that convention, rotated by 180 degrees.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"KITCHEN_SCENE1_{TASK.replace(' ', '_')}_demo.hdf5"
    is_official = kind == "official"
    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        if is_official:
            data.attrs["problem_info"] = json.dumps({"language_instruction": f'"{TASK}"'})
            data.attrs["macros_image_convention"] = convention
            data.attrs["env_args"] = json.dumps({"type": 1, "env_kwargs": {"control_freq": 20}})
        for episode in range(episodes):
            demo, actions = data.create_group(f"demo_{episode}"), commands(seed + episode, steps)
            seen = np.arange(steps) + is_official
            last = (np.arange(steps) == steps - 1).astype(np.uint8)
            demo["actions"], demo["dones"], demo["rewards"] = actions, last, last
            demo["obs/ee_states"], demo["obs/gripper_states"] = np.split(states(actions)[seen], [6], axis=1)
            for camera, name in enumerate(("agentview_rgb", "eye_in_hand_rgb")):
                upright = np.stack([picture(int(step), camera, SIZE[kind]) for step in seen])
                rendered = upright[:, ::-1] if convention == "opengl" else upright
                demo[f"obs/{name}"] = rendered if is_official else rendered[:, ::-1, ::-1]
            if is_official:
                demo.attrs["num_samples"] = steps
    return path

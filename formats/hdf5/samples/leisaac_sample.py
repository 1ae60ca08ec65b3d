"""Samples of LeIsaac's streaming recorder: one SO-101, two, and a LeKiwi."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from ....core.columns import Array
from .isaaclab_sample import Vectors, arm_vectors, targets, write_recording
from .sample_spec import SampleSpec, action, state, velocity

ARM_JOINTS = 6
FLUSH_STEPS = 100


def write_so101(spec: SampleSpec, folder: Path) -> list[Path]:
    """Write leisaac.hdf5: an SO-101, chunks of 100 whole rows, lzf unless the spec says otherwise, no rate."""
    return _write(spec, folder / "leisaac.hdf5", "SO101-PickOrange", lambda s, e: arm_vectors(s, e, ARM_JOINTS))


def write_bi_so101(spec: SampleSpec, folder: Path) -> list[Path]:
    """Write leisaac_bi_so101.hdf5: two arms, the left one's six joints first in the actions."""
    return _write(spec, folder / "leisaac_bi_so101.hdf5", "SO101-CleanToyTable-BiArm", _two_arms)


def write_lekiwi(spec: SampleSpec, folder: Path) -> list[Path]:
    """Write leisaac_lekiwi.hdf5: nine joints, and the speed of the base as the user sees and commands it."""
    return _write(spec, folder / "leisaac_lekiwi.hdf5", "LeKiwi-CleanupTrash", _arm_on_wheels)


def _write(spec: SampleSpec, path: Path, task: str, vectors: Vectors) -> list[Path]:
    facts = {"env_name": f"LeIsaac-{task}-v0", "type": 2}
    spec = replace(spec, compression=spec.compression or "lzf")
    return [write_recording(spec, path, facts, vectors, chunk_rows=FLUSH_STEPS)]


def _two_arms(spec: SampleSpec, episode: int) -> dict[str, Array]:
    joints = 2 * ARM_JOINTS
    position = state(episode, spec.frames, joints, spec.seed)
    target = action(episode, spec.frames, joints, spec.seed)
    speed = velocity(episode, spec.frames, joints, spec.fps, spec.seed)
    arms = {"left": slice(0, ARM_JOINTS), "right": slice(ARM_JOINTS, joints)}
    return {
        **targets(target, position),
        **{f"obs/{side}_joint_pos": position[:, part] for side, part in arms.items()},
        **{f"obs/{side}_joint_vel": speed[:, part] for side, part in arms.items()},
        **{f"obs/{side}_joint_pos_target": target[:, part] for side, part in arms.items()},
    }


def _arm_on_wheels(spec: SampleSpec, episode: int) -> dict[str, Array]:
    """State and action are the six of the arm and three speeds; what the simulator has of the base is another thing."""
    position = state(episode, spec.frames, ARM_JOINTS + 3, spec.seed)
    target = action(episode, spec.frames, ARM_JOINTS + 3, spec.seed)
    base = np.float32(2)
    recorded, driven = position.copy(), target.copy()
    recorded[:, ARM_JOINTS:] += base
    driven[:, ARM_JOINTS:] += base
    return {
        **targets(driven, recorded),
        "obs/joint_pos": recorded,
        "obs/joint_vel": velocity(episode, spec.frames, ARM_JOINTS + 3, spec.fps, spec.seed),
        "obs/user_vel_state": position[:, ARM_JOINTS:],
        "obs/user_vel_action": target[:, ARM_JOINTS:],
    }

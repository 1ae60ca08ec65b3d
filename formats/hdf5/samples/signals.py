"""The known values of sample files: smooth, within every joint's limits, never zero."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def state(episode: int, frames: int, joints: int, seed: int = 0, first: int = 0) -> NDArray[np.float32]:
    """Return joint positions (frames, joints) in radians, from frame `first` on.

    0.5 + 0.4·sin(0.05·frame + joint + 0.3·episode + seed), so between 0.1 and 0.9.
    """
    frame = np.arange(first, first + frames)[:, None]
    phase = 0.05 * frame + np.arange(joints)[None, :] + 0.3 * episode + seed
    values: NDArray[np.float32] = (0.5 + 0.4 * np.sin(phase)).astype(np.float32)
    return values


def action(episode: int, frames: int, joints: int, seed: int = 0) -> NDArray[np.float32]:
    """Return joint targets (frames, joints): the state one frame later."""
    return state(episode, frames, joints, seed, first=1)


def velocity(episode: int, frames: int, joints: int, fps: int, seed: int = 0) -> NDArray[np.float32]:
    """Return (frames, joints) in rad/s: how far the target is from the state, times the rate."""
    return (action(episode, frames, joints, seed) - state(episode, frames, joints, seed)) * np.float32(fps)

"""Spec of a sample file, and the signals that its vectors follow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ....core.errors import UsageError

Compression: TypeAlias = Literal["gzip", "lzf"]
MIN_SIDE = 48  # the marker needs it


@dataclass(frozen=True, slots=True)
class SampleSpec:
    """The arguments of `write_sample`, checked.

    Raises:
        UsageError: If one does not fit.
    """

    episodes: int
    frames: int
    height: int
    width: int
    cameras: tuple[str, ...]
    seed: int
    compression: Compression | None
    fps: int

    def __post_init__(self) -> None:
        limits = {"episodes": 1, "frames": 1, "height": MIN_SIDE, "width": MIN_SIDE, "fps": 1}
        for name, least in limits.items():
            if getattr(self, name) < least:
                raise UsageError(f"sample, {name}", f"{getattr(self, name)} is too small", f"at least {least}")
        if len(set(self.cameras)) < len(self.cameras) or not all(self.cameras) or "/" in "".join(self.cameras):
            raise UsageError("sample, cameras", f"{self.cameras} do not fit", "different names without '/'")

    def success(self, episode: int) -> bool | None:
        """Return the label of an episode: the last failed; of four or more, the one before has none."""
        if episode == self.episodes - 1:
            return False
        return None if self.episodes >= 4 and episode == self.episodes - 2 else True


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

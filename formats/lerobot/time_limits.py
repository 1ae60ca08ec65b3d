"""Time limits of LeRobot: lengths and timestamps that its releases can load."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SAFE_S = 1024  # below, float32 holds times to 2⁻¹⁵ s, and two rounded ones are less than the tolerance apart
TOLERANCE_S = 1e-4
_BATCH = 1 << 20


def is_lost(
    found: NDArray[np.floating], exact: NDArray[np.float64], tolerance: float = TOLERANCE_S
) -> NDArray[np.bool_]:
    """Return which times (n,) LeRobot would not take for those of their frames.

    float32 holds times below 1,024 s to less than LeRobot's tolerance, and those beyond 4,096 s only to 0.5 ms: the
    step of float32 from one number to the next is allowed where it is larger than the tolerance.

    Args:
        found: Times (n,) in seconds as stored; NaN is lost.
        exact: frame_index / fps, (n,).
        tolerance: In seconds.
    """
    nearest = exact.astype(np.float32)
    with np.errstate(invalid="ignore"):
        kept: NDArray[np.bool_] = np.abs(found - nearest) <= np.maximum(tolerance, np.spacing(nearest))
    return ~kept  # not `>`: NaN must not pass


def is_too_long_for_v21(length: int, fps: int) -> bool:
    """True if LeRobot 0.3.3 refuses to load a v2.1 dataset with an episode of this length.

    It compares the stored times, float32 of frame/fps, with their neighbours, in float32
    (`check_timestamps_sync` in lerobot 0.3.3, datasets/utils.py). Whether that fails beyond 1,024 s
    depends on the frame rate: at 30 fps it does, at 10 fps only beyond 2,048 s, at 8 fps never.

    Args:
        length: Frames of the episode.
        fps: Frames per second.
    """
    for first in range(SAFE_S * fps - 1, length - 1, _BATCH):
        frames = np.arange(first, min(first + _BATCH + 1, length))
        steps = np.diff((frames / fps).astype(np.float32))
        if np.any(np.abs(steps - np.float32(1 / fps)) > np.float32(TOLERANCE_S)):
            return True
    return False

"""Proof that a file which was just written holds the frames that it should."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .mp4_boxes import Unusual
from .mp4_keyframes import parameters_within, read_keyframes
from .mp4_table import read_table
from .probe import probe


def prove(path: Path, frames: int, fps: int) -> None:
    """Make sure that a file begins with a keyframe, and has frame k at exactly k/fps s, for k below `frames`.

    An ordinary file is proven by its tables and the first bytes of its keyframes, any other packet by packet.

    Raises:
        RobotroveError: See `probe`.
    """
    if not _is_listed(path, frames, fps):
        probe(path, expected_frames=frames, fps=fps, in_order=False)


def _is_listed(path: Path, frames: int, fps: int) -> bool:
    try:
        table = read_table(path)
        # Bytes at the wrong place would look like anything but keyframes.
        parameters_within(table)
        _, own = read_keyframes(table, np.flatnonzero(table.keyframes))
    except Unusual:
        return False
    times = np.sort(table.pts) * (table.time_base.numerator * fps)
    is_exact = np.array_equal(times, np.arange(frames) * table.time_base.denominator)
    return is_exact and table.pts[0] == 0 and bool(table.keyframes[0]) and bool(own.all())

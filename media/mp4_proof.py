"""Proof that a file holds the frames that it should: of an ordinary one by its tables, of any other by its packets."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .index import encoding_of_table
from .mp4_boxes import Unusual
from .mp4_keyframes import parameters_within, read_keyframes
from .mp4_table import SampleTable, read_table
from .probe import VideoInfo, probe


def prove(path: Path, frames: int, fps: int) -> None:
    """Make sure that a file begins with a keyframe, and has frame k at exactly k/fps s, for k below `frames`.

    An ordinary file is proven by its tables and the first bytes of its keyframes, any other packet by packet.

    Raises:
        RobotroveError: See `probe`.
    """
    try:
        is_proven = len(_proven(path, fps).sizes) == frames
    except Unusual:
        is_proven = False
    if not is_proven:
        probe(path, expected_frames=frames, fps=fps, in_order=False)


def survey(path: Path, fps: int) -> VideoInfo:
    """Return what `probe` does where frames may be stored in any order, without demuxing an ordinary file.

    Raises:
        RobotroveError: See `probe`.
    """
    try:
        table = _proven(path, fps)
        kind = encoding_of_table(table)
    except Unusual:
        return probe(path, fps=fps, in_order=False)
    keyframes = tuple(np.sort(_frames(table, fps)[table.keyframes]).tolist())
    return VideoInfo(len(table.sizes), kind.width, kind.height, Fraction(fps), kind.codec, kind.pix_fmt, keyframes)


def _proven(path: Path, fps: int) -> SampleTable:
    """Return the tables of a file with frame k at exactly k/fps s; Unusual if they do not prove that."""
    table = read_table(path)
    # Bytes at the wrong place would look like anything but keyframes.
    parameters_within(table)
    _, own = read_keyframes(table, np.flatnonzero(table.keyframes))
    frames = _frames(table, fps)
    is_exact = np.array_equal(frames * table.time_base.denominator, table.pts * (table.time_base.numerator * fps))
    is_whole = np.array_equal(np.sort(frames), np.arange(len(frames)))
    if not (is_exact and is_whole and table.pts[0] == 0 and table.keyframes[0] and own.all()):
        raise Unusual
    return table


def _frames(table: SampleTable, fps: int) -> NDArray[np.int64]:
    """Return the number of each frame in the order in which they are stored: (n,)."""
    return table.pts * (table.time_base.numerator * fps) // table.time_base.denominator

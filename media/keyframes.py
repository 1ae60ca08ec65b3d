"""Which frames of a video can be sought."""

from __future__ import annotations

from pathlib import Path

from .grid import Grid
from .track import open_track, packets


def keyframes(path: Path, fps: int) -> list[int]:
    """Return the numbers of a file's keyframes in display order, ascending; nothing is decoded.

    Args:
        path: Video file at a constant rate (`probe` and `read_index` say whether it is so).
        fps: Frames per second.

    Raises:
        RobotroveError: If the file cannot be read, or a keyframe is at the time of no frame.
    """
    with open_track(path) as (container, stream):
        grid = Grid(path, stream, fps)
        return sorted(grid.frame(packet.pts) for packet in packets(path, container, stream) if packet.is_keyframe)

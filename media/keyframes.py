"""Which frames of a video can be sought."""

from __future__ import annotations

from pathlib import Path

from .track import open_track, ticks_per_frame


def keyframes(path: Path, fps: int) -> list[int]:
    """Return the indices of a file's keyframes, ascending; nothing is decoded.

    Args:
        path: Video file with frame k at k/fps s (`probe` says whether it is so).
        fps: Frames per second.

    Raises:
        RobotroveError: If the file cannot be read.
    """
    with open_track(path) as (container, stream):
        ticks = ticks_per_frame(path, stream, fps)
        return sorted(
            packet.pts // ticks
            for packet in container.demux(stream)
            if packet.size and packet.is_keyframe and packet.pts is not None
        )

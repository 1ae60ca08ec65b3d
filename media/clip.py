"""Runs of frames of video files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Clip:
    """A run of frames of one file.

    Attributes:
        path: Video file.
        first: Number of the first frame in display order; the first one of a file is frame 0, whatever its time.
        frames: Number of frames.
    """

    path: Path
    first: int
    frames: int

    def __str__(self) -> str:
        return f"the clip of frames {self.first} to {self.first + self.frames - 1}"

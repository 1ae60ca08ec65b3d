"""Frame times: the frame that a time in a file stands for."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ...core.errors import RobotroveError


class Timed(Protocol):
    """A video as far as its times matter: a stream of PyAV, or a `SampleTable`."""

    @property
    def time_base(self) -> Fraction | None:
        """Unit of time in seconds."""

    @property
    def start_time(self) -> int | None:
        """Time of the first frame, in units of time."""


class Grid:
    """Times of frames at a constant rate, counted from the first frame, whenever that is shown.

    Time bases such as 1/1000 s hold 1/30 s only approximately: a time stands for a frame if it is at
    most a quarter of a frame off.

    Args:
        path: File, for errors.
        track: Its video.
        fps: Frames per second.

    Attributes:
        rate: Frames per second.

    Raises:
        RobotroveError: If the video has no time base.
    """

    def __init__(self, path: Path, track: Timed, fps: int | Fraction) -> None:
        if not track.time_base:
            raise RobotroveError(str(path), "the video stream has no time base")
        self.rate = Fraction(fps)
        self._path = path
        self._time_base = track.time_base
        self._origin = track.start_time or 0
        self._ticks = 1 / (fps * track.time_base)
        # In integers: frame = (pts - origin) * per / span, a quarter of a frame is span / 4.
        self._per, self._span = 4 * self._ticks.denominator, 4 * self._ticks.numerator
        self._quarter, self._half = self._ticks.numerator, 2 * self._ticks.numerator

    @property
    def start(self) -> int:
        """Number of frame times between 0 s and the first frame."""
        return round(self._origin / self._ticks)

    def frame(self, pts: int | None) -> int:
        """Return the number of the frame shown at a time; RobotroveError if there is none.

        Args:
            pts: Time in units of the stream's time base.
        """
        if pts is None:
            raise RobotroveError(str(self._path), "a frame has no time")
        time = (pts - self._origin) * self._per + self._quarter
        frame = time // self._span
        if time - frame * self._span > self._half:
            raise self._off(frame, pts)
        return frame

    def frames(self, pts: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the same for many times at once, (n,) int64."""
        frames, rest = np.divmod((pts - self._origin) * self._per + self._quarter, self._span)
        off = np.flatnonzero(rest > self._half)
        if off.size:
            first = off[pts[off].argmin()]
            raise self._off(int(frames[first]), int(pts[first]))
        return frames

    def pts_within(self, frame: int) -> int:
        """Return a time by which a frame is certainly shown, and the next one certainly not."""
        return self._origin + int((frame + Fraction(1, 4)) * self._ticks)

    def delay(self, pts: int | None, dts: int | None) -> int | None:
        """Return how many frames before it is shown a frame is to be decoded; None if that is not known."""
        return None if pts is None or dts is None else round((pts - dts) / self._ticks)

    def _off(self, frame: int, pts: int) -> RobotroveError:
        return RobotroveError(
            str(self._path),
            f"a frame is shown at {pts}, between the times of frames {frame} and {frame + 1} "
            f"(in units of {self._time_base} s)",
            f"frame k shown k/{self.rate} s after the first one, which is shown at {self._origin}",
        )

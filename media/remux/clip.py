"""Clip: a run of frames of a video file, and its encoding. Light: reading a dataset's rows needs no PyAV."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Clip:
    """A run of frames of one file.

    Attributes:
        path: Video file.
        first: Number of the first frame in display order; the first one of a file is frame 0, whatever its time.
        frames: Number of frames.
        rate: Frames per second of the file, if it is played at another rate than its dataset.
    """

    path: Path
    first: int
    frames: int
    rate: Fraction | None = None

    def __str__(self) -> str:
        return f"the clip of frames {self.first} to {self.first + self.frames - 1}"


@dataclass(frozen=True, slots=True)
class Encoding:
    """Encoding of a video.

    Attributes:
        codec: ``av1``, ``h264``, ``hevc`` …
        width: Pixels per row.
        height: Rows.
        pix_fmt: Pixel format.
        extradata: Start of the SHA-256 of the codec's parameters, 16 hexadecimal digits.
    """

    codec: str
    width: int
    height: int
    pix_fmt: str
    extradata: str

    def is_like(self, other: Encoding) -> bool:
        """Return True if codec, size and pixel format are the same; parameters may differ."""
        mine, others = ((e.codec, e.width, e.height, e.pix_fmt) for e in (self, other))
        return mine == others


def rate_text(rate: Fraction) -> str:
    """Return frames per second in at most six digits: 15, 29.97."""
    return f"{float(rate):.6g}"

"""Camera check: frames of a dataset against those of its recording, in colour and order."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ...core.columns import Column
from ...core.errors import RobotroveError
from ...media.encode.encoder import make_encoder
from ...media.encode.settings import VideoSettings
from ...media.image.pixels import Pixels
from ...media.remux.clip import Clip
from ...media.video.probe import iter_frames

BLOCK = 16
BLOCK_LEVELS = 14.0  # ordinary encodings stay below; above, encoding the source again decides
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601-7, 2.5.1
# Levels; encoders blur or leave out what differs by less. Between whole levels, since sums of products are rounded
# otherwise on other CPUs.
_VISIBLE = 20.5
_FEWEST = 16  # pixels that a verdict may rest on

_SAMPLES = 5
_SWAPPED = "red and blue are swapped"
_EARLIER = "is more like the source's frame before its own"
_LATER = "is more like the source's frame after its own"
OTHER_FRAME = "is not the source's frame"

# Source frames: the one before, its own, the one after; None past the ends.
_Window: TypeAlias = tuple[Pixels | None, Pixels, Pixels | None]


def sampled(start: int, stop: int, *, deep: bool) -> list[tuple[int, int]]:
    """Return the rows [first, last) to compare: all of start..stop, or 5 spread over them, first and last included."""
    if deep or stop - start <= _SAMPLES:
        return [(start, stop)]
    rows = (start + round(step * (stop - start - 1) / (_SAMPLES - 1)) for step in range(_SAMPLES))
    return [(row, row + 1) for row in rows]


def mean_error(decoded: Pixels, source: Pixels) -> float:
    """Return the mean absolute difference."""
    return float(_difference(decoded, source).mean())


def psnr(decoded: Pixels, source: Pixels) -> float:
    """Return the peak signal-to-noise ratio in dB, 10·log10(255² / mean squared error); infinite if equal."""
    squared = float(np.square(decoded.astype(np.float32) - source).mean())
    return float("inf") if squared == 0 else 10 * float(np.log10(255**2 / squared))


def block_error(decoded: Pixels, source: Pixels) -> float:
    """Return how far the worst block of 16×16 pixels is off, in brightness anywhere or in colour on average.

    A frame as a whole may differ little where only a small robot moves in front of a still scene; the
    blocks around it differ much. Encoders halve the resolution of colour, so single pixels of that
    do not count.
    """
    difference = decoded.astype(np.float32) - source
    brightness = _block_means(np.abs(difference @ _LUMA)[..., None])
    return float(max(brightness.max(), np.abs(_block_means(difference)).max()))


def _block_means(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the means of blocks of (height, width, channels); those at the far edges may be smaller."""
    starts = [range(0, size, BLOCK) for size in values.shape[:2]]
    sums = np.add.reduceat(np.add.reduceat(values, starts[0], axis=0), starts[1], axis=1)
    rows, columns = (np.diff([*begin, size]) for begin, size in zip(starts, values.shape[:2], strict=True))
    means: NDArray[np.float64] = sums / (rows[:, None] * columns[None, :])[..., None]
    return means


def is_nearer(decoded: Pixels, other: Pixels, own: Pixels) -> bool:
    """True if a decoded frame shows `other` rather than `own`, judged where these clearly differ.

    False too if they differ nowhere enough to tell.
    """
    frame, first, second = (image.astype(np.float32) @ _LUMA for image in (decoded, other, own))
    telling = np.abs(first - second) > _VISIBLE
    if np.count_nonzero(telling) < _FEWEST:
        return False
    return bool(np.abs(frame - first)[telling].sum() < np.abs(frame - second)[telling].sum())


def is_swapped(decoded: Pixels, source: Pixels) -> bool:
    """True if a decoded frame shows `source` with red and blue exchanged, judged where these clearly differ."""
    red, blue = source[..., 0].astype(np.int16), source[..., 2].astype(np.int16)
    telling = np.abs(red - blue) > _VISIBLE
    if np.count_nonzero(telling) < _FEWEST:
        return False
    frame, own = decoded[telling], source[telling]
    # Far nearer, not just nearer: where an encoder has lost the colours both are equally far.
    return bool(2 * _difference(frame, own[:, ::-1]).sum() < _difference(frame, own).sum())


def _difference(left: Pixels, right: Pixels) -> NDArray[np.int16]:
    difference: NDArray[np.int16] = np.abs(left.astype(np.int16) - right)
    return difference


class CameraCheck:
    """Compares decoded frames with source frames; what only looks wrong because of the encoder passes.

    A frame is in doubt if it shows its source with red and blue exchanged, if it resembles the source
    frame before or after more than its own, or if some block of pixels is far off. Coarse
    encodings can do the latter two; so the source's frames are then encoded again with the settings
    of the pipeline, and what comes out as wrong from that is the encoder's doing.

    Args:
        video: Settings of the pipeline.
        fps: Frames per second.
        deep: Compare every frame instead of 5 spread over the episode, first and last included.

    Attributes:
        frames: Number of frames compared so far.
    """

    def __init__(self, video: VideoSettings, fps: int, *, deep: bool) -> None:
        self.frames = 0
        self._video = video
        self._fps = fps
        self._deep = deep

    def first_problem(self, source: Column, clip: Clip) -> tuple[int, str] | None:
        """Return the row of the first frame that is wrong and a sentence about it, None if there is none.

        Args:
            source: The camera after all steps.
            clip: The frames in the dataset.

        Raises:
            RobotroveError: If frames cannot be read.
        """
        for first, last in sampled(0, clip.frames, deep=self._deep):
            decoded = iter_frames(clip.path, clip.first + first, last - first, clip.rate or self._fps)
            for row, frame, window in zip(range(first, last), decoded, _windows(source, first, last), strict=False):
                self.frames += 1
                if problem := self._problem(frame, source, row, window):
                    return row, problem
        return None

    def _problem(self, frame: Pixels, source: Column, row: int, window: _Window) -> str:
        own = window[1]
        if frame.shape != own.shape:
            return f"is {_size(frame)} pixels instead of {_size(own)}"
        doubt = _doubt(frame, window)
        if not doubt or self._is_encoding(doubt, frame, source, row, window):
            return ""
        measured = f"mean difference {mean_error(frame, own):.1f} levels, PSNR {psnr(frame, own):.1f} dB"
        return f"{doubt} ({measured})"

    def _is_encoding(self, doubt: str, frame: Pixels, source: Column, row: int, window: _Window) -> bool:
        try:
            again = self._encoded_again(source, row)
        except RobotroveError:  # no such encoder on this machine
            return False
        if doubt == OTHER_FRAME:
            own = window[1]
            return block_error(frame, own) <= 1.5 * block_error(again, own) + BLOCK_LEVELS / 4
        return _doubt(again, window) == doubt

    def _encoded_again(self, source: Column, row: int) -> Pixels:
        """Return what the encoder makes of a row, from the keyframe before it to the next one."""
        start = row - row % self._video.g
        stop = min(source.length, start + self._video.g)
        height, width, _ = source.feature.shape
        with tempfile.TemporaryDirectory(prefix="robotrove-") as folder:
            path = Path(folder, "again.mp4")
            frames = source.batches(start, stop)
            make_encoder(self._video).encode(path, frames, width=width, height=height, fps=self._fps)
            return next(iter_frames(path, row - start, 1))


def _windows(source: Column, first: int, last: int) -> Iterator[_Window]:
    begin, end = max(0, first - 1), min(source.length, last + 1)
    frames: Iterator[Pixels] = (frame for batch in source.batches(begin, end) for frame in batch)
    before = next(frames) if begin < first else None
    own = next(frames)
    for after in chain(frames, (None,)):
        yield before, own, after
        if after is not None:
            before, own = own, after


def _doubt(frame: Pixels, window: _Window) -> str:
    before, own, after = window
    if is_swapped(frame, own):
        return _SWAPPED
    if before is not None and is_nearer(frame, before, own):
        return _EARLIER
    if after is not None and is_nearer(frame, after, own):
        return _LATER
    return OTHER_FRAME if block_error(frame, own) > BLOCK_LEVELS else ""


def _size(frame: Pixels) -> str:
    return f"{frame.shape[0]}x{frame.shape[1]}"

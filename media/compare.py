"""Is a decoded frame the encoded form of a source frame? Measures that see what encoders never do.

Frames are (height, width, 3) uint8 RGB, both of one size; differences are in levels of 0 … 255.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .pixels import Pixels

BLOCK = 16
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601-7, 2.5.1
# Levels; encoders blur or leave out what differs by less. Between whole levels, since sums of products are rounded
# otherwise on other CPUs.
_VISIBLE = 20.5
_FEWEST = 16  # pixels that a verdict may rest on


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

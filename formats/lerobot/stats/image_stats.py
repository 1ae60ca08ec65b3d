"""Statistics of one camera of one episode by LeRobot's sampling recipe, from integer histograms.

Recipe (lerobot/datasets/compute_stats.py: sample_indices, auto_downsample_height_width): some frames,
evenly spread; large frames thinned out; per channel over all remaining pixels, divided by 255.
LeRobot 0.4 squares uint8 values, which overflow, so its std is wrong; here everything is exact.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .feature_stats import QUANTILES, FeatureStats, feature_stats, interpolate, neighbours

LEVELS = 256
CHANNELS = 3
_FEWEST, _MOST, _POWER = 100, 10_000, 0.75
_LARGE, _TARGET = 300, 150  # pixels: frames at least this large are thinned to about the target


def sample_indices(length: int) -> NDArray[np.int64]:
    """Return the frames of an episode that LeRobot samples, ascending and distinct.

    n = max(min(100, length), min(int(length^0.75), 10000)) frames at round(linspace(0, length - 1, n)).
    """
    count = max(min(_FEWEST, length), min(int(length**_POWER), _MOST))
    return np.round(np.linspace(0, length - 1, count)).astype(np.int64)


def pixel_step(height: int, width: int) -> int:
    """Return f, where LeRobot keeps every f-th row and column of a frame of this size."""
    if max(height, width) < _LARGE:
        return 1
    return int((width if width > height else height) / _TARGET)


class ImageStats:
    """Gathers the histogram of one camera of one episode, frames arriving in order.

    Args:
        length: Number of frames of the episode.

    Attributes:
        histogram: (3, 256) int64, how often each channel has each level in the sampled pixels;
            histograms of several parts add up.
        count: Number of frames sampled so far.
    """

    def __init__(self, length: int) -> None:
        self.histogram: NDArray[np.int64] = np.zeros((CHANNELS, LEVELS), np.int64)
        self.count = 0
        self._sampled = sample_indices(length)
        self._next = 0  # index in the episode of the next frame to come

    def add(self, batch: NDArray[np.uint8]) -> None:
        """Take the next frames (n, height, width, 3), uint8 RGB; those not sampled are not looked at."""
        first, self._next = self._next, self._next + len(batch)
        begin, end = np.searchsorted(self._sampled, (first, self._next))
        step = pixel_step(*batch.shape[1:3])
        for index in self._sampled[begin:end]:
            # One channel of one frame at a time: counting widens each value to eight bytes.
            pixels = batch[index - first, ::step, ::step]
            for channel in range(CHANNELS):
                self.histogram[channel] += np.bincount(pixels[..., channel].ravel(), minlength=LEVELS)
        self.count += int(end - begin)

    def result(self) -> FeatureStats:
        """Return the statistics of the frames sampled so far; see `stats_from_histogram`."""
        return stats_from_histogram(self.histogram, self.count)


def stats_from_histogram(histogram: NDArray[np.int64], count: int) -> FeatureStats:
    """Return the statistics of the pixels counted in a histogram, in [0, 1].

    Args:
        histogram: (3, 256), each channel with the same, positive number of pixels.
        count: Number of images the pixels are from.

    Returns:
        The ten statistics, each (3, 1, 1), equal to those of the pixel values in float64; count is [count].

    Raises:
        ValueError: If the histogram is empty.
    """
    total = int(histogram[0].sum())
    if total == 0:
        raise ValueError("statistics of no pixels are not defined")
    values = np.arange(LEVELS, dtype=np.float64)
    cumulative = np.cumsum(histogram, axis=1)
    mean = histogram @ values / total
    variance = np.sum(histogram * np.square(values - mean[:, None]), axis=1) / total
    lower, upper, weight = neighbours(np.array(list(QUANTILES.values())), total)

    def at(ranks: NDArray[Any]) -> NDArray[np.float64]:
        """Return the levels at some ranks of the sorted pixels: (ranks, 3)."""
        channels = [np.searchsorted(channel, ranks, side="right") for channel in cumulative]
        return np.stack(channels, axis=1).astype(np.float64)

    def shaped(levels: NDArray[Any]) -> NDArray[np.float64]:
        return (levels / (LEVELS - 1))[..., None, None]

    present = histogram > 0
    low = present.argmax(axis=1)
    high = LEVELS - 1 - present[:, ::-1].argmax(axis=1)
    levels = interpolate(at(lower), at(upper), weight[:, None])
    return feature_stats(shaped(low), shaped(high), shaped(mean), shaped(np.sqrt(variance)), count, shaped(levels))

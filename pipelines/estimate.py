"""How much room and time a run will need, roughly."""

from __future__ import annotations

import os
from dataclasses import dataclass
from math import prod

from ..core.features import Features
from ..media.encode.settings import VideoSettings

# Measured on a recording of Isaac Lab Arena (512x512, resized to 256 and 480) with each codec's default
# settings: bytes in the file, and CPU nanoseconds, per pixel.
_BYTES_PER_PIXEL = {"libsvtav1": 0.04, "libx264": 0.02}
_NS_PER_PIXEL = {"libsvtav1": 45.0, "libx264": 25.0}
_OTHER = "libsvtav1"


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a run may need; other content, settings and machines give other figures.

    Attributes:
        dataset_bytes: Size of a dataset.
        disk_bytes: Size of run directory and datasets together.
        seconds: Time with one worker per CPU.
    """

    dataset_bytes: int
    disk_bytes: int
    seconds: float


def estimate(features: Features, frames: int, video: VideoSettings, datasets: int = 1, base: int = 0) -> Estimate:
    """Estimate a run of `frames` frames: the shards, and so many datasets made of them, behind `base` bytes."""
    codec = video.codec if video.codec in _NS_PER_PIXEL else _OTHER
    cameras = [f for f in features.values() if f.is_visual]
    pixels = frames * sum(f.shape[0] * f.shape[1] for f in cameras)
    numbers = frames * sum(8 * prod(f.shape) for f in features.values() if not f.is_visual)
    size = round(pixels * _BYTES_PER_PIXEL[codec] + numbers)
    seconds = pixels * _NS_PER_PIXEL[codec] / 1e9 / len(os.sched_getaffinity(0))
    return Estimate(base + size, base + (1 + datasets) * size, seconds)

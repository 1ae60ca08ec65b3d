"""Pixels from one format, colour matrix or size to another with swscale."""

from __future__ import annotations

from typing import Any, TypeAlias, cast

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

Pixels: TypeAlias = NDArray[np.uint8]

# From PyAV 17 on swscale takes a thread per CPU unless told otherwise; before it had only one.
_ONE_THREAD = {"threads": 1} if int(av.__version__.split(".")[0]) >= 17 else {}


class Converter:
    """Brings frames to one format, matrix or size; keeps its swscale context and uses one CPU.

    Args:
        target: Arguments of av.video.reformatter.VideoReformatter.reformat.
    """

    def __init__(self, **target: Any) -> None:
        self._target = target | _ONE_THREAD
        self._reformatter = VideoReformatter()

    def __call__(self, frame: av.VideoFrame) -> av.VideoFrame:
        """Return the converted frame; its pixels are its own."""
        return self._reformatter.reformat(frame, **self._target)


def rgb_frame(image: Pixels) -> av.VideoFrame:
    """Return a frame over an image (height, width, 3) uint8 with contiguous rows; even widths are not copied."""
    width = image.shape[1]
    if width % 2:
        # swscale averages pixels in pairs for chroma; up to FFmpeg 7 it reads beyond the end of an odd row.
        image = np.pad(image, ((0, 0), (0, 1), (0, 0)), mode="edge")[:, :width]
    return av.VideoFrame.from_numpy_buffer(image, format="rgb24")


def to_bt601(pix_fmt: str, *, full_range: bool = False) -> Converter:
    """Return a converter from RGB to `pix_fmt` with the matrix of BT.601 (ITU-R BT.601-7, 2.5)."""
    return Converter(
        format=pix_fmt,
        src_color_range="JPEG",
        dst_colorspace="ITU601",
        dst_color_range="JPEG" if full_range else "MPEG",
    )


def to_rgb(*, bgr: bool = False) -> Converter:
    """Return a converter to RGB24, or BGR24, that follows the colour tags of each frame."""
    return Converter(format="bgr24" if bgr else "rgb24")


def as_array(frame: av.VideoFrame) -> Pixels:
    """Return the pixels of an RGB24 or BGR24 frame: (height, width, 3) uint8."""
    return cast(Pixels, frame.to_ndarray())

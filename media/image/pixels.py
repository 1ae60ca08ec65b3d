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


def resize(batch: Pixels, height: int, width: int) -> Pixels:
    """Scale frames bilinearly, with a filter as wide as needed when they shrink.

    Args:
        batch: (n, H, W, 3) uint8.
        height: Rows wanted.
        width: Pixels per row wanted.

    Returns:
        (n, height, width, 3) uint8; a channel is never mixed with another.
    """
    if batch.shape[1:3] == (height, width):
        return batch
    scaled = np.empty((len(batch), height, width, 3), dtype=np.uint8)
    # As RGB, swscale would go through YUV and back; as three planes of YUV 4:4:4 each channel is
    # scaled on its own, so that flat colours stay exact.
    convert = Converter(width=width, height=height, interpolation="BILINEAR")
    for index, image in enumerate(batch):
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="yuv444p", channel_last=True)
        scaled[index] = convert(frame).to_ndarray(channel_last=True)
    return scaled


def pad(batch: Pixels, height: int, width: int) -> Pixels:
    """Put frames (n, H, W, 3) in the middle of black ones (n, height, width, 3).

    An odd number of missing rows or columns gets its larger half below and to the right.

    Raises:
        ValueError: If a frame is larger than that.
    """
    rows, columns = height - batch.shape[1], width - batch.shape[2]
    if rows < 0 or columns < 0:
        raise ValueError(f"frames of {batch.shape[1]}x{batch.shape[2]} cannot be padded to {height}x{width}")
    top, left = rows // 2, columns // 2
    return np.pad(batch, ((0, 0), (top, rows - top), (left, columns - left), (0, 0)))

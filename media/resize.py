"""Other sizes for batches of frames."""

from __future__ import annotations

import av
import numpy as np

from .pixels import Converter, Pixels


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

"""Pictures of a recording, decoded a second time: JPEG and PNG by Pillow, raw frames by numpy."""

from __future__ import annotations

import io
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...core.errors import RobotroveError

Pixels: TypeAlias = NDArray[np.uint8]

# Largest difference of FFmpeg's JPEG decoder (PyAV 15 to 17) from Pillow's, in levels. Measured on JPEGs of qualities
# 30, 90 and 100, baseline and progressive, made of noise, checkerboards of pure colours, gradients, frames of Isaac Lab
# and of a GR1 robot, and on minari's own: grey 1, colour in full resolution (4:4:4) 3, both rounding alone.
_ROUNDING = 4.0
# With halved colour (4:2:2, 4:2:0) both decoders fill in the colours between in their own way: pixels at an edge
# differ by up to 192 levels. In blocks of 16x16 pixels the brightness differs on average by 1.9 at most in camera
# frames and by 6.5 in noise of pure colours, the mean colour by 4 in camera frames and by 10.8 in checkerboards.
_BLOCK, _BRIGHTNESS, _COLOUR = 16, 8.0, 12.0
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601-7, 2.5.1
# Both decoders agree to 1.6 levels on average in camera frames, so that a frame which resembles its neighbour much
# more than its own row is the neighbour's.
_NEARER, _FAR = 1.25, 0.05
_ALIKE = 2.0


class Picture(NamedTuple):
    """A frame of a recording: (height, width, 3) uint8 RGB, upright.

    Attributes:
        pixels: The frame.
        exact: False for a JPEG, which two decoders do not read alike to the level.
        full_colour: False for a JPEG with colours at half the resolution.
    """

    pixels: Pixels
    exact: bool = True
    full_colour: bool = True

    def difference(self, found: Pixels) -> str:
        """Return in words how a frame differs from this one by more than decoders do; empty if it does not."""
        if found.shape != self.pixels.shape:
            return f"a frame of shape {found.shape}, the recording has {self.pixels.shape}"
        apart = found.astype(np.int16) - self.pixels
        if self.exact or self.full_colour:
            is_equal = np.abs(apart).max(initial=0) <= (0 if self.exact else _ROUNDING)
        else:
            brightness = _block_mean(np.abs(apart @ _LUMA)[..., None])
            is_equal = brightness <= _BRIGHTNESS and _block_mean(apart) <= _COLOUR
        if is_equal:
            return ""
        others = {"red and blue exchanged": found[..., ::-1], "upside down": found[::-1], "turned": found[::-1, ::-1]}
        like = next((f", it is {how}" for how, other in others.items() if self.mean_error(other) < _ALIKE), "")
        return f"another frame than the recording{like} (levels differ by up to {np.abs(apart).max()})"

    def mean_error(self, found: Pixels) -> float:
        """Return the mean absolute difference in levels."""
        return float(np.abs(found.astype(np.int16) - self.pixels).mean())

    def is_rather(self, found: Pixels, own: Picture) -> bool:
        """True if a frame that should be `own` is this picture: for JPEGs, where `difference` allows what it must."""
        if own.exact or found.shape != self.pixels.shape:
            return False
        return own.mean_error(found) > _NEARER * self.mean_error(found) + _FAR


def decoded(content: bytes, color: str, flip: str) -> Picture:
    """Return a JPEG or PNG as a picture; zeros after its end are padding.

    Args:
        content: The file.
        color: "bgr" if the writer took red for blue.
        flip: "vertical", "horizontal" or "rotate180" if the frames are not upright.

    Raises:
        RobotroveError: If Pillow cannot decode it, or it has more than 8 bits per colour.
    """
    try:
        with Image.open(io.BytesIO(content.rstrip(b"\0"))) as image:
            # Of a JPEG: (id, horizontal, vertical, table) of each component.
            sampling = {layer[1:3] for layer in getattr(image, "layer", ())}
            is_jpeg = image.format in ("JPEG", "MPO")  # MPO: with another JPEG behind it
            if image.mode not in ("L", "LA", "P", "PA", "RGB", "RGBA", "1"):
                raise RobotroveError("", f"a picture with pixels of Pillow's mode {image.mode}, not of 8 bits")
            if "A" in image.mode:  # alpha is dropped, not blended
                pixels = np.asarray(image.convert("RGBA"))[..., :3]
            else:
                pixels = np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as exc:
        raise RobotroveError("", f"Pillow cannot decode it: {exc}") from exc
    return Picture(_upright(pixels, color, flip), not is_jpeg, len(sampling) <= 1)


def raw(frame: NDArray[Any], color: str, flip: str) -> Picture:
    """Return an array of a frame as a picture.

    Args:
        frame: (height, width), (height, width, channels) or (channels, height, width): grey, colours, with or without
            alpha; whole numbers from 0 to 255, or floats from 0 to 1, which become round(255·x).
        color: See `decoded`.
        flip: See `decoded`.

    Raises:
        RobotroveError: If it is no such frame.
    """
    if frame.ndim == 3 and frame.shape[2] not in (1, 3, 4) and frame.shape[0] in (1, 3, 4):
        frame = np.moveaxis(frame, 0, 2)
    frame = frame.reshape(*frame.shape[:2], -1)[..., :3]
    top = 1 if frame.dtype.kind == "f" else 255
    if frame.dtype.kind not in "uif" or not ((frame >= 0) & (frame <= top)).all():  # NaN is neither
        raise RobotroveError("", f"a frame of {frame.dtype} with values outside 0 and {top}")
    pixels = np.rint(frame.astype(np.result_type(frame, np.float32)) * 255) if frame.dtype.kind == "f" else frame
    pixels = pixels.astype(np.uint8)
    return Picture(_upright(pixels if pixels.shape[2] == 3 else np.repeat(pixels, 3, axis=2), color, flip))


def _upright(pixels: Pixels, color: str, flip: str) -> Pixels:
    if color == "bgr":
        pixels = pixels[..., ::-1]
    if flip in ("vertical", "rotate180"):
        pixels = pixels[::-1]
    return pixels[:, ::-1] if flip in ("horizontal", "rotate180") else pixels


def _block_mean(values: NDArray[Any]) -> float:
    """Return the largest mean of a block of 16x16 pixels (height, width, channels), in any channel."""
    starts = [np.arange(0, size, _BLOCK) for size in values.shape[:2]]
    sums = np.add.reduceat(np.add.reduceat(values.astype(np.float64), starts[0], 0), starts[1], 1)
    rows, columns = (np.diff([*begin, size]) for begin, size in zip(starts, values.shape[:2], strict=True))
    return float(np.abs(sums / (rows[:, None] * columns)[..., None]).max(initial=0))

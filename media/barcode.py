"""A marker in the pixels that says which frame of which camera this is, and outlives compression."""

from __future__ import annotations

import numpy as np

from ..core.columns import Array

COLUMNS, ROWS = 6, 4
CELL = 8
MAX_INDEX, MAX_CAMERA = 2**16 - 1, 2**4 - 1


def draw(frame: Array, index: int, camera: int) -> None:
    """Draw the marker into the top left corner of a frame, in place; it covers 32 rows of 48 pixels.

    24 cells of 8x8 pixels: 16 bits index, 4 bits camera, 4 bits check. A 1 is a cell whose left half
    is white and right half black, a 0 the reverse: the fast presets of SVT-AV1 may leave out a block
    that only becomes brighter or darker as a whole, but never one whose pattern turns around.

    Args:
        frame: (H, W, 3) uint8, at least 32x48.
        index: 0 to 65,535.
        camera: 0 to 15.

    Raises:
        ValueError: If a number does not fit, or the marker does not fit into the frame.
    """
    if not (0 <= index <= MAX_INDEX and 0 <= camera <= MAX_CAMERA):
        raise ValueError(f"index {index} or camera {camera} does not fit into the marker")
    word = index << 8 | camera << 4 | _check(index, camera)
    bits = np.array([word >> shift & 1 for shift in reversed(range(COLUMNS * ROWS))], dtype=np.uint8)
    halves = np.stack([bits, 1 - bits], axis=1).reshape(ROWS, COLUMNS * 2)
    _corner(frame)[:] = np.kron(halves * 255, np.ones((CELL, CELL // 2), dtype=np.uint8))[..., None]


def read(frame: Array) -> tuple[int, int]:
    """Return (index, camera) of the marker in a frame (H, W, 3) uint8.

    Raises:
        ValueError: If the check bits are wrong: there is no marker, or it did not survive.
    """
    halves = _corner(frame).mean(axis=2).reshape(ROWS, CELL, COLUMNS, 2, CELL // 2).mean(axis=(1, 4))
    word = 0
    for left, right in halves.reshape(-1, 2):
        word = word << 1 | int(left > right)
    index, camera, check = word >> 8, word >> 4 & 15, word & 15
    if check != _check(index, camera):
        raise ValueError(f"no marker: the check bits of index {index}, camera {camera} are {check:04b}")
    return index, camera


def _corner(frame: Array) -> Array:
    corner = frame[: ROWS * CELL, : COLUMNS * CELL]
    if corner.shape[:2] != (ROWS * CELL, COLUMNS * CELL):
        raise ValueError(f"a frame of {frame.shape[0]}x{frame.shape[1]} is too small for the marker")
    return corner


def _check(index: int, camera: int) -> int:
    # Inverted in part: a corner without any contrast reads as all zeros, which must be no marker.
    return (index >> 12 ^ index >> 8 ^ index >> 4 ^ index ^ camera ^ 0b1010) & 15

"""Pictures of the samples: gradients with a barcode that holds the frame's number and the camera's."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ....core.columns import Array

MARKER_COLUMNS, MARKER_ROWS = 6, 4
CELL = 8
MAX_INDEX, MAX_CAMERA = 2**16 - 1, 2**4 - 1

PATCHES = {"red": (220, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 220)}
_LOW, _HIGH = 40, 215


def draw_marker(frame: Array, index: int, camera: int) -> None:
    """Draw the marker into the top left corner of a frame, in place; it covers 32 rows of 48 pixels.

    24 cells of 8x8 pixels: 16 bits index, 4 bits camera, 4 bits check. A 1 is a cell with a white left
    half and a black right half, a 0 the reverse: the fast presets of SVT-AV1 may skip a block that only
    becomes brighter or darker as a whole, but never one with a reversed pattern.

    Args:
        frame: (H, W, 3) uint8, at least 32x48.
        index: 0 to 65,535.
        camera: 0 to 15.

    Raises:
        ValueError: If a number does not fit, or the marker does not fit into the frame.
    """
    if not (0 <= index <= MAX_INDEX and 0 <= camera <= MAX_CAMERA):
        raise ValueError(f"index {index} or camera {camera} does not fit into the marker")
    word = index << 8 | camera << 4 | _check_marker(index, camera)
    bits = np.array([word >> shift & 1 for shift in reversed(range(MARKER_COLUMNS * MARKER_ROWS))], dtype=np.uint8)
    halves = np.stack([bits, 1 - bits], axis=1).reshape(MARKER_ROWS, MARKER_COLUMNS * 2)
    _corner(frame)[:] = np.kron(halves * 255, np.ones((CELL, CELL // 2), dtype=np.uint8))[..., None]


def read_marker(frame: Array) -> tuple[int, int]:
    """Return (index, camera) of the marker in a frame (H, W, 3) uint8.

    Raises:
        ValueError: If the check bits are wrong: there is no marker, or it did not survive.
    """
    halves = _corner(frame).mean(axis=2).reshape(MARKER_ROWS, CELL, MARKER_COLUMNS, 2, CELL // 2).mean(axis=(1, 4))
    word = 0
    for left, right in halves.reshape(-1, 2):
        word = word << 1 | int(left > right)
    index, camera, check = word >> 8, word >> 4 & 15, word & 15
    if check != _check_marker(index, camera):
        raise ValueError(f"no marker: the check bits of index {index}, camera {camera} are {check:04b}")
    return index, camera


def _corner(frame: Array) -> Array:
    corner = frame[: MARKER_ROWS * CELL, : MARKER_COLUMNS * CELL]
    if corner.shape[:2] != (MARKER_ROWS * CELL, MARKER_COLUMNS * CELL):
        raise ValueError(f"a frame of {frame.shape[0]}x{frame.shape[1]} is too small for the marker")
    return corner


def _check_marker(index: int, camera: int) -> int:
    # Inverted in part: a corner without any contrast reads as all zeros, which must be no marker.
    return (index >> 12 ^ index >> 8 ^ index >> 4 ^ index ^ camera ^ 0b1010) & 15


def patch(name: str, height: int, width: int) -> tuple[slice, slice]:
    """Return where a patch is: the right quarter, red on top, green below it, then blue.

    The marker covers 48 pixels of a row, so it leaves the red patch alone from 64 pixels of width on.
    """
    row = list(PATCHES).index(name)
    return slice(row * height // 4, (row + 1) * height // 4), slice(width * 3 // 4, width)


def pictures(frames: int, height: int, width: int, camera: int, seed: int = 0) -> Iterator[Array]:
    """Yield frames (height, width, 3) uint8 RGB.

    Red is a wave that moves two pixels to the left with each frame, green grows downwards, blue is
    constant and differs between cameras; on top lie the patches and the marker of `draw_marker`
    with the frame's index from 0 and the camera's number.
    """
    ramp = np.linspace(_LOW, _HIGH, 128)
    wave = np.concatenate([ramp, ramp[::-1]]).astype(np.uint8)
    base = np.empty((height, width, 3), np.uint8)
    base[..., 1] = np.linspace(_LOW, _HIGH, height)[:, None]
    base[..., 2] = _LOW + 40 * (camera % 5)
    columns = np.arange(width) + 16 * seed
    for index in range(frames):
        frame = base.copy()
        frame[..., 0] = wave[(columns + 2 * index) % len(wave)]
        for name, color in PATCHES.items():
            frame[patch(name, height, width)] = color
        draw_marker(frame, index, camera)
        yield frame

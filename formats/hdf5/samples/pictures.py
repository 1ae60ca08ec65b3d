"""The frames of sample files: a marker with index and camera, patches that tell the colours apart."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ....core.columns import Array
from ....media import barcode

PATCHES = {"red": (220, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 220)}
_LOW, _HIGH = 40, 215


def patch(name: str, height: int, width: int) -> tuple[slice, slice]:
    """Return where a patch is: the right quarter, red on top, green below it, then blue.

    The marker covers 48 pixels of a row, so it leaves the red patch alone from 64 pixels of width on.
    """
    row = list(PATCHES).index(name)
    return slice(row * height // 4, (row + 1) * height // 4), slice(width * 3 // 4, width)


def pictures(frames: int, height: int, width: int, camera: int, seed: int = 0) -> Iterator[Array]:
    """Yield frames (height, width, 3) uint8 RGB.

    Red is a wave that moves two pixels to the left with each frame, green grows downwards, blue is
    constant and differs between cameras; on top lie the patches and the marker of `media.barcode`
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
        barcode.draw(frame, index, camera)
        yield frame

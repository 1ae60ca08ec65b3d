from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from robotrove.formats.hdf5.samples.pictures import MARKER_COLUMNS, MARKER_ROWS, draw_marker, read_marker
from robotrove.media.encode.encoder import make_encoder
from robotrove.media.encode.settings import VideoSettings
from robotrove.media.video.probe import iter_frames


def test_every_bit_counts() -> None:
    frame = np.zeros((64, 64, 3), np.uint8)
    for index, camera in [
        (0, 0),
        (65535, 15),
        *((1 << bit, 0) for bit in range(16)),
        *((0, 1 << bit) for bit in range(4)),
    ]:
        draw_marker(frame, index, camera)
        assert read_marker(frame) == (index, camera)


@pytest.mark.parametrize("codec", ["libsvtav1", "libx264"])
@pytest.mark.parametrize(
    ("size", "g", "noise"), [((64, 64), 2, 5), ((96, 96), 2, 0), ((96, 97), 30, 20), ((240, 320), 2, 5)]
)
def test_survives_compression(tmp_path: Path, codec: str, size: tuple[int, int], g: int, noise: float) -> None:
    if codec == "libx264":
        size = (size[0], size[1] // 2 * 2)
    rng = np.random.default_rng(3)
    marks = [(int(index), position % 16) for position, index in enumerate(rng.integers(0, 65536, 40))]
    frames = np.clip(rng.normal(90, noise, (40, *size, 3)), 0, 255).astype(np.uint8)
    for frame, mark in zip(frames, marks, strict=True):
        draw_marker(frame, *mark)
    encoder = make_encoder(VideoSettings(codec=codec, g=g))
    encoder.encode(tmp_path / "a.mp4", iter([frames]), width=size[1], height=size[0], fps=30)
    assert [read_marker(frame) for frame in iter_frames(tmp_path / "a.mp4")] == marks


@pytest.mark.parametrize("value", [0, 90, 255])
def test_flat_picture_is_no_marker(value: int) -> None:
    with pytest.raises(ValueError, match="no marker"):
        read_marker(np.full((96, 96, 3), value, np.uint8))


def test_one_wrong_cell_is_noticed() -> None:
    frame = np.zeros((96, 96, 3), np.uint8)
    draw_marker(frame, 1234, 3)
    for row in range(MARKER_ROWS):
        for column in range(MARKER_COLUMNS):
            damaged = frame.copy()
            cell = damaged[row * 8 : row * 8 + 8, column * 8 : column * 8 + 8]
            cell[:] = 255 - cell
            with pytest.raises(ValueError, match="no marker"):
                read_marker(damaged)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        draw_marker(np.zeros((64, 64, 3), np.uint8), 65536, 0)
    with pytest.raises(ValueError, match="does not fit"):
        draw_marker(np.zeros((64, 64, 3), np.uint8), 0, 16)
    with pytest.raises(ValueError, match="too small"):
        draw_marker(np.zeros((64, 40, 3), np.uint8), 0, 0)

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from robotrove.formats.hdf5.samples.pictures import pictures
from robotrove.media.encode.encoder import make_encoder
from robotrove.media.encode.settings import VideoSettings
from robotrove.media.video.probe import iter_frames
from robotrove.tests.support.places import SHARED_DATA, needs
from robotrove.verification.source.camera_check import block_error, is_nearer, is_swapped, mean_error, psnr

GOLDEN = SHARED_DATA / "arena_gr1_golden"
EGO_VIEW = GOLDEN / "videos/chunk-000/observation.images.ego_view/episode_000000.mp4"


def encoded(path: Path, frames: list[np.ndarray], settings: VideoSettings) -> list[np.ndarray]:
    height, width, _ = frames[0].shape
    make_encoder(settings).encode(path, iter([np.stack(frames)]), width=width, height=height, fps=20)
    return list(iter_frames(path))


def test_measures() -> None:
    black = np.zeros((20, 33, 3), np.uint8)
    other = black.copy()
    assert (mean_error(black, other), block_error(black, other), psnr(black, other)) == (0, 0, np.inf)
    other[16:, 32:] = (30, 0, 60)  # the whole last block: 4 rows, 1 column
    assert mean_error(other, black) == pytest.approx(4 * 90 / (20 * 33 * 3))
    assert block_error(other, black) == block_error(black, other) == 60  # blue, the worst of its colours
    stripes = black.copy()
    stripes[:16, :16:2], stripes[:16, 1:16:2] = 50, 150
    assert block_error(stripes, np.roll(stripes, 1, axis=1)) > 90  # the same mean, but nothing in its place
    assert psnr(black + np.uint8(255), black) == pytest.approx(0, abs=1e-5)
    assert psnr(black + np.uint8(51), black) == pytest.approx(10 * np.log10(25))


def test_too_little_difference_decides_nothing() -> None:
    frame = np.full((32, 32, 3), 100, np.uint8)
    brighter = frame + np.uint8(20)
    assert not is_nearer(brighter, brighter, frame)
    dot = frame.copy()
    dot[0, :15] = 255
    assert not is_nearer(dot, dot, frame)
    dot[0, 15] = 255
    assert is_nearer(dot, dot, frame)
    assert not is_nearer(frame, dot, frame)
    assert not is_swapped(frame, frame)


@pytest.mark.parametrize(
    "settings", [VideoSettings(), VideoSettings(codec="libx264", crf=23, g=10), VideoSettings(crf=45, g=30)], ids=str
)
@pytest.mark.parametrize("size", [48, 240])
def test_encoded_samples_are_told_from_their_neighbours_and_swapped_colours(
    tmp_path: Path, settings: VideoSettings, size: int
) -> None:
    source = list(pictures(12, size, size, camera=1))
    _check(source, encoded(tmp_path / "a.mp4", source, settings), has_colour=True)


@needs(EGO_VIEW)
def test_frames_of_a_simulator(tmp_path: Path) -> None:
    source = list(iter_frames(EGO_VIEW, 0, 20))
    decoded = encoded(tmp_path / "a.mp4", source, VideoSettings())
    _check(source, decoded, has_colour=False)  # a white robot hand in a grey kitchen
    errors = [block_error(frame, own) for frame, own in zip(decoded, source, strict=True)]
    shifted = [block_error(frame, own) for frame, own in zip(decoded, source[1:], strict=False)]
    assert max(errors) < min(shifted)


def _check(source: list[np.ndarray], decoded: list[np.ndarray], *, has_colour: bool) -> None:
    for index, frame in enumerate(decoded):
        own = source[index]
        assert not is_swapped(frame, own)
        assert is_swapped(frame[..., ::-1], own) or not has_colour
        for neighbour in (index - 1, index + 1):
            if 0 <= neighbour < len(source):
                assert not is_nearer(frame, source[neighbour], own)
                assert is_nearer(decoded[neighbour], source[neighbour], own)

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robotrove.formats.lerobot.stats.image_stats import ImageStats, pixel_step, sample_indices, stats_from_histogram

LEVELS = {"q01": 0.01, "q10": 0.1, "q50": 0.5, "q90": 0.9, "q99": 0.99}


def frames(length: int, height: int, width: int) -> np.ndarray:
    rng = np.random.default_rng(length)
    video = rng.integers(0, 256, (length, height, width, 3), dtype=np.uint8)
    video[..., 1] = video[..., 1] // 3 + 100  # channels that cannot be taken for one another
    video[..., 2] = np.arange(length)[:, None, None] % 256
    return video


def assert_equals_pixels(stats: dict[str, np.ndarray], pixels: np.ndarray, count: int) -> None:
    """Pixels (n, 3) uint8, as numpy sees them."""
    values = pixels.astype(np.float64)
    expected = {"min": values.min(0), "max": values.max(0), "mean": values.mean(0), "std": values.std(0)}
    expected |= {key: np.quantile(values, level, axis=0) for key, level in LEVELS.items()}
    assert list(stats) == ["min", "max", "mean", "std", "count", *LEVELS]
    for key, value in expected.items():
        np.testing.assert_allclose(stats[key], value.reshape(3, 1, 1) / 255, rtol=1e-12, err_msg=key, strict=True)
    np.testing.assert_array_equal(stats["count"], [count])


# n = int(1000**.75) = 177, int(20000**.75) = 1681, capped at 10000 from 215,444 frames on.
@pytest.mark.parametrize(
    ("length", "count"),
    [(1, 1), (99, 99), (100, 100), (101, 100), (465, 100), (1000, 177), (20_000, 1681), (300_000, 10_000)],
)
def test_number_of_sampled_frames(length: int, count: int) -> None:
    indices = sample_indices(length)
    assert len(indices) == count
    assert (indices[0], indices[-1]) == (0, length - 1)
    assert (np.diff(indices) > 0).all()


def test_sampled_frames_round_half_to_even() -> None:
    # linspace(0, 150, 100) has step 150/99: 1.51, 3.03, 4.54 ...
    assert sample_indices(151)[:5].tolist() == [0, 2, 3, 5, 6]


@pytest.mark.parametrize(
    ("height", "width", "step"),
    [(299, 299, 1), (300, 300, 2), (480, 640, 4), (640, 480, 4), (300, 200, 2), (1080, 1920, 12)],
)
def test_pixel_step(height: int, width: int, step: int) -> None:
    assert pixel_step(height, width) == step


@pytest.mark.parametrize(("height", "width", "step"), [(6, 5, 1), (301, 8, 2), (8, 460, 3)])
def test_equals_the_statistics_of_the_sampled_pixels(height: int, width: int, step: int) -> None:
    length = 170
    video = frames(length, height, width)
    stats = ImageStats(length)
    for first in range(0, length, 31):
        stats.add(video[first : first + 31])
    sampled = video[sample_indices(length)][:, ::step, ::step].reshape(-1, 3)
    assert_equals_pixels(stats.result(), sampled, 100)
    assert stats.histogram.dtype == np.int64
    assert stats.histogram.sum() == sampled.size


@settings(deadline=None)
@given(st.integers(1, 130), st.lists(st.integers(0, 40), min_size=1, max_size=20))
def test_batching_does_not_matter(length: int, sizes: list[int]) -> None:
    video = frames(length, 3, 4)
    whole, parts = ImageStats(length), ImageStats(length)
    whole.add(video)
    first = 0
    for size in [*sizes, length]:
        parts.add(video[first : first + size])
        first = min(first + size, length)
    np.testing.assert_array_equal(parts.histogram, whole.histogram)
    assert parts.count == whole.count == min(length, 100)


def test_a_frame_that_is_not_sampled_does_not_count() -> None:
    video = np.zeros((101, 2, 2, 3), np.uint8)
    skipped = (set(range(101)) - set(sample_indices(101).tolist())).pop()
    video[skipped] = 255
    stats = ImageStats(101)
    stats.add(video)
    assert stats.result()["max"].max() == 0.0


def test_histograms_of_episodes_add_up() -> None:
    videos = [frames(12, 4, 4), frames(7, 4, 4)]
    parts = [ImageStats(len(video)) for video in videos]
    for part, video in zip(parts, videos, strict=True):
        part.add(video)
    stats = stats_from_histogram(parts[0].histogram + parts[1].histogram, 19)
    assert_equals_pixels(stats, np.concatenate(videos).reshape(-1, 3), 19)


def test_full_brightness_is_one_and_uint8_does_not_overflow() -> None:
    video = np.zeros((2, 2, 2, 3), np.uint8)
    video[1] = 255
    stats = ImageStats(2)
    stats.add(video)
    result = stats.result()
    np.testing.assert_array_equal(result["std"], np.full((3, 1, 1), 0.5))
    np.testing.assert_array_equal(result["max"], np.ones((3, 1, 1)))
    with pytest.raises(ValueError, match="no pixels"):
        ImageStats(5).result()

from __future__ import annotations

import numpy as np
import pytest

from robotrove.media.image.pixels import pad, resize


def gradient(height: int, width: int) -> np.ndarray:
    """Red grows to the right, green downwards, blue is constant; sampled at the centres of pixels."""
    rows, columns = np.mgrid[:height, :width]
    red, green = (columns + 0.5) / width * 250, (rows + 0.5) / height * 250
    return np.stack([red, green, np.full((height, width), 77)], axis=-1).round().astype(np.uint8)


@pytest.mark.parametrize("size", [(50, 100), (240, 320), (33, 57), (48, 64), (1, 1)])
def test_gradient_stays_where_it_is(size: tuple[int, int]) -> None:
    resized = resize(np.stack([gradient(96, 128), gradient(96, 128)[::-1]]), *size)
    assert resized.shape == (2, *size, 3)
    assert resized.dtype == np.uint8
    inner = (slice(3, -3),) * 2 if min(size) > 8 else (slice(None),) * 2  # edges have no neighbours to blend with
    for result, expected in zip(resized, (gradient(*size), gradient(*size)[::-1]), strict=True):
        assert np.abs(result[inner].astype(int) - expected[inner]).max() <= 3


@pytest.mark.parametrize("size", [(24, 32), (200, 300), (37, 41)])
@pytest.mark.parametrize("colour", [(255, 0, 0), (0, 255, 0), (0, 0, 255), (12, 200, 99)])
def test_flat_colours_stay_exact(size: tuple[int, int], colour: tuple[int, int, int]) -> None:
    resized = resize(np.full((1, 96, 128, 3), colour, np.uint8), *size)
    assert (resized == colour).all()


def test_shrinking_averages_instead_of_skipping() -> None:
    stripes = np.zeros((1, 64, 64, 3), np.uint8)
    stripes[:, :, ::2] = 255
    assert np.abs(resize(stripes, 16, 16)[:, :, 1:-1].astype(int) - 127).max() <= 1


def test_same_size_is_the_same_batch() -> None:
    batch = gradient(32, 48)[None]
    assert resize(batch, 32, 48) is batch


def test_views_are_resized_like_copies() -> None:
    batch = np.stack([gradient(96, 128)] * 2)
    np.testing.assert_array_equal(resize(batch[..., ::-1], 40, 60), resize(batch, 40, 60)[..., ::-1])


def test_pad_centres() -> None:
    batch = np.full((2, 3, 4, 3), 9, np.uint8)
    padded = pad(batch, 6, 8)
    assert padded.shape == (2, 6, 8, 3)
    np.testing.assert_array_equal(padded[:, 1:4, 2:6], batch)
    assert padded.sum() == batch.sum()
    with pytest.raises(ValueError, match="cannot be padded"):
        pad(batch, 2, 8)

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from robotrove.core.errors import EpisodeRejected
from robotrove.formats.hdf5.columns import EncodedFrameColumn, RawFrameColumn
from robotrove.media.image.images import encode_jpeg, encode_png

RGB = np.zeros((6, 20, 30, 3), np.uint8)
RGB[..., 0], RGB[..., 1] = 200, np.arange(30)
RGB[..., 2] = np.arange(6)[:, None, None] * 10
RGB[:, 0] = (1, 2, 3)


@pytest.fixture
def file(tmp_path: Path):
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        yield file


def rejection(call: Callable[[], object]) -> EpisodeRejected:
    with pytest.raises(EpisodeRejected) as caught:
        call()
    return caught.value


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (RGB, RGB),
        (np.concatenate([RGB, np.full((6, 20, 30, 1), 77, np.uint8)], axis=3), RGB),
        (RGB[..., :1], RGB[..., [0, 0, 0]]),
        (RGB[..., 1], RGB[..., [1, 1, 1]]),
        ((RGB / 255).astype(np.float32), RGB),
        (RGB / 255, RGB),
    ],
    ids=["rgb", "rgba", "one channel", "grey", "float32", "float64"],
)
def test_raw_frames_become_rgb(file: h5py.File, stored: np.ndarray, expected: np.ndarray) -> None:
    file["f"] = stored
    frames = RawFrameColumn(file["f"]).read()
    assert frames.dtype == np.uint8
    np.testing.assert_array_equal(frames, expected)


def test_colours_and_orientation(file: h5py.File) -> None:
    file["f"] = RGB
    np.testing.assert_array_equal(RawFrameColumn(file["f"], color="bgr").read(), RGB[..., ::-1])
    np.testing.assert_array_equal(RawFrameColumn(file["f"], flip="vertical").read(), RGB[:, ::-1])
    turned = RawFrameColumn(file["f"], "image", color="bgr", flip="rotate180")
    np.testing.assert_array_equal(turned.read(2, 5), RGB[2:5, ::-1, ::-1, ::-1])
    assert turned.feature.dtype == "image"


@pytest.mark.parametrize("worst", [1.01, -0.01, np.nan, 255.0])
def test_float_frames_outside_their_range_name_the_row(file: h5py.File, worst: float) -> None:
    frames = (RGB / 255).astype(np.float32)
    frames[4, 3, 3, 1] = worst
    file["f"] = frames
    error = rejection(RawFrameColumn(file["f"]).read)
    assert error.reason == "bad_image"
    assert "row 4" in error.detail


@pytest.mark.parametrize("stored", [RGB.transpose(0, 3, 1, 2), RGB.astype(np.uint16), RGB[0, 0]])
def test_arrays_that_are_no_frames(file: h5py.File, stored: np.ndarray) -> None:
    file["f"] = stored
    assert rejection(lambda: RawFrameColumn(file["f"])).reason == "bad_image"


def vlen(file: h5py.File, rows: list[bytes]) -> h5py.Dataset:
    dataset = file.create_dataset("f", (len(rows),), h5py.vlen_dtype(np.uint8))
    for index, row in enumerate(rows):
        dataset[index] = np.frombuffer(row, np.uint8)
    return dataset


def padded(file: h5py.File, rows: list[bytes]) -> h5py.Dataset:
    longest = max(map(len, rows)) + 5
    return file.create_dataset("f", data=np.stack([np.frombuffer(r.ljust(longest, b"\0"), np.uint8) for r in rows]))


def padded_and_compressed(file: h5py.File, rows: list[bytes]) -> h5py.Dataset:
    longest = max(map(len, rows)) + 5
    data = np.stack([np.frombuffer(r.ljust(longest, b"\0"), np.uint8) for r in rows])
    return file.create_dataset("f", data=data, chunks=(4, 50), compression="gzip")


def fixed_bytes(file: h5py.File, rows: list[bytes]) -> h5py.Dataset:
    return file.create_dataset("f", data=np.array(rows, dtype="S"))


def opaque(file: h5py.File, rows: list[bytes]) -> h5py.Dataset:
    longest = max(map(len, rows))
    return file.create_dataset("f", data=np.array([np.void(row.ljust(longest, b"\0")) for row in rows]))


STORAGES = [vlen, padded, padded_and_compressed, fixed_bytes, opaque]


@pytest.mark.parametrize("store", STORAGES)
def test_encoded_rows(file: h5py.File, store: Callable[[h5py.File, list[bytes]], h5py.Dataset]) -> None:
    dataset = store(file, [encode_png(frame) for frame in RGB])
    column = EncodedFrameColumn(dataset)
    assert column.feature.shape == (20, 30, 3)
    np.testing.assert_array_equal(column.read(), RGB)
    np.testing.assert_array_equal(
        EncodedFrameColumn(dataset, color="bgr", flip="vertical").read(1, 4), RGB[1:4, ::-1, :, ::-1]
    )


def test_jpeg_rows_keep_their_colours(file: h5py.File) -> None:
    flat = np.zeros((2, 32, 32, 3), np.uint8)
    flat[0], flat[1] = (200, 40, 60), (30, 60, 210)
    frames = EncodedFrameColumn(vlen(file, [encode_jpeg(frame, 95) for frame in flat])).read().astype(int)
    assert np.abs(frames - flat).max() <= 4


def test_batches_are_bounded(file: h5py.File) -> None:
    large = np.zeros((480, 640, 3), np.uint8)
    rows = [encode_png(large)] * 20
    sizes = [len(batch) for batch in EncodedFrameColumn(vlen(file, rows)).batches(1, 20)]
    assert sum(sizes) == 19
    assert max(sizes) * large.nbytes <= 9 << 20


@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: b"no image", lambda data: data[: len(data) // 2]])
def test_a_bad_row_is_named(file: h5py.File, damage: Callable[[bytes], bytes]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (4, 40, 40, 3), dtype=np.uint8)
    rows = [encode_jpeg(frame) for frame in noise]
    rows[2] = damage(rows[2])
    column = EncodedFrameColumn(vlen(file, rows))
    error = rejection(column.read)
    assert error.reason == "bad_image"
    assert "/f row 2" in error.detail
    assert f"{len(rows[2]):,} bytes" in error.detail
    rows[0] = b"\x00\x01\x02"
    del file["f"]
    error = rejection(lambda: EncodedFrameColumn(vlen(file, rows)))
    assert (error.reason, "row 0" in error.detail) == ("bad_image", True)


def test_another_size_is_named(file: h5py.File) -> None:
    rows = [encode_png(frame) for frame in RGB]
    rows[3] = encode_png(RGB[3, :10])
    error = rejection(EncodedFrameColumn(vlen(file, rows)).read)
    assert error.reason == "image_size_changed"
    assert "row 3 is 10x30, row 0 is 20x30" in error.detail


def test_no_rows(file: h5py.File) -> None:
    assert rejection(lambda: EncodedFrameColumn(vlen(file, []))).reason == "empty_episode"

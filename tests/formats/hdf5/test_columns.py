from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from robotrove.core.errors import EpisodeRejected
from robotrove.formats.hdf5.columns import Assume, EncodedFrameColumn, RawFrameColumn, depth_or_mask, left_out
from robotrove.formats.hdf5.hdf5_file import FlatGroup
from robotrove.media.image.images import encode_jpeg, encode_png
from robotrove.tests.support.media.pictures16 import png16

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


HALF = np.random.default_rng(4).random((6, 20, 30, 3)).astype(np.float16)  # 255 times it, in float16, is rounded twice


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (RGB, RGB),
        (np.concatenate([RGB, np.full((6, 20, 30, 1), 77, np.uint8)], axis=3), RGB),
        (RGB[..., :1], RGB[..., [0, 0, 0]]),
        (RGB[..., 1], RGB[..., [1, 1, 1]]),
        ((RGB / 255).astype(np.float32), RGB),
        (RGB / 255, RGB),
        (RGB.transpose(0, 3, 1, 2), RGB),
        (np.pad(RGB, ((0, 0), (0, 0), (0, 0), (0, 1)), constant_values=77).transpose(0, 3, 1, 2), RGB),
        (RGB[:, None, :, :, 1], RGB[..., [1, 1, 1]]),
        ((RGB / 255).astype(">f4").transpose(0, 3, 1, 2), RGB),
        ((RGB // 85 / 3).astype(np.float16), RGB // 85 * 85),
        (HALF, np.rint(HALF.astype(np.float64) * 255).astype(np.uint8)),
    ],
    ids=[
        *(
            "rgb",
            "rgba",
            "one channel",
            "grey",
            "float32",
            "float64",
            "channels first",
            "rgba first",
            "one channel first",
        ),
        *("floats with channels first", "float16", "float16 between levels"),
    ],
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


def test_channels_first_in_chunks_of_parts_of_frames(file: h5py.File) -> None:
    file.create_dataset("f", data=RGB.transpose(0, 3, 1, 2), chunks=(4, 2, 7, 30), compression="gzip")
    turned = RawFrameColumn(file["f"], color="bgr", flip="vertical")
    assert turned.feature.shape == (20, 30, 3)
    np.testing.assert_array_equal(turned.read(1, 5), RGB[1:5, ::-1, :, ::-1])


def test_the_last_axis_wins_where_two_can_be_colours(file: h5py.File) -> None:
    file["f"] = RGB[:, :3]
    np.testing.assert_array_equal(RawFrameColumn(file["f"]).read(), RGB[:, :3])


@pytest.mark.parametrize("worst", [1.01, -0.01, np.nan, 255.0])
def test_float_frames_outside_their_range_name_the_row(file: h5py.File, worst: float) -> None:
    frames = (RGB / 255).astype(np.float32)
    frames[4, 3, 3, 1] = worst
    file["f"] = frames
    error = rejection(RawFrameColumn(file["f"]).read)
    assert error.reason == "bad_image"
    assert "row 4" in error.detail


@pytest.mark.parametrize(
    ("stored", "reason", "words"),
    [
        (RGB[0, 0], "bad_image", "(30, 3)"),
        (RGB[..., :2], "bad_image", "(6, 20, 30, 2)"),
        (np.zeros((6, 2, 3, 20, 30), np.uint8), "bad_image", "(6, 2, 3, 20, 30)"),
        (RGB.astype(np.uint16), "image_dtype", "(6, 20, 30, 3) is uint16"),
        (RGB.astype(">u2"), "image_dtype", "(6, 20, 30, 3) is uint16"),
        (RGB.astype(np.int32), "image_dtype", "(6, 20, 30, 3) is int32"),
        (RGB > 9, "image_dtype", "(6, 20, 30, 3) is bool"),
    ],
)
def test_arrays_that_are_no_frames(file: h5py.File, stored: np.ndarray, reason: str, words: str) -> None:
    file["f"] = stored
    error = rejection(lambda: RawFrameColumn(file["f"]))
    assert error.reason == reason
    assert "/f " in error.detail
    assert words in error.detail


GREY = RGB[..., 1]
RGBA = np.pad(RGB, ((0, 0), (0, 0), (0, 0), (0, 1)), constant_values=255)
LAST_PIXEL = RGBA.copy()
LAST_PIXEL[5, 19, 29, 3] = 254


@pytest.mark.parametrize(
    ("name", "stored", "assume", "found"),
    [
        ("front", RGB, None, ""),
        ("front", RGB / 255, None, ""),
        ("front", (RGB / 255).astype(np.float16), None, ""),
        ("front", GREY, None, ""),
        ("front", GREY[..., None], None, ""),
        ("front", GREY[:, None], None, ""),
        ("front", RGBA, None, ""),
        ("front", RGBA.transpose(0, 3, 1, 2), None, ""),
        ("front", RGBA / 255, None, ""),
        # depth: one channel, and not of 8 bits
        ("front", GREY.astype(np.float32), None, "depth (one channel of float32; "),
        ("front", GREY[..., None] / 255, None, "depth (one channel of float64; "),
        ("front", GREY[:, None].astype(np.float16), None, "depth (one channel of float16; "),
        ("front", GREY.astype(np.uint16), None, "depth (one channel of uint16)"),
        ("front", GREY[..., None].astype(">u2"), None, "depth (one channel of uint16)"),
        ("front", GREY[:, None].astype(np.int16), None, "depth (one channel of int16)"),
        ("front", GREY.astype(np.int32) * 0, None, "depth (one channel of int32)"),
        ("front", GREY / 255, "grey", ""),
        ("front", GREY / 255, "colour", "depth (one channel of float64; "),
        ("front", GREY.astype(np.uint16), "grey", "depth (one channel of uint16)"),
        # masks: integers that are not uint8, a fourth channel that is no alpha, a name
        ("front", GREY > 9, None, "a mask (bool; "),
        ("front", GREY[..., None].astype(np.int8), None, "a mask (int8; "),
        ("front", RGB.astype(np.int32), None, "a mask, or colours of more than 8 bits (int32; "),
        ("front", RGB.astype(np.uint16), "colour", "a mask, or colours of more than 8 bits (uint16; "),
        ("front", LAST_PIXEL, None, "a mask (the fourth channel has other values than 255; "),
        ("front", LAST_PIXEL.transpose(0, 3, 1, 2), None, "a mask (the fourth channel has other values than 255; "),
        ("front", RGBA * 0, None, "a mask (the fourth channel has other values than 255; "),
        ("front", LAST_PIXEL / 255, None, "a mask (the fourth channel has other values than 255; "),
        ("front", LAST_PIXEL, "colour", ""),
        ("front", LAST_PIXEL, "grey", "a mask (the fourth channel has other values than 255; "),
        ("table_cam_seg", RGBA, None, "a mask (its name has the word 'seg'; "),
        ("instance_id_segmentation_fast", RGB, None, "a mask (its name has the word 'segmentation'; "),
        ("mask0", GREY, None, "a mask (its name has the word 'mask'; "),
        ("front-masks", RGB, None, "a mask (its name has the word 'masks'; "),
        ("masks/front", RGB, None, "a mask (its name has the word 'masks'; "),
        ("frontMask", GREY, None, "a mask (its name has the word 'mask'; "),
        ("RGBMask", RGB, None, "a mask (its name has the word 'mask'; "),
        ("FRONT_SEG", RGB, None, "a mask (its name has the word 'seg'; "),
        ("wrist_instance_id", RGB, None, "a mask (its name has the word 'instance_id'; "),
        ("table_cam_seg", RGB, "colour", ""),
        ("table_cam_seg", GREY, "grey", ""),
        ("unmasked", RGB, None, ""),
        ("message", RGB, None, ""),
        ("segment_1", RGB, None, ""),
        ("instance_2", RGB, None, ""),
        ("masked", RGB, None, ""),
    ],
)
@pytest.mark.parametrize("storage", [{}, {"chunks": True, "compression": "gzip"}], ids=["contiguous", "gzip"])
def test_depth_and_masks(
    file: h5py.File, name: str, stored: np.ndarray, assume: Assume | None, found: str, storage: dict
) -> None:
    dataset = file.create_dataset(f"obs/{name}", data=stored, **storage)
    reason = depth_or_mask(file, f"obs/{name}", assume)
    assert reason.startswith(found)
    assert bool(reason) == bool(found)
    if not found:  # then it can be read
        assert RawFrameColumn(dataset).read().dtype == np.uint8


def test_what_is_no_camera_is_neither_depth_nor_mask(file: h5py.File) -> None:
    file["pose"] = np.zeros((6, 4, 4), np.float32)
    file["poses"], file["lenses"] = np.zeros((6, 2, 4, 4)), np.zeros((6, 4, 3, 3), np.float32)
    file["action_mask"] = np.zeros((6, 7), bool)
    file["names/mask"] = ["a", "b"]
    file["words"] = np.array(["a", "b"], "S3")
    file["empty"] = h5py.Empty("f4")
    file["flow"] = np.zeros((6, 20, 30, 2), np.float32)
    file["one"] = 3.0
    file["none"] = np.zeros((0, 20, 30, 4), np.uint8)
    for path in ("pose", "poses", "lenses", "action_mask", "names/mask", "words", "empty", "flow", "one", "none"):
        assert left_out(file, path) == ""
    file["tactile"] = np.zeros((6, 16, 16), np.float32)
    assert left_out(file, "tactile").startswith("depth (one channel of float32; ")


def array_rows(file: h5py.File, rows: np.ndarray) -> h5py.Dataset:
    """Store frames as rows of the type H5T_ARRAY."""
    dataset = file.create_dataset("f", (len(rows),), np.dtype((rows.dtype, rows.shape[1:])))
    dataset[:] = rows
    return dataset


def test_rows_of_an_array_type_are_frames_too(file: h5py.File) -> None:
    for stored, expected in ((RGB, RGB), (RGBA, RGB), (RGB.transpose(0, 3, 1, 2), RGB)):
        dataset = array_rows(file, stored)
        assert (dataset.shape, depth_or_mask(file, "f")) == ((6,), "")
        np.testing.assert_array_equal(RawFrameColumn(dataset, flip="vertical").read(1, 4), expected[1:4, ::-1])
        del file["f"]
    array_rows(file, LAST_PIXEL)
    assert left_out(file, "f").startswith("a mask (the fourth channel")
    del file["f"]
    array_rows(file, GREY.astype(np.uint16))
    assert left_out(file, "f") == "depth (one channel of uint16)"


def test_of_episodes_end_to_end_each_has_its_own_rows(file: h5py.File) -> None:
    file["f"] = LAST_PIXEL
    first, second = (FlatGroup(file["/"], rows, 6) for rows in (range(5), range(5, 6)))
    assert depth_or_mask(first, "f") == ""
    assert depth_or_mask(second, "f").startswith("a mask (the fourth channel")


def test_masks_are_found_in_the_last_row_without_the_memory_of_all(file: h5py.File) -> None:
    frames = file.create_dataset("f", (900, 64, 64, 4), np.uint8, chunks=(1, 64, 64, 4), fillvalue=255)
    assert depth_or_mask(file, "f") == ""
    frames[899, 63, 63, 3] = 0
    tracemalloc.start()
    assert depth_or_mask(file, "f").startswith("a mask (the fourth channel")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 12 << 20  # all frames are 15 MB


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


@pytest.mark.parametrize("store", STORAGES)
@pytest.mark.parametrize("bad", [0, 3])
def test_more_than_8_bits_in_any_row_are_refused(
    file: h5py.File, store: Callable[[h5py.File, list[bytes]], h5py.Dataset], bad: int
) -> None:
    rows = [encode_png(frame) for frame in RGB]
    rows[bad] = png16(np.full((20, 30), 1000, np.uint16))
    dataset = store(file, rows)
    error = rejection(EncodedFrameColumn(dataset).read if bad else lambda: EncodedFrameColumn(dataset))
    assert error.reason == "image_dtype"
    assert f"/f row {bad} " in error.detail
    assert "16 bits" in error.detail


@pytest.mark.parametrize("store", STORAGES)
def test_depth_and_colour_of_16_bits_are_told_apart(
    file: h5py.File, store: Callable[[h5py.File, list[bytes]], h5py.Dataset]
) -> None:
    store(file, [png16(np.full((20, 30), 1000, np.uint16))] * 4)
    assert depth_or_mask(file, "f", "grey") == left_out(file, "f") == "depth (grey of 16 bits)"
    del file["f"]
    dataset = store(file, [png16(np.full((20, 30, 3), 1000, np.uint16))] * 4)
    assert depth_or_mask(file, "f") == ""
    assert rejection(lambda: EncodedFrameColumn(dataset)).reason == "image_dtype"
    del file["f"]
    store(file, [encode_png(RGB[0])] * 4)
    file["seg/f"] = file["f"]
    assert depth_or_mask(file, "seg/f").startswith("a mask (its name has the word 'seg'; ")
    assert depth_or_mask(file, "seg/f", "colour") == ""


@pytest.mark.parametrize("store", STORAGES)
@pytest.mark.parametrize("tail", [b"\r\n", b"\xff" * 7, b"\xff\xd9", encode_jpeg(RGB[0])])
def test_bytes_after_the_end_of_a_row(
    file: h5py.File, store: Callable[[h5py.File, list[bytes]], h5py.Dataset], tail: bytes
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (4, 40, 40, 3), dtype=np.uint8)
    rows = [encode_jpeg(frame) for frame in noise]
    expected = EncodedFrameColumn(store(file, rows)).read()
    del file["f"]
    np.testing.assert_array_equal(EncodedFrameColumn(store(file, [row + tail for row in rows])).read(), expected)
    del file["f"]
    cut = rows[1][:-40] + tail.removesuffix(b"\xff\xd9")
    error = rejection(EncodedFrameColumn(store(file, [rows[0], cut, *rows[2:]])).read)
    assert error.reason == "bad_image"
    assert "/f row 1 " in error.detail


def test_rows_without_storage_do_not_make_a_mask(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        camera = file.create_dataset("front", (6, 16, 16, 4), "u1", chunks=(2, 16, 16, 4))
        camera[:4] = 255
        assert depth_or_mask(file, "front") == ""
        camera[2] = 0
        assert depth_or_mask(file, "front").startswith("a mask")

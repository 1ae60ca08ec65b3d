from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from robotrove.formats.hdf5 import preview as module
from robotrove.formats.hdf5.mapping import ColumnSpec
from robotrove.formats.hdf5.preview import Preview, pictures, preview, spread
from robotrove.media.image.images import encode_png
from robotrove.tests.support.media.pictures16 import png16
from robotrove.tests.support.missing_filter import packed_by_zfp


@pytest.fixture
def file(tmp_path: Path) -> h5py.File:
    with h5py.File(tmp_path / "a.hdf5", "w") as opened:
        yield opened


def test_numbers(file: h5py.File) -> None:
    file["x"] = np.array([[1.0, np.nan], [np.inf, 4.0], [-2.0, 5.0]])
    found = Preview([1.0, pytest.approx(np.nan, nan_ok=True)], [-2.0, 5.0], -2.0, 2.0, 5.0, 2, None, 3, 3)
    assert preview(file, "/x") == found
    file["flags"] = np.array([True, False, True, True])
    assert preview(file, "/flags") == Preview(True, True, False, 0.75, True, 0, None, 4, 4)
    file["one"] = np.int64(7)
    assert preview(file, "/one") == Preview(7, 7, 7, 7.0, 7, 0, None, 1, 1)
    file["nan"] = np.array([np.nan])
    assert (preview(file, "/nan").mean, preview(file, "/nan").not_finite) == (None, 1)


@pytest.mark.filterwarnings("error")
def test_numbers_whose_sum_is_too_large_give_no_warning(file: h5py.File) -> None:
    file["x"] = np.full((2, 40, 40), 1e308)
    file["x"][0] = -1e308
    found = preview(file, "x")
    assert found is not None
    assert (found.minimum, found.maximum, found.not_finite) == (-1e308, 1e308, 0)
    assert len(pictures(file, "x", 2).rows) == 2


def test_texts(file: h5py.File) -> None:
    file["texts"] = np.array(["pick", "place", "pick"], dtype=h5py.string_dtype())
    assert preview(file, "/texts") == Preview("pick", "pick", different=2, rows=3, rows_read=3)
    file["fixed"] = np.array([b"a", b"b"])
    assert preview(file, "/fixed") == Preview("a", "b", different=2, rows=2, rows_read=2)


def test_what_has_no_values(file: h5py.File) -> None:
    file["empty"] = np.zeros((0, 7))
    file["null"] = h5py.Empty("f4")
    file["pair"] = np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")])
    file["refs"] = np.array([file["empty"].ref], dtype=h5py.ref_dtype)
    assert [preview(file, name) for name in ("empty", "null", "pair", "refs", "/", "no")] == [None] * 6


def test_a_sample_of_many_rows(file: h5py.File, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 16 * 10 * 8)
    file["x"] = np.arange(16_000.0)
    read: list[slice] = []
    original = h5py.Dataset.__getitem__
    monkeypatch.setattr(h5py.Dataset, "__getitem__", lambda self, at: read.append(at) or original(self, at))
    found = preview(file, "/x")
    assert (found.first, found.last, found.rows, found.rows_read) == (0.0, 15_999.0, 16_000, 160)
    assert found.mean == pytest.approx(7999.5)  # the runs of rows lie symmetrically
    assert [at.stop - at.start for at in read] == [10] * 16


def test_a_damaged_chunk(file: h5py.File) -> None:
    path = file.filename
    data = file.create_dataset("x", data=np.arange(160), chunks=(10,), compression="gzip")
    data.id.write_direct_chunk((70,), b"no gzip")
    file.close()
    with h5py.File(path) as again:
        found = preview(again, "/x")
    assert found.problem.startswith("rows 70 to 79 cannot be read: ")
    assert (found.first, found.last, found.rows, found.rows_read) == (0, 159, 160, 150)
    assert found.mean == pytest.approx((sum(range(160)) - sum(range(70, 80))) / 150)


def test_rows_and_chunks_that_are_too_large(file: h5py.File, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_CHUNK", 7999)
    file.create_dataset("chunk", data=np.zeros(1000), chunks=(1000,), compression="gzip")
    file.create_dataset("plain", data=np.zeros(1000), chunks=(1000,))  # HDF5 reads a part of such a chunk
    file.create_dataset("rgb", data=np.zeros((2, 50, 40, 3), np.uint8), chunks=(2, 50, 40, 3), compression="lzf")
    told = "a chunk has 8,000 bytes, more than the 7,999 that a preview reads"
    assert preview(file, "/chunk") == Preview(rows=1000, skipped=told)
    assert preview(file, "/plain").rows_read == 1000
    assert pictures(file, "/rgb", 4).skipped == "a chunk has 12,000 bytes, more than the 7,999 that a preview reads"
    monkeypatch.setattr(module, "MAX_BYTES", 799)
    file["row"] = np.zeros((5, 100))
    assert preview(file, "/row").skipped == "a row has 800 bytes, more than the 799 that a preview reads"


def test_a_missing_filter_is_no_damage(file: h5py.File) -> None:
    packed_by_zfp(file, (8, 2))
    assert preview(file, "/rows") == Preview(skipped="it needs the filter zfp (32013): pip install hdf5plugin")


def test_pictures(file: h5py.File) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (10, 20, 30, 3), np.uint8)
    file["raw"] = frames
    file["first"] = frames.transpose(0, 3, 1, 2)
    encoded = file.create_dataset("png", (10,), h5py.vlen_dtype(np.uint8))
    for row, frame in enumerate(frames):
        encoded[row] = np.frombuffer(encode_png(frame), np.uint8)
    for name in ("raw", "first", "png"):
        found = pictures(file, name, 4)
        assert [row for row, _ in found.rows] == [0, 3, 6, 9]
        for row, frame in found.rows:
            np.testing.assert_array_equal(frame, frames[row])
    assert preview(file, "png") is None
    assert preview(file, "raw").maximum == 255
    encoded[6] = encoded[6][:50]
    found = pictures(file, "png", 4)
    assert [row for row, _ in found.rows] == [0, 3, 9]
    assert found.problem.startswith("/png row 6 cannot be decoded")
    file["joints"] = np.zeros((10, 7))
    assert pictures(file, "joints", 4).rows == ()


def test_a_large_chunk_is_inflated_for_few_runs_of_rows(file: h5py.File, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 8000)
    monkeypatch.setattr(module, "_MAX_INFLATED", 3 * 160_000)
    file.create_dataset("x", data=np.arange(20_000.0), chunks=(20_000,), compression="gzip")
    read: list[slice] = []
    original = h5py.Dataset.__getitem__
    monkeypatch.setattr(h5py.Dataset, "__getitem__", lambda self, at: read.append(at) or original(self, at))
    assert preview(file, "/x").rows_read == 3 * 333
    assert [(at.start, at.stop) for at in read] == [(0, 333), (9833, 10166), (19_667, 20_000)]


def test_rows_of_chunks_of_several_frames(file: h5py.File) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (9, 100, 150, 3), np.uint8)
    depth = frames[..., 0].astype(">f4")
    made = {"chunks": (4, 100, 150, 3), "compression": "gzip"}
    file.create_dataset("gzip", data=frames, **made)
    file.create_dataset("shuffled", data=frames, shuffle=True, **made)
    file.create_dataset("summed", data=frames, fletcher32=True, **made)
    file.create_dataset("plain", data=frames, chunks=made["chunks"])
    file.create_dataset("tiles", data=frames, chunks=(4, 50, 50, 1), compression="gzip")
    for name in file:
        found = pictures(file, name, 9)
        assert (found.problem, [row for row, _ in found.rows]) == ("", list(range(9)))
        np.testing.assert_array_equal([frame for _, frame in found.rows], frames)
    file.create_dataset("depth", data=depth, chunks=(4, 100, 150), compression="gzip")
    found = pictures(file, "depth", 9)
    assert found.note == "black is 0, white is 255"
    np.testing.assert_array_equal([frame[..., 0] for _, frame in found.rows], frames[..., 0])
    file.create_dataset("never", (9, 100, 150, 3), np.uint8, fillvalue=7, **made)
    assert {int(frame.max()) for _, frame in pictures(file, "never", 9).rows} == {7}


def test_rows_before_the_damage_of_a_chunk(file: h5py.File) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (4, 100, 150, 3), np.uint8)
    data = file.create_dataset("cam", data=frames, chunks=(4, 100, 150, 3), compression="gzip")
    _, packed = data.id.read_direct_chunk((0, 0, 0, 0))
    data.id.write_direct_chunk((0, 0, 0, 0), packed[: len(packed) * 6 // 10])
    found = pictures(file, "cam", 4)
    assert [row for row, _ in found.rows] == [0, 1]
    np.testing.assert_array_equal([frame for _, frame in found.rows], frames[:2])
    assert found.problem.startswith("row 2 cannot be read: ")


def test_one_picture(file: h5py.File) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    file["rgb"] = rgb
    file["rgba"] = np.dstack([rgb, np.zeros((40, 50), np.uint8)])
    for name in ("rgb", "rgba"):
        found = pictures(file, name, 4)
        [(row, frame)] = found.rows
        assert (row, found.note) == (0, "one picture")
        np.testing.assert_array_equal(frame, rgb)
    file["grey"] = np.arange(64 * 64, dtype=np.uint8).reshape(64, 64)
    [(_, frame)] = pictures(file, "grey", 4).rows
    assert frame.shape == (64, 64, 3)
    assert frame[1, 5].tolist() == [69, 69, 69]


def test_depth_is_grey_from_its_smallest_to_its_largest_value(file: h5py.File) -> None:
    depth = np.full((5, 32, 40), 3.0, np.float32)
    depth[0, 0, 0], depth[4, 0, 0], depth[2] = 1.0, 5.0, 100.0
    depth[0, 0, 1:4] = np.nan, np.inf, -np.inf
    file["frames"] = depth
    found = pictures(file, "frames", 2)  # frames 0 and 4
    assert (found.note, [row for row, _ in found.rows]) == ("black is 1, white is 5", [0, 4])
    first, last = (frame for _, frame in found.rows)
    assert first[0, :5].tolist() == [[0] * 3, [0] * 3, [255] * 3, [0] * 3, [128] * 3]  # (3 - 1) / 4 of 255
    assert last[0, 0].tolist() == [255] * 3
    file["channel"] = depth[..., None]
    np.testing.assert_array_equal(pictures(file, "channel", 2).rows[0][1], first)
    file["first"] = depth[:, None]
    np.testing.assert_array_equal(pictures(file, "first", 2).rows[0][1], first)
    millimetres = np.full((64, 80), 1000, np.uint16)
    millimetres[0, 0], millimetres[0, 1] = 0, 4000
    file["one"] = millimetres
    found = pictures(file, "one", 4)
    assert found.note == "one picture, black is 0, white is 4000"
    assert found.rows[0][1][0, :3, 0].tolist() == [0, 255, 64]
    assert preview(file, "one").maximum == 4000
    file["colours"] = np.full((2, 32, 32, 3), (0, 0.5, 0.2), np.float16)
    assert pictures(file, "colours", 1).rows[0][1][0, 0].tolist() == [0, 128, 51]


def test_numbers_that_are_no_pictures(file: h5py.File) -> None:
    file["joints"] = np.zeros((100, 63))
    file["short"] = np.zeros((30, 40))
    file["poses"] = np.zeros((100, 4, 4))
    file["points"] = np.zeros((100, 120, 3))
    file["actions"] = np.zeros((100, 50, 14))
    file["tensor"] = np.zeros((10, 3, 6, 6))
    file["embeddings"] = np.zeros((100, 512))
    assert {name: len(pictures(file, name, 4).rows) for name in file} == dict.fromkeys(file, 0)


def test_pictures_as_the_layout_converts_them(file: h5py.File) -> None:
    frames = np.zeros((2, 32, 32, 3), np.uint8)
    frames[:, 0] = 255, 10, 0
    file["demo/obs/cam"] = frames
    encoded = file.create_dataset("demo/obs/png", (2,), h5py.vlen_dtype(np.uint8))
    for row, frame in enumerate(frames):
        encoded[row] = np.frombuffer(encode_png(frame), np.uint8)
    specs = {
        "obs/cam": ColumnSpec(source="obs/cam", color="bgr", flip="vertical"),
        "obs/png": ColumnSpec(source="obs/png", color="bgr"),
    }
    found = pictures(file, "/demo/obs/cam", 1, specs)
    assert found.note == "color: bgr, flip: vertical"
    assert (found.rows[0][1][0, 0].tolist(), found.rows[0][1][31, 0].tolist()) == ([0, 0, 0], [0, 10, 255])
    found = pictures(file, "/demo/obs/png", 1, specs)
    assert (found.note, found.rows[0][1][0, 0].tolist()) == ("color: bgr", [0, 10, 255])
    assert pictures(file, "/demo/obs/cam", 1).rows[0][1][0, 0].tolist() == [255, 10, 0]


def test_a_png_of_16_bits_is_no_damage(file: h5py.File) -> None:
    data = np.frombuffer(png16(np.zeros((32, 32, 1), np.uint16)), np.uint8)
    file.create_dataset("depth", (1,), h5py.vlen_dtype(np.uint8))[0] = data
    found = pictures(file, "/depth", 4)
    assert (found.rows, found.problem) == ((), "")
    assert found.skipped.endswith("a PNG with 16 bits for each grey pixel; pictures have 8")


def test_rows_of_a_missing_file_are_named(file: h5py.File) -> None:
    source = h5py.VirtualSource("gone.hdf5", "cam", (4, 32, 32))
    layout = h5py.VirtualLayout((4, 32, 32), np.float32)
    layout[:] = source
    file.create_virtual_dataset("cam", layout)
    found = pictures(file, "/cam", 2)
    assert not found.rows
    assert found.problem.startswith("row 0 cannot be read: ")
    assert "gone.hdf5" in found.problem
    assert "gone.hdf5" in preview(file, "/cam").problem


@pytest.mark.parametrize(
    ("length", "count", "rows"), [(0, 4, []), (3, 4, [0, 1, 2]), (10, 4, [0, 3, 6, 9]), (5, 1, [0]), (100, 2, [0, 99])]
)
def test_spread(length: int, count: int, rows: list[int]) -> None:
    assert list(spread(length, count)) == rows

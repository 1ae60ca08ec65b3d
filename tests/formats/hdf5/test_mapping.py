from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from robotrove.core.errors import EpisodeRejected
from robotrove.formats.hdf5.chunked_rows import ChunkedRows
from robotrove.formats.hdf5.mapping import ColumnSpec, build_column
from robotrove.media.image.images import encode_png
from robotrove.tests.support.array_types import write_array
from robotrove.tests.support.media.pictures16 import png16

LEFT = np.arange(20, dtype=np.float64).reshape(5, 4) / 3
RIGHT = LEFT + 100
PIXELS = np.arange(5 * 8 * 9 * 3, dtype=np.uint8).reshape(5, 8, 9, 3)


@pytest.fixture
def group(tmp_path: Path):
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        group = file.create_group("ep")
        group["left/q"], group["right/q"] = LEFT, RIGHT
        group["big"] = LEFT.astype(">f8")
        group["counts"] = np.arange(5, dtype=np.uint8)
        group["flags"] = np.array([True, False, True, True, False])
        group["pose"] = np.arange(80, dtype=np.float32).reshape(5, 4, 4)
        group["rgb"] = PIXELS
        group["depth"] = np.ones((5, 8, 9, 1), np.float32)
        group["words"] = ["a", "é", "", "d", "e"]
        group["short"] = LEFT[:3]
        group["complex"] = LEFT + 1j
        group["scalar"] = 3.0
        png = [encode_png(frame) for frame in PIXELS]
        group["png"] = np.array(png, dtype="S")
        yield group


def build(group: h5py.Group, spec: Any, key: str = "x"):
    return build_column(group, ColumnSpec.model_validate(spec), key)


def rejected(group: h5py.Group, spec: Any, key: str = "x") -> EpisodeRejected:
    with pytest.raises(EpisodeRejected) as caught:
        build(group, spec, key)
    return caught.value


def test_floats_become_float32_unless_kept(group: h5py.Group) -> None:
    column = build(group, "left/q")
    assert column.feature.to_json() == {"dtype": "float32", "shape": [4], "names": ["q_0", "q_1", "q_2", "q_3"]}
    np.testing.assert_array_equal(column.read(), LEFT.astype(np.float32))
    for path in ("left/q", "big"):
        kept = build(group, {"from": path, "dtype": "keep"})
        assert kept.feature.dtype == "float64"
        assert kept.read().dtype == np.dtype("float64")
        np.testing.assert_array_equal(kept.read(1, 3), LEFT[1:3])


def test_integers_and_booleans(group: h5py.Group) -> None:
    counts, flags = build(group, "counts"), build(group, "flags")
    assert (counts.feature.dtype, counts.feature.shape, counts.feature.names) == ("int64", (1,), None)
    assert counts.read().dtype == np.int64
    np.testing.assert_array_equal(counts.read(), np.arange(5)[:, None])
    assert (flags.feature.dtype, flags.read()[:, 0].tolist()) == ("bool", [True, False, True, True, False])
    assert build(group, {"from": "counts", "dtype": "keep"}).feature.dtype == "uint8"
    assert build(group, {"from": "counts", "dtype": "float32"}).read().dtype == np.float32


def test_slices_side_by_side(group: h5py.Group) -> None:
    spec = [{"from": "right/q", "slice": [1, 3]}, "left/q", "counts"]
    column = build(group, spec)
    expected = np.concatenate([RIGHT[:, 1:3], LEFT, np.arange(5)[:, None]], axis=1).astype(np.float32)
    np.testing.assert_array_equal(column.read(), expected)
    assert column.feature.names == (
        "right.q_1", "right.q_2", "left.q_0", "left.q_1", "left.q_2", "left.q_3", "counts",
    )  # fmt: skip
    np.testing.assert_array_equal(column.read(2, 4), expected[2:4])


def test_one_slice_and_names(group: h5py.Group) -> None:
    column = build(group, {"from": "left/q", "slice": [2, 4], "names": ["lift", "grip"]})
    np.testing.assert_array_equal(column.read(), LEFT[:, 2:4].astype(np.float32))
    assert column.feature.names == ("lift", "grip")
    assert "3 names" in rejected(group, {"from": "left/q", "names": ["a", "b", "c"]}).detail
    assert rejected(group, {"from": "left/q", "slice": [2, 5]}).reason == "bad_slice"
    assert rejected(group, {"from": "left/q", "slice": [3, 3]}).reason == "bad_slice"
    assert rejected(group, {"from": "counts", "slice": [0, 1]}).reason == "bad_slice"


def test_matrices_only_when_asked_for(group: h5py.Group) -> None:
    column = build(group, "pose")
    assert (column.feature.shape, column.feature.names) == ((4, 4), None)
    np.testing.assert_array_equal(column.read(), np.arange(80, dtype=np.float32).reshape(5, 4, 4))
    assert rejected(group, ["pose", "counts"]).reason == "bad_shape"
    assert rejected(group, "depth").reason == "image_dtype"


def test_cameras(group: h5py.Group) -> None:
    column = build(group, "rgb", "observation.images.front")
    assert column.feature.to_json() == {
        "dtype": "video",
        "shape": [8, 9, 3],
        "names": ["height", "width", "channels"],
    }
    np.testing.assert_array_equal(column.read(), PIXELS)
    assert build(group, {"from": "rgb", "kind": "image"}).feature.dtype == "image"
    encoded = build(group, {"from": "png", "color": "bgr"})
    assert encoded.feature.dtype == "video"
    np.testing.assert_array_equal(encoded.read(), PIXELS[..., ::-1])
    assert rejected(group, {"from": "rgb", "slice": [0, 2]}).reason == "bad_shape"


DEPTH = np.arange(5 * 8 * 9, dtype=np.float64).reshape(5, 8, 9, 1) / 360
NO_PICTURES = {
    "float": (DEPTH.astype(np.float32), "(5, 8, 9, 1) of float32", "depth"),
    "half": (DEPTH.astype(np.float16), "(5, 8, 9, 1) of float16", "depth"),
    "first": (DEPTH.transpose(0, 3, 1, 2), "(5, 1, 8, 9) of float64", "depth"),
    "millimetres": ((DEPTH * 3000).astype(np.uint16), "(5, 8, 9, 1) of uint16", "depth"),
    "big_endian": ((DEPTH * 3000).astype(">u2"), "(5, 8, 9, 1) of uint16", "depth"),
    "signed": ((DEPTH * 3000).astype(np.int16), "(5, 8, 9, 1) of int16", "depth"),
    "labels": ((PIXELS[..., :1] > 9), "(5, 8, 9, 1) of bool", "a mask"),
    "wide": (PIXELS.astype(np.int32), "(5, 8, 9, 3) of int32", "a mask, or colours of more than 8 bits"),
    "colours16": (PIXELS.astype(np.uint16), "(5, 8, 9, 3) of uint16", "a mask, or colours of more than 8 bits"),
    "rgba": (np.concatenate([PIXELS, PIXELS[..., :1]], axis=3), "(5, 8, 9, 4) of uint8", "a mask (the fourth channel"),
    "cam_seg": (PIXELS, "(5, 8, 9, 3) of uint8", "a mask (its name has the word 'seg'"),
}


@pytest.mark.parametrize("kind", ["auto", "video", "image"])
@pytest.mark.parametrize("name", NO_PICTURES)
def test_depth_and_masks_are_no_cameras(group: h5py.Group, name: str, kind: str) -> None:
    rows, found, reason = NO_PICTURES[name]
    group[name] = rows
    error = rejected(group, {"from": name, "kind": kind}, "observation.images.x")
    assert error.reason == "image_dtype"
    assert error.detail.startswith(f"/ep/{name} {found} is not a picture but {reason}")


@pytest.mark.parametrize("kind", ["auto", "video", "image"])
def test_encoded_depth_and_masks_are_no_cameras(group: h5py.Group, kind: str) -> None:
    rows = {
        "far": ([png16(np.full((8, 9), 1000 + row, np.uint16)) for row in range(5)], "depth (grey of 16 bits)"),
        "alpha": ([png16(np.full((8, 9, 2), 1000, np.uint16))] * 5, "depth (grey of 16 bits)"),
        "colours": ([png16(np.full((8, 9, 3), 9000, np.uint16))] * 5, "16 bits for each colour"),
        "mask": ([encode_png(frame) for frame in PIXELS], "a mask (its name has the word 'mask'"),
    }
    for name, (files, reason) in rows.items():
        for storage in ("fixed", "vlen"):
            path = f"{storage}/{name}"
            if storage == "fixed":
                group[path] = np.array(files, "S")
            else:
                group.create_dataset(path, (5,), h5py.vlen_dtype(np.uint8))[:] = [
                    np.frombuffer(f, np.uint8) for f in files
                ]
            error = rejected(group, {"from": path, "kind": kind}, "observation.images.x")
            assert error.reason == "image_dtype"
            assert error.detail.startswith(f"/ep/{path} ")
            assert reason in error.detail


def test_assume_makes_pictures_of_them(group: h5py.Group) -> None:
    for name in ("float", "half", "first", "rgba", "cam_seg"):
        group[name] = NO_PICTURES[name][0]
    group["plain"] = DEPTH[..., 0]
    grey = np.rint(DEPTH * 255).astype(np.uint8)[..., [0, 0, 0]]
    for name in ("float", "first"):
        np.testing.assert_array_equal(build(group, {"from": name, "kind": "video", "assume": "grey"}).read(), grey)
    plain = build(group, {"from": "plain", "kind": "image", "assume": "grey"})
    np.testing.assert_array_equal(plain.read(), grey)
    assert plain.feature.to_json() == {"dtype": "image", "shape": [8, 9, 3], "names": ["height", "width", "channels"]}
    assert build(group, {"from": "plain", "assume": "grey"}).feature.dtype == "video"
    for name in ("rgba", "cam_seg"):
        np.testing.assert_array_equal(build(group, {"from": name, "assume": "colour"}).read(), PIXELS)
    # It is for these alone: depth in metres is no grey, sixteen bits are no colour.
    group["metres"], group["millimetres"] = DEPTH * 3, NO_PICTURES["millimetres"][0]
    with pytest.raises(EpisodeRejected, match=r"bad_image: /ep/metres row 1 has values from 0.6\d* to 1.1\d*"):
        build(group, {"from": "metres", "kind": "video", "assume": "grey"}).read()
    for assume in ("grey", "colour"):
        assert rejected(group, {"from": "millimetres", "assume": assume}).reason == "image_dtype"
    assert rejected(group, {"from": "rgba", "assume": "grey"}).reason == "image_dtype"


def test_channels_first(group: h5py.Group) -> None:
    group["chw"] = PIXELS.transpose(0, 3, 1, 2)
    column = build(group, "chw", "observation.images.top")
    assert column.feature.to_json() == {"dtype": "video", "shape": [8, 9, 3], "names": ["height", "width", "channels"]}
    np.testing.assert_array_equal(column.read(), PIXELS)
    group["flow"] = PIXELS[..., :2]
    error = rejected(group, "flow", "observation.images.flow")
    assert (error.reason, "/ep/flow has shape (5, 8, 9, 2)" in error.detail) == ("bad_image", True)


def test_texts(group: h5py.Group) -> None:
    column = build(group, "words")
    assert (column.feature.dtype, column.feature.shape) == ("string", (1,))
    assert column.read()[:, 0].tolist() == ["a", "é", "", "d", "e"]
    assert rejected(group, {"from": "left/q", "kind": "string"}).reason == "bad_dtype"


ROWS = [[1, None], [None, -1], [0, -1], [1, -1], [-3, None], [2, 4], [None, None], [0, 99], [-99, 2], [-2, 5]]


@pytest.mark.parametrize("rows", ROWS)
def test_rows_are_cut_like_a_slice(group: h5py.Group, rows: list[int | None]) -> None:
    cut = slice(*rows)
    vector = build(group, {"from": "left/q", "rows": rows, "slice": [1, 3], "names": ["a", "b"]})
    assert (vector.length, vector.feature.names) == (len(LEFT[cut]), ("a", "b"))
    np.testing.assert_array_equal(vector.read(), LEFT[cut, 1:3].astype(np.float32))
    for path in ("rgb", "png"):
        np.testing.assert_array_equal(build(group, {"from": path, "rows": rows}).read(), PIXELS[cut])
    assert build(group, {"from": "words", "rows": rows}).read()[:, 0].tolist() == ["a", "é", "", "d", "e"][cut]
    np.testing.assert_array_equal(build(group, {"from": "counts", "rows": rows}).read()[:, 0], np.arange(5)[cut])


def test_rows_of_each_source_are_cut_before_lengths_are_compared(group: h5py.Group) -> None:
    column = build(group, [{"from": "left/q", "rows": [1, -1]}, "short", {"from": "counts", "rows": [-3, None]}])
    expected = np.concatenate([LEFT[1:4], LEFT[:3], np.arange(2, 5)[:, None]], axis=1).astype(np.float32)
    np.testing.assert_array_equal(column.read(), expected)
    np.testing.assert_array_equal(column.read(1, 2), expected[1:2])
    error = rejected(group, [{"from": "left/q", "rows": [None, -1]}, "short"])
    assert error.reason == "unequal_lengths"
    for words in ("'x': left/q 4, short 3", "last row of left/q", "rows: [null, -1]", "last_observation: drop"):
        assert words in error.detail
    assert "{from:" not in rejected(group, ["left/q", "short"]).detail, "they differ by two"


def test_rows_that_select_nothing(group: h5py.Group) -> None:
    for rows in ([5, None], [7, 9], [None, -5], [-1, 2]):
        error = rejected(group, {"from": "left/q", "rows": rows})
        assert error.reason == "bad_slice"
        assert f"rows {json.dumps(rows)} of left/q select nothing: it has 5" in error.detail
    for wrong in ([5, 2], [3, 3], [-1, -2], [None, 0], [0, 0], [1], [1, 2, 3], [-3, 0], [0.5, 2], ["a", 2], 3, {}):
        with pytest.raises(ValidationError):
            ColumnSpec.model_validate({"from": "left/q", "rows": wrong})
        with pytest.raises(ValidationError):
            ColumnSpec.model_validate([{"from": "left/q", "rows": wrong}])
    with pytest.raises(ValidationError, match="beside each"):
        ColumnSpec.model_validate({"from": ["left/q", "right/q"], "rows": [1, None]})


def test_rows_stream_from_the_dataset(group: h5py.Group) -> None:
    """Batches are those of the dataset, so that memory does not grow with the rows that are left."""
    group.create_dataset("long", data=np.zeros((64, 256, 256, 3), np.uint8), chunks=(1, 256, 256, 3))
    group["long"][:, 0, 0, 0] = np.arange(64)
    batches = list(build(group, {"from": "long", "rows": [1, -1]}).batches(0, 62))
    assert max(batch.nbytes for batch in batches) <= 4 << 20
    assert [int(frame[0, 0, 0]) for batch in batches for frame in batch] == list(range(1, 63))


T = h5py.h5t
ARRAYS = {
    "float32": (T.IEEE_F32LE, "<f4", "float32"),
    "float64 big": (T.IEEE_F64BE, ">f8", "float32"),
    "int16": (T.STD_I16LE, "<i2", "int64"),
    "uint32 big": (T.STD_U32BE, ">u4", "int64"),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_rows_of_array_type_are_vectors(group: h5py.Group, name: str) -> None:
    stored, dtype, expected = ARRAYS[name]
    values = np.arange(35).reshape(5, 7).astype(dtype)
    write_array(group, "q7", values, stored, (7,))
    assert group["q7"].shape == (5,)
    column = build(group, "q7")
    assert (column.feature.dtype, column.feature.shape) == (expected, (7,))
    assert column.feature.names == tuple(f"q7_{index}" for index in range(7))
    np.testing.assert_array_equal(column.read(), values)
    kept = build(group, {"from": "q7", "dtype": "keep", "slice": [2, 5], "names": ["a", "b", "c"], "rows": [1, None]})
    assert kept.feature.dtype == np.dtype(dtype).name
    np.testing.assert_array_equal(kept.read(), values[1:, 2:5])
    both = build(group, ["left/q", {"from": "q7", "slice": [6, 7]}, "counts"])
    np.testing.assert_array_equal(both.read()[:, 4], values[:, 6])
    assert rejected(group, {"from": "q7", "slice": [6, 8]}).reason == "bad_slice"


def test_arrays_of_arrays_and_rows_of_arrays(group: h5py.Group) -> None:
    values = np.arange(60, dtype="<f4").reshape(5, 3, 4)
    write_array(group, "matrix", values, T.IEEE_F32LE, (3, 4))
    write_array(group, "nested", values, T.IEEE_F32LE, (3,), (4,))
    write_array(group, "beside", values, T.IEEE_F32LE, (4,))
    assert [group[name].shape for name in ("matrix", "nested", "beside")] == [(5,), (5,), (5, 3)]
    for name in ("matrix", "nested", "beside"):
        column = build(group, name)
        assert column.feature.shape == (3, 4)
        np.testing.assert_array_equal(column.read(1, 4), values[1:4])


@pytest.mark.parametrize("chunks", [None, (2, 4, 9), (5, 8, 9)])
def test_pixels_of_array_type_are_frames(group: h5py.Group, chunks: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    write_array(group, "pixels", PIXELS, T.STD_U8LE, (3,), chunks=chunks)
    write_array(group, "rows", PIXELS, T.STD_U8LE, (8, 9, 3))
    for name in ("pixels", "rows"):
        column = build(group, {"from": name, "color": "bgr"}, "observation.images.front")
        assert column.feature.shape == (8, 9, 3)
        np.testing.assert_array_equal(column.read(), PIXELS[..., ::-1])
    # Bands too large for memory go through a scratch file.
    rows = ChunkedRows(group.file, "/ep/pixels", batch_bytes=500, slab_bytes=200, band_bytes=100)
    np.testing.assert_array_equal(np.concatenate(list(rows.batches(1, 5))), PIXELS[1:])


def test_padded_jpegs_of_array_type(group: h5py.Group) -> None:
    files = [encode_png(frame) for frame in PIXELS]
    longest = max(map(len, files))
    padded = np.array([np.frombuffer(data.ljust(longest, b"\0"), np.uint8) for data in files])
    write_array(group, "files", padded, T.STD_U8LE, (longest,))
    np.testing.assert_array_equal(build(group, "files").read(), PIXELS)


def test_types_that_numpy_believes(group: h5py.Group) -> None:
    group.create_dataset("enum", data=np.array([0, 2, 1, 0, 2], "i1"), dtype=h5py.enum_dtype({"A": 0, "B": 1, "C": 2}))
    group["half"] = np.array([[0.1, 65504], [1, 2], [3, 4], [5, 6], [7, 8]], np.float16)
    bits = h5py.h5d.create(group.id, b"bits", T.STD_B8LE, h5py.h5s.create_simple((5,)))
    bits.write(h5py.h5s.ALL, h5py.h5s.ALL, np.array([0, 1, 128, 255, 7], np.uint8), T.STD_B8LE)
    brain = T.IEEE_F32LE.copy()  # bfloat16
    brain.set_fields(15, 7, 8, 0, 7)
    brain.set_size(2)
    brain.set_ebias(127)
    h5py.h5d.create(group.id, b"brain", brain, h5py.h5s.create_simple((5,)))
    group["brain"][:] = np.array([1.5, -2, 3e38, 0, 0.0078125], np.float32)
    assert build(group, "enum").read()[:, 0].tolist() == [0, 2, 1, 0, 2]
    assert build(group, "enum").feature.dtype == "int64"
    np.testing.assert_array_equal(build(group, "half").read(), group["half"][()].astype(np.float32))
    assert build(group, "bits").read()[:, 0].tolist() == [0, 1, 128, 255, 7]
    np.testing.assert_array_equal(build(group, "brain").read()[:, 0], group["brain"][()])


def test_types_that_no_column_has_are_named(group: h5py.Group) -> None:
    group["gps"] = np.zeros(5, [("east", "f4"), ("north", "f8")])
    write_array(
        group,
        "poses",
        np.zeros((5, 2), [("east", "f4"), ("up", "f4")]),
        T.py_create(np.dtype([("east", "f4"), ("up", "f4")])),
        (2,),
    )
    group["long"] = np.arange(5, dtype=np.longdouble)
    group["when"] = np.array(["2020-01-01"] * 5, "M8[us]").astype(h5py.opaque_dtype("M8[us]"))
    group["blob"] = np.array([b"ab"] * 5, "V2")
    group["refs"] = np.array([group["rgb"].ref] * 5, h5py.ref_dtype)
    group.create_dataset("ragged", (5,), dtype=h5py.vlen_dtype("f4"))
    h5py.h5d.create(group.id, b"time", T.UNIX_D32LE, h5py.h5s.create_simple((5,)))
    expected = {
        "gps": ("bad_dtype", "compound table with the fields east, north"),
        "poses": ("bad_dtype", "compound table with the fields east, up"),
        "long": ("bad_dtype", "float128"),
        "when": ("bad_dtype", "datetime64[us]"),
        "blob": ("bad_dtype", "opaque bytes (|V2)"),
        "refs": ("bad_dtype", "references"),
        "ragged": ("bad_dtype", "vlen float32"),
        "complex": ("bad_dtype", "complex128"),
        "time": ("unreadable_data", "TypeTimeID"),
    }
    for name, (reason, words) in expected.items():
        for spec in (name, {"from": name, "kind": "vector"}, ["counts", name]):
            error = rejected(group, spec)
            assert error.reason == reason, (name, error.detail)
            assert f"/ep/{name} " in error.detail
            assert words in error.detail
    for kind in ("video", "image", "string"):
        assert "fields east, north" in rejected(group, {"from": "gps", "kind": kind}).detail
    wide = build(group, {"from": "long", "dtype": "float64"})
    assert wide.read()[:, 0].tolist() == [0, 1, 2, 3, 4], "rounding was asked for"


def test_texts_of_any_charset_are_utf8_or_named(group: h5py.Group) -> None:
    """What the file calls its charset is not asked: recorders write UTF-8 as ASCII."""
    words = ["抓取方块", "là", "", "a b ", "é"]
    stored = [word.encode() for word in words]
    group.create_dataset("ascii", data=stored, dtype=h5py.string_dtype("ascii"))
    group["fixed"] = np.array(stored, "S16")
    group.create_dataset("fixed8", data=np.array(stored, h5py.string_dtype("utf-8", 16)))
    for name in ("ascii", "fixed", "fixed8"):
        assert build(group, name).read()[:, 0].tolist() == words, name
    for code, text in {"gbk": "抓取方块", "shift_jis": "つかむ", "latin-1": "là, pose-le", "utf-16": "là"}.items():
        for dtype in (h5py.string_dtype(), h5py.string_dtype("ascii"), np.dtype("S20")):
            data = text.encode(code).rstrip(b"\0").replace(b"\0", b" ")
            column = group.create_dataset(f"{code}{dtype.kind}{dtype.metadata}", (5,), dtype)
            column[:] = b"a"
            column[3] = data
            assert build(group, {"from": column.name, "kind": "string"}).read(0, 3)[:, 0].tolist() == ["a"] * 3
            with pytest.raises(EpisodeRejected) as caught:
                build(group, {"from": column.name, "kind": "string"}).read(1)
            assert caught.value.reason == "bad_text"
            assert f"{column.name} row 3 is not UTF-8" in caught.value.detail
            assert data[:8].hex(" ") in caught.value.detail


def test_what_is_not_there(group: h5py.Group) -> None:
    error = rejected(group, "left/p")
    assert error.reason == "missing_dataset"
    assert "'left/p' (did you mean 'left/q'?)" in error.detail
    assert "group with q" in rejected(group, "left").detail
    assert "single value" in rejected(group, "scalar").detail
    assert rejected(group, "complex").reason == "bad_dtype"
    error = rejected(group, ["left/q", "short"])
    assert (error.reason, "5" in error.detail, "3" in error.detail) == ("unequal_lengths", True, True)


def test_a_vector_may_not_be_called_an_image(group: h5py.Group) -> None:
    assert rejected(group, "left/q", "observation.image_features").reason == "bad_feature_name"


def test_yaml_forms() -> None:
    adapter = TypeAdapter(dict[str, ColumnSpec])
    specs = adapter.validate_python(
        {"a": "p/q", "b": ["p", {"from": "q", "slice": [0, 2]}], "c": {"from": "r", "color": "bgr"}}
    )
    assert [(part.source, part.slice) for part in specs["b"].parts] == [("p", None), ("q", (0, 2))]
    dumped = adapter.dump_python(specs, mode="json", by_alias=True)
    assert adapter.validate_python(dumped) == specs
    for wrong in (
        {"from": "a", "colour": "bgr"},
        {"from": "a", "color": "grb"},
        {"from": "a", "assume": "gray"},
        {"from": ""},
        {},
        [],
        {"from": ["a", "b"], "slice": [0, 1]},
    ):
        with pytest.raises(ValidationError):
            ColumnSpec.model_validate(wrong)

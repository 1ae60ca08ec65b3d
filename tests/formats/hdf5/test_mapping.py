from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from robotrove.core.errors import EpisodeRejected
from robotrove.formats.hdf5.mapping import ColumnSpec, build_column
from robotrove.media.image.images import encode_png

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
    assert rejected(group, "depth").reason == "bad_shape"


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
        {"from": ""},
        {},
        [],
        {"from": ["a", "b"], "slice": [0, 1]},
    ):
        with pytest.raises(ValidationError):
            ColumnSpec.model_validate(wrong)

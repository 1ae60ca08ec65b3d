"""Kinds of columns: a new one is followed everywhere; each gives back what was written, with the types of LeRobot."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from robotrove.core.columns import ArrayColumn
from robotrove.core.episode import Episode
from robotrove.core.errors import Damaged, EpisodeRejected, RobotroveError
from robotrove.core.features import DEFAULT_FEATURES, TASK_INDEX, VISUAL_NAMES, Feature
from robotrove.formats.lerobot.features import KINDS, feature_kind
from robotrove.formats.lerobot.features.feature_kind import data_schema, kind_of, stat_shapes
from robotrove.media.encode.settings import VideoSettings
from robotrove.media.image.images import ImageDecoder
from robotrove.media.video.probe import iter_frames
from robotrove.tests.support.blocks.new_kind import Tagger, Tags
from robotrove.tests.support.datasets.numbered import aggregate, convert, make
from robotrove.verification.dataset.runner import verify

CAMERA = Feature("video", (16, 32, 3), VISUAL_NAMES)
PICTURE = Feature("image", (16, 32, 3), VISUAL_NAMES)


@pytest.fixture
def new_kind(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """A table of kinds with one more line."""
    monkeypatch.setattr(feature_kind, "KINDS", {"tags": Tags, **KINDS})
    kind_of.cache_clear()
    yield monkeypatch
    kind_of.cache_clear()


def column(root: Path, name: str) -> list[Any]:
    tables = [pq.read_table(path, columns=[name]) for path in sorted(root.glob("data/*/*.parquet"))]
    return [value for table in tables for value in table.column(name).to_pylist()]


def errors(root: Path) -> list[tuple[str, str, str]]:
    return [(f.check, f.where, f.message) for f in verify(root).findings if f.severity == "error"]


def test_a_new_kind_is_written_merged_verified_and_left_out_for_v21(
    tmp_path: Path, new_kind: pytest.MonkeyPatch
) -> None:
    tags = [f'["{row}", "z"]' for row in (*range(3), *range(2))]
    first = make(tmp_path, "first", [3, 2], ["x"], 0, steps=[Tagger()]).root
    second = make(tmp_path, "second", [3, 2], ["y"], 9, steps=[Tagger()]).root
    assert column(first, "tags") == tags
    info, stats = (json.loads((first / f"meta/{name}.json").read_text()) for name in ("info", "stats"))
    assert info["features"]["tags"] == {"dtype": "tags", "shape": [1], "names": None}
    assert "tags" not in stats

    # The same, and none of our own: what another writer left in no order is merged by the kind's rule.
    (second / "meta/robotrove/checksums.jsonl").unlink()  # another writer makes none
    (file,) = second.glob("data/*/*.parquet")
    table = pq.read_table(file)
    at = table.column_names.index("tags")
    pq.write_table(table.set_column(at, table.field(at), pa.array(['["b", "a", "b"]'] * 5)), file)
    assert errors(second) == []
    aggregate([first, second], tmp_path / "merged")
    assert column(tmp_path / "merged", "tags") == tags + ['["a", "b"]'] * 5
    assert errors(tmp_path / "merged") == []

    pq.write_table(table.set_column(at, table.field(at), pa.array([*tags[:4], "oops"])), file)
    assert errors(second) == [("rows", f"{file.relative_to(second)}, row 4", "tags[0] is oops")]
    pq.write_table(table.set_column(at, table.field(at), pa.array([*tags[:4], None])), file)
    with pytest.raises(RobotroveError, match="column tags: 1 values are empty"):
        aggregate([first, second], tmp_path / "empty")

    report = convert(first, "v2.1", tmp_path / "older")
    assert any("not in the output: tags, which v2.1 has no columns for" in note for note in report.notes)
    features = json.loads((tmp_path / "older/meta/info.json").read_text())["features"]
    assert info["features"].keys() - features.keys() == {"tags"}
    assert errors(tmp_path / "older") == []

    new_kind.undo()
    kind_of.cache_clear()
    assert errors(first)[0] == ("structure", "meta/info.json, feature tags", "has the unknown dtype 'tags'")


@pytest.mark.parametrize(
    ("feature", "name"),
    [
        (Feature("float32", (3,)), "float32"),
        (Feature("bool", (1,)), "bool"),
        (Feature("int64", (1,)), "int64"),
        (Feature("int64", (1,), ("other",)), "int64"),
        (TASK_INDEX, "task_index"),
        (Feature("string", (1,)), "string"),
        (PICTURE, "image"),
        (CAMERA, "video"),
    ],
)
def test_the_kind_of_a_feature(feature: Feature, name: str) -> None:
    assert type(kind_of(feature)) is KINDS[name]


@pytest.mark.parametrize("dtype", ["depth", "float", "complex64", "object", "U8", ""])
def test_a_dtype_without_a_kind(dtype: str) -> None:
    with pytest.raises(LookupError):
        kind_of(Feature(dtype, (1,)))


ROWS: dict[str, tuple[Feature, np.ndarray]] = {
    "vector": (Feature("float32", (3,)), np.arange(12, dtype=np.float32).reshape(4, 3) / 8),
    "scalar": (Feature("int16", (1,)), np.array([[-3], [0], [7], [32_767]], np.int16)),
    "flag": (Feature("bool", (1,)), np.array([[True], [False], [False], [True]])),
    "grid": (Feature("float64", (2, 3)), np.arange(24, dtype=np.float64).reshape(4, 2, 3)),
    "text": (Feature("string", (1,)), np.array([["a"], [""], ["ü"], ["a"]], object)),
    "words": (Feature("string", (2,)), np.array([["a", "b"], ["", "c"], ["ü", "d"], ["e", "f"]], object)),
}


def episode(columns: Mapping[str, tuple[Feature, np.ndarray]]) -> Episode:
    made = {key: ArrayColumn(feature, rows) for key, (feature, rows) in columns.items()}
    length = max(len(rows) for _, rows in columns.values())
    return Episode(id="e", text="task", length=length, fps=10, columns=made)


@pytest.mark.parametrize("key", ROWS)
def test_values_come_back_as_they_were_written(key: str) -> None:
    feature, rows = ROWS[key]
    kind = kind_of(feature)
    field = kind.arrow_field(key)
    writer = kind.writer(episode({key: (feature, rows)}), key)
    pieces = [writer.rows(first, first + 2, field.type) for first in (0, 2)]
    for piece in pieces:
        assert piece.type == field.type
    table = pa.table([pa.chunked_array(pieces)], schema=pa.schema([field]))
    assert kind.type_problem(field.type, may_wrap=False) is None
    found = kind.values(table.column(key).combine_chunks(), "here")
    assert (found.dtype, found.shape) == (rows.dtype, rows.shape)
    np.testing.assert_array_equal(found, rows)
    merged = kind.merged(table, field, {}, "here")
    np.testing.assert_array_equal(kind.values(merged, "here"), rows)
    empty = pa.table([pa.array([None], field.type)], schema=pa.schema([field]))
    with pytest.raises(RobotroveError, match="empty"):
        kind.merged(empty, field, {}, "here")


def test_numbers_are_cast_and_those_that_are_not_finite_are_refused() -> None:
    feature = Feature("float32", (2,), ("left", "right"))
    rows = np.array([[1, 2], [3, 1e39], [4, np.nan]])  # too large for float32
    kind = kind_of(feature)
    assert kind.stored(rows[:1]).dtype == np.float32
    with pytest.raises(EpisodeRejected, match="a has inf at row 1, 'right', and 1 more such values") as found:
        kind.writer(episode({"a": (feature, rows)}), "a")
    assert found.value.reason == "non_finite"
    with pytest.raises(EpisodeRejected, match=r"a has shape \(3, 2\), expected \(3, 3\)"):
        kind_of(Feature("float32", (3,))).writer(episode({"a": (feature, rows)}), "a")


def test_a_list_index_gets_the_numbers_of_the_new_list() -> None:
    kind = kind_of(TASK_INDEX)
    field = kind.arrow_field("annotation")
    piece = pa.table({"annotation": [7, 2, 7]})
    lookups = {"task_index": np.array([9, 9, 4, 9, 9, 9, 9, 3])}
    assert kind.merged(piece, field, lookups, "here").to_pylist() == [3, 4, 3]
    assert kind.merged(piece, field, {}, "here").to_pylist() == [7, 2, 7], "without a list nothing is renumbered"
    assert kind_of(Feature("int64", (1,))).merged(piece, field, lookups, "here").to_pylist() == [7, 2, 7]
    with pytest.raises(RobotroveError, match=r"column annotation: annotation is 7\n  expected: 0 to 6"):
        kind.merged(piece, field, {"task_index": np.arange(7)}, "here")
    assert kind_of(TASK_INDEX).reference_field("a").type == pa.int64()
    assert kind_of(Feature("int64", (1,), ("other",))).reference_field("a").type == pa.list_(pa.int64())


def frames(count: int) -> np.ndarray:
    dice = np.random.default_rng(3)
    return dice.integers(0, 256, (count, 16, 32, 3), np.uint8)


def test_pictures_come_back_as_they_were_written() -> None:
    kind, shown = kind_of(PICTURE), frames(5)
    field = kind.arrow_field("camera")
    writer = kind.writer(episode({"camera": (PICTURE, shown)}), "camera")
    column = pa.concat_arrays([writer.rows(0, 3, field.type), writer.rows(3, 5, field.type)])
    assert [row["path"] for row in column.to_pylist()] == [f"frame-{row:06d}.png" for row in range(5)]
    assert [kind.row_problem(row) for row in column.to_pylist()] == [""] * 5
    decoder = ImageDecoder()
    for content, frame in zip(kind.values(column, "here"), shown, strict=True):
        np.testing.assert_array_equal(decoder.decode(content), frame)
    larger = kind_of(Feature("image", (8, 32, 3), VISUAL_NAMES))
    assert larger.row_problem(column[0].as_py()) == "the picture is 16x32 instead of 8x32"
    found = kind.row_problem({"bytes": b"GIF89a", "path": None})
    assert found == "the picture cannot be read: 6 bytes are neither JPEG nor PNG; they begin with b'GIF89a'"
    assert kind.row_problem(None) == "the picture is missing"
    with pytest.raises(Damaged, match="pictures are int64"):
        kind.values(pa.array([1]), "here")
    assert kind.merged(pa.table({"camera": column}), field, {}, "here").equals(column)
    gaps = pa.array([column[0].as_py(), {"bytes": None, "path": "a.png"}, None], field.type)
    with pytest.raises(RobotroveError, match="here, column camera: 2 values are empty"):
        kind.merged(pa.table({"camera": gaps}), field, {}, "here")


@pytest.mark.parametrize("cpus", [1, 2])
def test_a_video_has_a_file_of_its_own(tmp_path: Path, cpus: int) -> None:
    kind, shown = kind_of(CAMERA), np.repeat(np.repeat(frames(6)[:, :2, :2], 8, axis=1), 16, axis=2)
    writer = kind.writer(episode({"camera": (CAMERA, shown)}), "camera")
    assert (kind.in_rows, writer.suffix) == (False, ".mp4")
    writer.write_file(tmp_path / "camera.mp4", VideoSettings(codec="libx264", crf=1), cpus)
    found = np.stack(list(iter_frames(tmp_path / "camera.mp4", 0, 6)))
    assert np.abs(found.astype(int) - shown).mean() < 8
    stats = writer.stats()
    assert stats is not None
    np.testing.assert_allclose(stats["mean"].ravel(), shown.reshape(-1, 3).mean(axis=0) / 255, rtol=1e-12)
    assert writer.histogram is not None
    assert writer.histogram.sum() == 6 * 3 * 16 * 32


def test_statistics_of_pictures_are_those_of_the_frames_that_were_written() -> None:
    kind, shown = kind_of(PICTURE), frames(4)
    writer = kind.writer(episode({"camera": (PICTURE, shown)}), "camera")
    writer.rows(0, 4, kind.arrow_field("camera").type)
    stats = writer.stats()
    assert stats is not None
    assert stats["count"].tolist() == [4]
    np.testing.assert_allclose(stats["std"].ravel(), (shown.reshape(-1, 3) / 255).std(axis=0), rtol=1e-12)


def test_shapes_of_statistics() -> None:
    grid = kind_of(Feature("float32", (2, 3)))
    assert (grid.stats_shape(), grid.stats_shape(keep_axes=True)) == ((3,), (2, 3))
    assert grid.known_stats_shapes() == [(3,), (2, 3)]
    assert (kind_of(CAMERA).stats_shape(), kind_of(CAMERA).stats_shape(keep_axes=True)) == ((3, 1, 1), (3, 1, 1))
    depth = Feature("video", (1, 16, 32), ("channels", "height", "width"))
    assert kind_of(depth).known_stats_shapes() == [(1, 1, 1)]
    assert kind_of(Feature("string", (1,))).stats_shape() is None
    assert kind_of(CAMERA).stats_type() == pa.list_(pa.list_(pa.list_(pa.float64())))
    assert grid.stats_type() == pa.list_(pa.float64())
    found = stat_shapes({"a": Feature("float32", (2, 3)), "t": Feature("string", (1,)), "c": CAMERA})
    assert {name for name in found if name.endswith("/mean")} == {
        *("stats/a/mean", "stats/c/mean", "stats/timestamp/mean", "stats/frame_index/mean")
    }
    assert (found["stats/a/max"], found["stats/c/max"], found["stats/c/count"]) == ((3,), (3, 1, 1), (1,))


def test_the_schema_of_a_data_file() -> None:
    features = {"camera": CAMERA, "picture": PICTURE} | {key: feature for key, (feature, _) in ROWS.items()}
    schema = data_schema(features)
    assert schema.names == ["picture", *ROWS, *DEFAULT_FEATURES]
    assert schema.field("vector").type == pa.list_(pa.float32(), 3)
    assert schema.field("grid").type == pa.list_(pa.list_(pa.float64()))
    assert schema.field("grid").metadata[b"ARROW:extension:metadata"] == b'[[2, 3], "float64"]'
    described = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
    assert described["vector"] == {"feature": {"dtype": "float32", "_type": "Value"}, "length": 3, "_type": "List"}
    assert described["grid"] == {"shape": [2, 3], "dtype": "float64", "_type": "Array2D"}
    assert described["text"] == {"dtype": "string", "_type": "Value"}
    assert described["picture"] == {"_type": "Image"}
    older = json.loads(data_schema(features, "Sequence").metadata[b"huggingface"])["info"]["features"]
    assert older["vector"]["_type"] == "Sequence"


@pytest.mark.parametrize(
    ("feature", "found", "severity"),
    [
        (Feature("float32", (3,)), pa.list_(pa.float32(), 3), None),
        (Feature("float32", (3,)), pa.large_list(pa.float32()), None),
        (Feature("float32", (3,)), pa.list_(pa.float64()), "warning"),
        (Feature("float32", (3,)), pa.list_(pa.int32()), "error"),
        (Feature("float32", (3,)), pa.float32(), "error"),
        (Feature("bool", (1,)), pa.uint8(), "error"),
        (Feature("float16", (1,)), pa.float16(), None),
        (Feature("string", (1,)), pa.large_string(), None),
        (Feature("string", (1,)), pa.binary(), "error"),
        (PICTURE, pa.struct([("path", pa.string()), ("bytes", pa.large_binary())]), None),
        (PICTURE, pa.binary(), "error"),
    ],
)
def test_types_of_columns(feature: Feature, found: pa.DataType, severity: str | None) -> None:
    problem = kind_of(feature).type_problem(found, may_wrap=False)
    assert (problem and problem[0]) == severity


def test_the_entry_of_a_video_in_info_json(tmp_path: Path) -> None:
    kind = kind_of(CAMERA)
    known = {"video.codec": "h264", "has_audio": False}
    missing = tmp_path / "is_not_opened.mp4"
    assert kind.info_entry(known, missing, 10) == CAMERA.to_json() | {"info": known}
    writer = kind.writer(episode({"camera": (CAMERA, frames(3))}), "camera")
    writer.write_file(tmp_path / "camera.mp4", VideoSettings(codec="libx264"), 1)
    info = kind.info_entry({}, tmp_path / "camera.mp4", 10)["info"]
    assert (info["video.height"], info["video.width"], info["video.fps"], info["video.codec"]) == (16, 32, 10, "h264")
    assert kind_of(PICTURE).info_entry(known, missing, 10) == PICTURE.to_json()


def test_single_values_as_lists_of_one() -> None:
    kind = kind_of(Feature("float32", (1,)))
    wrapped = pa.list_(pa.float32())
    assert [kind.type_problem(wrapped, may_wrap=may_wrap) for may_wrap in (False, True)] == [
        ("error", "is list<item: float>, which does not hold float32[1]"),
        ("warning", "is list<item: float>, which does not hold float32[1]"),
    ]
    grid = kind_of(Feature("float32", (2, 3)))
    assert grid.type_problem(wrapped, may_wrap=True) == (
        "error",
        "is list<item: float>, which does not hold float32[2x3]",
    )

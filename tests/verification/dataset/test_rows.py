from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

FIRST, SECOND = "data/chunk-000/file-000.parquet", "data/chunk-000/file-001.parquet"
EPISODES = "meta/episodes/chunk-000/file-000.parquet"
TOP = "observation.images.top"


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("index", 14, "index is 14 instead of 13"),
        ("episode_index", 4, "episode_index is 4 instead of 3"),
        ("frame_index", 2, "frame_index is 2 instead of 1"),
        ("task_index", 2, "task_index is 2, but there are 2 tasks"),
        ("task_index", -1, "task_index is -1, but there are 2 tasks"),
        ("observation.state", [0.0, float("nan"), 0.0], "observation.state[1] is nan"),
        ("grid", [[0.0] * 3, [0.0, 0.0, float("-inf")]], "grid[5] is -inf"),
    ],
)
def test_one_wrong_row(tiny, column: str, value: Any, message: str) -> None:
    tiny.cell(SECOND, 1, column, value)  # frame 13 of the dataset, the last of episode 3
    assert (f"{SECOND}, row 1", message) in tiny.found("rows")


def test_a_text_that_is_not_utf_8_is_damage(tiny) -> None:
    """Pyarrow reads it, and fails as soon as it is used."""

    def spoil(table: pa.Table) -> pa.Table:
        ends = np.arange(len(table) + 1, dtype=np.int32)
        texts = pa.Array.from_buffers(
            pa.string(), len(table), [None, pa.py_buffer(ends), pa.py_buffer(b"n" + b"\xf3" * (len(table) - 1))]
        )
        return table.set_column(table.schema.get_field_index("note"), "note", texts)

    tiny.table(SECOND, spoil)
    told = "cannot be read as parquet: In column 0: Invalid: Invalid UTF8 sequence at string index 1"
    assert tiny.found("rows") == [(SECOND, told)]


def test_many_wrong_rows_are_one_finding(tiny) -> None:
    def shift(table: pa.Table) -> pa.Table:
        at = table.schema.get_field_index("index")
        return table.set_column(at, "index", pa.array(np.arange(13, 21)))

    tiny.table(SECOND, shift)
    assert tiny.found("rows") == [(f"{SECOND}, row 0", "index is 13 instead of 12 (8 such rows in this file)")]


def test_data_files_out_of_order(tiny) -> None:
    # Lexicographic order is LeRobot's order, whatever meta/episodes says.
    for old, new in ((FIRST, "x"), (SECOND, FIRST), ("x", SECOND)):
        (tiny.root / old).rename(tiny.root / new)
    assert (f"{FIRST}, row 0", "index is 12 instead of 0 (8 such rows in this file)") in tiny.found("rows")


def test_rows_past_the_last_episode(tiny) -> None:
    tiny.table(SECOND, lambda table: pa.concat_tables([table, table.slice(0, 2)]))
    assert (
        f"{SECOND}, row 8",
        "it is frame 20, but all episodes end at 20 (2 such rows in this file)",
    ) in tiny.found("rows")


def test_tasks_of_the_rows_are_those_of_the_episode(tiny) -> None:
    tiny.cell(SECOND, 0, "task_index", 1)
    assert tiny.found("rows") == [
        (
            f"{EPISODES}, row 3",
            "its tasks are ['stack the cubes'], but its rows have ['open the drawer', 'stack the cubes']",
        )
    ]


@pytest.mark.parametrize(
    ("column", "kind", "message"),
    [
        ("timestamp", pa.float64(), "is double, which does not hold float32[1]"),
        ("index", pa.int32(), "is int32, which does not hold int64[1]"),
        ("observation.state", pa.list_(pa.float32()), None),
        ("observation.state", pa.list_(pa.float64(), 3), "which does not hold float32[3]"),
        ("gripper_open", pa.int64(), "is int64, which does not hold bool[1]"),
        ("note", pa.large_string(), None),
    ],
)
def test_column_types(tiny, column: str, kind: pa.DataType, message: str | None) -> None:
    def change(table: pa.Table) -> pa.Table:
        at = table.schema.get_field_index(column)
        values = (
            pa.array(table.column(column).to_pylist(), kind) if pa.types.is_nested(kind) else table[column].cast(kind)
        )
        return table.set_column(at, column, values)

    tiny.table(FIRST, change)
    found = [text for where, text in tiny.found("rows") if where == f"{FIRST}, column {column}"]
    assert (not found) if message is None else (found and message in found[0]), found


def test_a_scalar_stored_as_a_list(tiny) -> None:
    def change(table: pa.Table) -> pa.Table:
        values = pa.array([[value] for value in table["timestamp"].to_pylist()], pa.list_(pa.float32(), 1))
        return table.set_column(table.schema.get_field_index("timestamp"), "timestamp", values)

    tiny.table(FIRST, change)
    assert any("which does not hold float32[1]" in text for _, text in tiny.found("rows"))


def test_vectors_of_another_length(tiny) -> None:
    def change(table: pa.Table) -> pa.Table:
        values = pa.array([[1.0, 2.0]] + [[1.0, 2.0, 3.0]] * 11, pa.list_(pa.float32()))
        return table.set_column(table.schema.get_field_index("observation.state"), "observation.state", values)

    tiny.table(FIRST, change)
    assert (f"{FIRST}, column observation.state", "rows have 2 values instead of 3") in tiny.found("rows")


def test_empty_values_extra_and_missing_columns(tiny) -> None:
    tiny.cell(FIRST, 2, "observation.state", None)
    tiny.cell(FIRST, 5, "note", None)
    tiny.table(FIRST, lambda table: table.append_column("reward", pa.array(range(12))))
    tiny.table(SECOND, lambda table: table.drop_columns(["gripper_open"]))
    assert tiny.found("rows") == [
        (f"{FIRST}, column reward", "is not a feature of info.json: LeRobot cannot load the file"),
        (f"{FIRST}, column observation.state", "1 rows are empty"),
        (f"{FIRST}, column note", "1 values are empty"),
        (f"{SECOND}, column gripper_open", "is missing: LeRobot would fill it with nothing"),
    ]


def test_timestamps_are_those_of_the_frame_index(tiny) -> None:
    wrong = float(np.nextafter(np.float32(0.1), np.float32(1)))
    tiny.cell(SECOND, 1, "timestamp", wrong)
    assert tiny.found("timestamps") == [(f"{SECOND}, row 1", "timestamp is 0.10000001 instead of 0.1")]
    assert tiny.errors() == []  # LeRobot finds the frame
    tiny.cell(SECOND, 1, "timestamp", 0.1002)
    assert "timestamps" in tiny.errors()


def test_hardware_timestamps(tiny) -> None:
    def change(table: pa.Table) -> pa.Table:
        values = pa.array(table["timestamp"].to_numpy() + np.float32(5))
        return table.set_column(table.schema.get_field_index("timestamp"), "timestamp", values)

    tiny.table(FIRST, change)
    assert tiny.found("timestamps") == [
        (f"{FIRST}, row 0", "timestamp is 5.0 instead of 0.0 (12 such rows in this file)")
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "the picture is missing"),
        (b"", "the picture is missing"),
        (b"GIF89a", "the picture cannot be read: 6 bytes are neither JPEG nor PNG; they begin with b'GIF89a'"),
        ("larger", "the picture is 8x6 instead of 6x8"),
    ],
)
def test_pictures(tiny, content: Any, message: str) -> None:
    if content == "larger":
        bytes_ = pq.read_table(tiny.root / FIRST)[TOP][0].as_py()["bytes"]
        content = bytes_[:16] + bytes_[20:24] + bytes_[16:20] + bytes_[24:]
    tiny.cell(SECOND, 3, TOP, {"bytes": content, "path": "frame-000015.png"})
    assert tiny.found("images") == [(f"{SECOND}, row 3, column {TOP}", message)]


def test_a_truncated_data_file_does_not_hide_the_next(tiny) -> None:
    content = (tiny.root / FIRST).read_bytes()
    (tiny.root / FIRST).write_bytes(content[: len(content) // 2])
    tiny.cell(SECOND, 1, "frame_index", 7)
    assert any(where == FIRST and "cannot be read as parquet" in text for where, text in tiny.found("counts"))
    assert tiny.found("rows") == [(f"{SECOND}, row 1", "frame_index is 7 instead of 1")]

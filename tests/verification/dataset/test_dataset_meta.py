from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

from robotrove.core.errors import UsageError
from robotrove.verification.dataset.runner import verify

INFO, TASKS, EPISODES = "meta/info.json", "meta/tasks.parquet", "meta/episodes/chunk-000/file-000.parquet"
FRONT, WRIST = "observation.images.front", "observation.images.wrist"
REWRITE = "`robotrove aggregate DATASET -o OUT` rewrites it with right references"
Change = Callable[[dict[str, Any]], Any]


@pytest.mark.parametrize(
    ("change", "where", "message"),
    [
        (lambda i: i.pop("robot_type"), "", "robot_type is missing; expected a text or null"),
        (lambda i: i.update(fps=29.97), "", "fps is 29.97 instead of a positive whole number"),
        (lambda i: i.update(total_frames="20"), "", "total_frames is '20' instead of a count"),
        (lambda i: i.update(chunks_size=5000), "", "chunks_size is 5000 instead of at most 1000"),
        (lambda i: i.update(splits=None), "", "splits is None instead of an object"),
        (lambda i: i.update(video_path=None), "", "video_path is None instead of a path"),
        (lambda i: i["features"].pop("task_index"), "task_index", "is missing; LeRobot expects int64[1]"),
        (lambda i: i["features"]["index"].update(dtype="int32"), "index", "is int32[1] instead of int64[1]"),
        (lambda i: i["features"]["index"].update(names=["i"]), "index", "instead of int64[1] without names"),
        (lambda i: i["features"].update({"a/b": i["features"]["grid"]}), "a/b", "its name holds a '/'"),
        (lambda i: i["features"].update(image_id=i["features"]["note"]), "image_id", "takes every name with 'image'"),
        (lambda i: i["features"]["observation.state"]["names"].pop(), "observation.state", "has 2 names for 3 values"),
        (lambda i: i["features"]["grid"].update(shape=[]), "grid", "shape is [] instead of a list of sizes"),
        (lambda i: i["features"]["grid"].update(shape=[1] * 6), "grid", "has 6 axes; LeRobot knows at most 5"),
        (lambda i: i["features"]["grid"].update(dtype="complex64"), "grid", "has the unknown dtype 'complex64'"),
        (lambda i: i["features"][FRONT].update(names=None), FRONT, "expected height, width, channels"),
        (lambda i: i["features"][FRONT].update(names=["a", "b", "c"]), FRONT, "names are a, b, c instead of height"),
        (lambda i: i["features"][FRONT]["info"].update({"video.fps": 30}), FRONT, "video.fps is 30 instead of 10"),
        (
            lambda i: i["features"][WRIST]["info"].update({"video.height": 48}),
            WRIST,
            "video.height is 48 instead",
        ),
    ],
)
def test_structure(tiny, change: Change, where: str, message: str) -> None:
    tiny.json(INFO, change)
    place = f"{INFO}, feature {where}" if where else INFO
    assert any(place == found and message in text for found, text in tiny.found("structure")), tiny.found("structure")


@pytest.mark.parametrize("version", ["v2.0", "3.0", None, ["v3.0"]])
def test_another_version_is_no_dataset_to_verify(tiny, version: Any) -> None:
    tiny.json(INFO, lambda info: info.update(codebase_version=version))
    with pytest.raises(UsageError, match=r"v2\.1 or v3\.0"):
        verify(tiny.root)


def test_what_lerobot_can_live_with_is_a_warning(tiny) -> None:
    tiny.json(INFO, lambda info: info.update(fps=10.0, splits={"train": "0:100"}, data_files_size_in_mb=0.5))
    tiny.json(INFO, lambda info: info["features"]["timestamp"].update(dtype="float64"))
    (tiny.root / "videos/notes.txt").touch()
    assert tiny.errors() == []
    assert [len(tiny.found(check)) for check in ("structure", "files", "counts")] == [2, 1, 1]


@pytest.mark.parametrize(
    ("change", "where", "message"),
    [
        (lambda t: t.replace_schema_metadata(None), TASKS, "its pandas metadata does not name the task text as index"),
        (
            lambda t: t.replace_schema_metadata({"pandas": json.dumps({"index_columns": [{"kind": "range"}]})}),
            TASKS,
            "its pandas metadata does not name the task text as index",
        ),
        (lambda t: t.take([1, 0]), f"{TASKS}, row 0", "task_index is 1; LeRobot looks tasks up by row"),
        (
            lambda t: t.set_column(1, "task", pa.array(["stack the cubes"] * 2)),
            f"{TASKS}, row 1",
            "the task of row 0 exists twice: 'stack the cubes'",
        ),
        (lambda t: t.drop_columns(["task_index"]), TASKS, "has no column task_index of int64"),
        (lambda t: t.rename_columns(["task_index", "text"]), TASKS, "has no column task"),
    ],
)
def test_tasks(tiny, change: Callable[[pa.Table], pa.Table], where: str, message: str) -> None:
    tiny.table(TASKS, change)
    assert (where, message) in tiny.found("tasks")


def test_missing_and_stray_files(tiny) -> None:
    (tiny.root / "data/chunk-000/file-001.parquet").unlink()
    (tiny.root / f"videos/{WRIST}/chunk-000/file-001.mp4").rename(tiny.root / f"videos/{WRIST}/file-001.mp4")
    (tiny.root / "data/chunk-000/file-007.parquet").write_bytes(b"")
    (tiny.root / "meta/episodes/notes.txt").touch()
    assert tiny.found("files") == [
        ("data/chunk-000/file-001.parquet", "does not exist, but episodes have their data there"),
        (f"videos/{WRIST}/chunk-000/file-001.mp4", "does not exist, but episodes have their video there"),
        ("data/chunk-000/file-007.parquet", "belongs to no episode, but LeRobot would read it"),
        (f"videos/{WRIST}/file-001.mp4", "belongs to no episode"),
        ("meta/episodes/notes.txt", "belongs to no episode"),
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"total_episodes": 6}, "total_episodes is 6, but meta/episodes gives 5"),
        ({"total_frames": 19}, "total_frames is 19, but the lengths in meta/episodes gives 20"),
        ({"total_tasks": 0}, "total_tasks is 0, but meta/tasks.parquet gives 2"),
        ({"splits": {"train": "0:4"}}, "splits is {'train': '0:4'} instead of {'train': '0:5'}"),
    ],
)
def test_counts(tiny, change: dict[str, Any], message: str) -> None:
    tiny.json(INFO, lambda info: info.update(change))
    assert tiny.found("counts") == [(INFO, message)]


def test_rows_that_are_missing_are_counted(tiny) -> None:
    tiny.table("data/chunk-000/file-001.parquet", lambda table: table.slice(0, 7))
    assert tiny.found("counts") == [("data", "the files have 19 rows, but the episodes have 20 frames")]


@pytest.mark.parametrize(
    ("row", "column", "value", "message"),
    [
        (3, "episode_index", 4, "episode_index is 4 instead of 3"),
        (1, "dataset_from_index", 5, "dataset_from_index is 5 instead of 4"),
        (1, "dataset_to_index", 8, "dataset_to_index is 8 instead of 7"),
        (
            2,
            "data/file_index",
            1,
            "its rows 7 to 11 are said to be in data/chunk-000/file-001.parquet, which holds 12 to 19; " + REWRITE,
        ),
        (
            4,
            "meta/episodes/file_index",
            1,
            "it is said to be in meta/episodes/chunk-000/file-001.parquet: LeRobot could not merge it with others; "
            + REWRITE,
        ),
        (0, "tasks", ["juggle"], "its task 'juggle' is not in tasks.parquet"),
        (0, "tasks", [], "it has no task"),
        (2, "tasks", None, "tasks is empty"),
        (2, "data/chunk_index", None, "data/chunk_index is empty"),
        (
            2,
            f"videos/{FRONT}/from_timestamp",
            0.701,
            f"videos/{FRONT}/from_timestamp is 0.701: not the time of a frame at 10 frames per second",
        ),
        (
            2,
            f"videos/{WRIST}/from_timestamp",
            float("nan"),
            f"videos/{WRIST}/from_timestamp is nan: not the time of a frame at 10 frames per second",
        ),
        (
            1,
            f"videos/{WRIST}/to_timestamp",
            0.6,
            f"videos/{WRIST}/to_timestamp is 0.6 instead of 0.7 (from_timestamp and 3 frames)",
        ),
    ],
)
def test_one_wrong_value_in_meta_episodes(tiny, row: int, column: str, value: Any, message: str) -> None:
    tiny.cell(EPISODES, row, column, value)
    assert tiny.found("episodes") == [(f"{EPISODES}, row {row}", message)]


def test_one_sentence_for_references_that_are_all_wrong(tiny) -> None:
    for row in (1, 2):
        tiny.cell(EPISODES, row, "data/file_index", 1)
    [(where, message)] = tiny.found("episodes")
    assert where == f"{EPISODES}, row 1"
    assert message.startswith("its rows 4 to 6 are said to be in data/chunk-000/file-001.parquet")
    assert message.endswith("(so in 2 episodes)")


def test_episodes_may_be_anywhere_in_a_video_file_but_not_overlap(tiny) -> None:
    def move(row: int, begin: float, end: float) -> None:
        for name, value in (("from_timestamp", begin), ("to_timestamp", end)):
            tiny.cell(EPISODES, row, f"videos/{FRONT}/{name}", value)

    move(3, 1.8, 2.0)  # episode 3 after episode 4
    move(4, 1.2, 1.8)
    assert tiny.found("episodes") == []
    move(4, 1.3, 1.9)
    assert tiny.found("episodes") == [
        (
            f"videos/{FRONT}/chunk-000/file-000.mp4",
            "episodes overlap: frames 13 to 18 are of episode 4 and 18 to 19 are of episode 3",
        )
    ]


def test_episodes_out_of_order_are_found_by_position(tiny) -> None:
    tiny.table(EPISODES, lambda table: table.take([0, 2, 1, 3, 4]))
    assert (f"{EPISODES}, row 1", "episode_index is 2 instead of 1") in tiny.found("episodes")


@pytest.mark.parametrize(
    ("column", "kind", "found"),
    [
        (f"videos/{FRONT}/from_timestamp", pa.float32(), "float instead of double"),
        ("length", pa.int32(), "int32 instead of int64"),
        ("length", pa.string(), "string instead of int64"),
    ],
)
def test_types_of_meta_episodes(tiny, column: str, kind: pa.DataType, found: str) -> None:
    def change(table: pa.Table) -> pa.Table:
        at = table.schema.get_field_index(column)
        return table.set_column(at, column, table.column(column).cast(kind))

    tiny.table(EPISODES, change)
    assert (EPISODES, f"column {column} is {found}") in tiny.found("episodes")


def test_a_missing_column_of_meta_episodes_is_named(tiny) -> None:
    tiny.table(EPISODES, lambda table: table.drop_columns([f"videos/{WRIST}/to_timestamp"]))
    assert (EPISODES, f"has no column videos/{WRIST}/to_timestamp") in tiny.found("episodes")

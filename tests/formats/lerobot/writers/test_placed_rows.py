"""Rows at their new place: values copied, numbers made anew, rows of another episode refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from robotrove.core.errors import RobotroveError
from robotrove.core.features import Feature
from robotrove.formats.lerobot.datasets.episode_location import EpisodeLocation, Rows
from robotrove.formats.lerobot.features.feature_kind import data_schema
from robotrove.formats.lerobot.writers.dataset_plan import DatasetPlan, PlacedEpisode, TaskTable
from robotrove.formats.lerobot.writers.placed_rows import PlacedRows
from robotrove.formats.lerobot.writers.placed_stats import PlacedStats

FPS = 10
FEATURES = {
    "action": Feature("float32", (3,)),
    "gripper": Feature("float32", (1,)),
    "stage": Feature("int64", (1,)),
    "note": Feature("string", (1,)),
}
LENGTHS = [4, 3, 5]
OWN_TASKS = ["wave", "push", "rest"]


def source_table(list_type: pa.DataType, **changes: Any) -> pa.Table:
    """Three episodes in one file, as an old converter leaves them: one row group, other types."""
    frames = np.concatenate([np.arange(length) for length in LENGTHS])
    total = sum(LENGTHS)
    columns: dict[str, Any] = {
        "action": pa.array(np.arange(3 * total, dtype=np.float64).reshape(-1, 3).tolist(), list_type),
        "gripper": pa.array([[0.25 * i] for i in range(total)], pa.list_(pa.float32())),
        "stage": pa.array(np.arange(total), pa.int32()),
        "note": pa.array([f"n{i}" for i in range(total)], pa.large_string()),
        "timestamp": pa.array(frames / FPS, pa.float64()),
        "frame_index": pa.array(frames),
        "episode_index": pa.array(np.repeat([0, 1, 2], LENGTHS)),
        "index": pa.array(np.arange(total)),
        "task_index": pa.array(np.repeat([2, 0, 1], LENGTHS)),
    }
    return pa.table(columns | {name: pa.array(value) for name, value in changes.items()})


def read(
    path: Path, episode: int, tasks: list[str], source_tasks: list[list[str]], said: tuple[str, ...] = tuple(OWN_TASKS)
) -> dict[str, list[Any]]:
    rows = PlacedRows(FEATURES, FPS, plan(tasks, source_tasks))
    table = pa.concat_tables(table for _, table in rows.tables([placed(path, episode, said)]))
    rows.close()
    assert table.schema.equals(data_schema(FEATURES), check_metadata=True)
    return table.to_pydict()


def plan(tasks: list[str], source_tasks: list[list[str]]) -> DatasetPlan:
    return DatasetPlan([], tasks, source_tasks, 3, sum(LENGTHS), [])


def placed(path: Path, episode: int, tasks: tuple[str, ...] = ("wave",)) -> PlacedEpisode:
    rows = Rows(path, sum(LENGTHS[:episode]), LENGTHS[episode])
    location = EpisodeLocation(episode, LENGTHS[episode], tasks, rows, 0, {})
    return PlacedEpisode(7 + episode, 100 + 10 * episode, 0, location)


@pytest.mark.parametrize(
    "list_type",
    [pa.list_(pa.float32()), pa.list_(pa.float64()), pa.large_list(pa.float32()), pa.list_(pa.float32(), 3)],
)
def test_values_are_copied_and_numbers_are_those_of_the_new_place(tmp_path: Path, list_type: pa.DataType) -> None:
    pq.write_table(source_table(list_type), tmp_path / "rows.parquet")
    tasks = ["rest", "push", "wave"]
    for episode, length in enumerate(LENGTHS):
        first = sum(LENGTHS[:episode])
        found = read(tmp_path / "rows.parquet", episode, tasks, [OWN_TASKS])
        assert found["action"] == [[3.0 * i, 3.0 * i + 1, 3.0 * i + 2] for i in range(first, first + length)]
        assert found["gripper"] == [0.25 * i for i in range(first, first + length)]
        assert found["stage"] == list(range(first, first + length))
        assert found["note"] == [f"n{i}" for i in range(first, first + length)]
        assert found["timestamp"] == [float(np.float32(i / FPS)) for i in range(length)]
        assert found["frame_index"] == list(range(length))
        assert found["episode_index"] == [7 + episode] * length
        assert found["index"] == [100 + 10 * episode + i for i in range(length)]
        # "rest", "wave" and "push" in the source's own numbers 2, 0 and 1
        assert found["task_index"] == [[0, 2, 1][episode]] * length


def test_numbers_may_be_lists_of_one(tmp_path: Path) -> None:
    total, kind = sum(LENGTHS), pa.list_(pa.int64(), 1)
    index = [[i] for i in np.concatenate([np.arange(length) for length in LENGTHS]).tolist()]
    table = source_table(pa.list_(pa.float32()), frame_index=pa.array(index, kind))
    table = table.set_column(0, "action", pa.array([[0.0] * 3] * total, pa.list_(pa.float32(), 3)))
    pq.write_table(table, tmp_path / "rows.parquet")
    assert read(tmp_path / "rows.parquet", 2, OWN_TASKS, [OWN_TASKS])["frame_index"] == [0, 1, 2, 3, 4]


def test_rows_without_a_place_get_the_task_of_the_episode(tmp_path: Path) -> None:
    table = source_table(pa.list_(pa.float32(), 3)).drop_columns(["episode_index", "index", "task_index"])
    pq.write_table(table, tmp_path / "rows.parquet")
    found = read(tmp_path / "rows.parquet", 1, ["push", "wave"], [[]], said=("wave",))
    assert found["task_index"] == [1, 1, 1]
    assert found["index"] == [110, 111, 112]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"episode_index": np.repeat([0, 2, 2], LENGTHS)}, "episode_index is 2"),
        ({"frame_index": np.arange(12)}, "frame_index is 4"),
        ({"timestamp": np.arange(12) / FPS + 0.01}, "timestamp is 0.41"),
        ({"task_index": np.full(12, 3)}, "task_index is 3"),
        ({"task_index": np.full(12, 0.5)}, "column task_index"),
        ({"task_index": [{"a": 1}] * 12}, "column task_index"),
        ({"timestamp": ["x"] * 12}, "column timestamp"),
        ({"action": [[1.0, 2.0, None]] * 12}, "column action: 3 values are empty"),
        ({"action": [[1.0, 2.0]] * 12}, "column action"),
        ({"note": [None] * 12}, "column note: 3 values are empty"),
        ({"action": [["a"]] * 12}, "column action"),
        ({"gripper": [[0.0, 1.0]] * 12}, "column gripper"),
    ],
)
def test_rows_that_are_not_those_of_the_episode_are_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    pq.write_table(source_table(pa.list_(pa.float32()), **changes), tmp_path / "rows.parquet")
    with pytest.raises(RobotroveError, match=message) as found:
        read(tmp_path / "rows.parquet", 1, OWN_TASKS, [OWN_TASKS])
    assert str(tmp_path / "rows.parquet") in str(found.value)


def test_of_several_episodes_read_together_the_wrong_one_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    notes = [None if row == 9 else f"n{row}" for row in range(12)]
    pq.write_table(source_table(pa.list_(pa.float32()), note=notes), path)
    rows = PlacedRows(FEATURES, FPS, plan(OWN_TASKS, [OWN_TASKS]))
    said = ("rest",), ("wave",), ("push",)
    with pytest.raises(RobotroveError, match=r"rows\.parquet, row 7, column note: 1 values are empty"):
        list(rows.tables(placed(path, episode, said[episode]) for episode in range(3)))
    rows.close()


def test_a_missing_column_and_missing_rows_are_named(tmp_path: Path) -> None:
    pq.write_table(source_table(pa.list_(pa.float32())).drop_columns(["stage"]), tmp_path / "rows.parquet")
    with pytest.raises(RobotroveError, match="column stage: is missing"):
        read(tmp_path / "rows.parquet", 0, OWN_TASKS, [OWN_TASKS])
    for name in ("index", "task_index", "timestamp"):
        pq.write_table(source_table(pa.list_(pa.float32())).drop_columns([name]), tmp_path / "rows.parquet")
        with pytest.raises(RobotroveError, match=f"column {name}: is missing"):
            read(tmp_path / "rows.parquet", 0, OWN_TASKS, [OWN_TASKS])
    pq.write_table(source_table(pa.list_(pa.float32())).slice(0, 9), tmp_path / "short.parquet")
    with pytest.raises(RobotroveError, match="has 9 rows"):
        read(tmp_path / "short.parquet", 2, OWN_TASKS, [OWN_TASKS])


def test_statistics_that_are_missing_come_from_the_rows(tmp_path: Path) -> None:
    pq.write_table(
        source_table(pa.list_(pa.float32()), task_index=[0, 0, 0, 0, 1, 1, 2, 0, 0, 0, 0, 0]), tmp_path / "rows.parquet"
    )
    rows = PlacedRows(FEATURES, FPS, plan(OWN_TASKS, [OWN_TASKS]))
    names = ("min", "max", "mean", "std", "count", "q01", "q10", "q50", "q90", "q99")
    known = {f"stats/stage/{name}": np.array([[99.0], [6.0]]) for name in names}
    known |= {f"stats/stage/{name}": np.array([[99.0], [value]]) for name, value in (("min", 4.0), ("count", 3.0))}
    known |= {f"stats/stage/{name}": np.array([[99.0], [5.5]]) for name in ("q10", "q50")}
    known["stats/stage/min"][0] = np.nan
    episodes = [placed(tmp_path / "rows.parquet", 0, ("wave",)), placed(tmp_path / "rows.parquet", 1, ("push", "rest"))]
    columns = PlacedStats(FEATURES, TaskTable(OWN_TASKS), rows).complete(
        episodes, known | {"stats/action/min": np.zeros((2, 3))}
    )
    assert columns["stats/stage/max"].tolist() == [[3.0], [6.0]]  # what is incomplete is made
    assert known["stats/stage/max"].tolist() == [[99.0], [6.0]]
    stats = {name: column[1].tolist() for name, column in columns.items()}
    action = np.arange(12, 21, dtype=np.float64).reshape(3, 3)
    assert stats["stats/action/min"] == [12.0, 13.0, 14.0]
    assert stats["stats/action/std"] == action.std(axis=0).tolist()
    assert stats["stats/action/q10"] == np.quantile(action, 0.1, axis=0).tolist()
    assert stats["stats/stage/q50"] == [5.5]  # known, and may be a histogram's
    assert stats["stats/stage/mean"] == [5.0]  # of the rows
    assert stats["stats/index/min"] == [110.0]
    assert stats["stats/episode_index/max"] == [8.0]
    assert stats["stats/task_index/mean"] == [pytest.approx(4 / 3)]
    assert stats["stats/task_index/max"] == [2.0]
    assert stats["stats/timestamp/max"] == [float(np.float32(0.2))]
    assert "stats/note/min" not in stats


def test_rows_with_a_task_that_the_episode_does_not_have_are_refused(tmp_path: Path) -> None:
    pq.write_table(source_table(pa.list_(pa.float32())), tmp_path / "rows.parquet")
    with pytest.raises(RobotroveError, match=r"episode 1 has rows with the task 'wave'\n  expected: .*: 'push'"):
        read(tmp_path / "rows.parquet", 1, OWN_TASKS, [OWN_TASKS], said=("push",))

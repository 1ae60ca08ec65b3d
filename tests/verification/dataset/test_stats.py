from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from ...support.datasets.tiny_v30 import STARTS, columns, statistics

STATS, EPISODES = "meta/stats.json", "meta/episodes/chunk-000/file-000.parquet"
FRONT = "observation.images.front"


def scaled(value: Any, factor: float) -> Any:
    return [scaled(item, factor) for item in value] if isinstance(value, list) else value * factor


def test_a_feature_without_statistics(tiny) -> None:
    tiny.json(STATS, lambda stats: stats.pop("grid"))
    assert tiny.found("stats") == [
        (STATS, "has no min, max, mean, std, count of grid; `robotrove stats DATASET` computes them")
    ]
    assert tiny.errors() == ["stats"]


@pytest.mark.parametrize(
    ("feature", "key", "value", "message"),
    [
        ("observation.state", "mean", [0.0, 0.0], "mean is of shape (2,); expected shape (3,)"),
        ("observation.state", "mean", [0.0, "x", 0.0], "mean is no numbers; expected shape (3,)"),
        ("observation.state", "count", 20, "count is of shape (); expected shape (1,)"),
        ("observation.state", "count", [19], "count[0] is 19, but the rows give 20"),
        ("observation.state", "max", [9.0, 9.0, float("nan")], "NaN or Inf in max"),
        ("frame_index", "max", [6.0], "max[0] is 6, but the rows give 5"),
        ("frame_index", "mean", [1.76], "mean[0] is 1.76, but the rows give 1.75"),
        ("index", "q10", [12.0], "q10 is above q50"),
        ("grid", "min", [[0.0] * 3] * 2, "min is of shape (2, 3); expected shape (3,)"),
        (FRONT, "mean", [0.3, 0.3, 0.1], "mean is of shape (3,); expected shape (3, 1, 1)"),
        (FRONT, "max", [[[255.0]], [[200.0]], [[40.0]]], "its values are not in [0, 1]"),
        (
            FRONT,
            "std",
            [[[0.0]]] * 3,
            "std is only 0 though values differ by 0.784314 (LeRobot 0.4.0 to 0.5.1 has this bug); "
            "`robotrove stats DATASET` recomputes it",
        ),
    ],
)
def test_one_wrong_value_in_stats_json(tiny, feature: str, key: str, value: Any, message: str) -> None:
    def change(stats: dict[str, Any]) -> None:
        stats[feature][key] = value

    tiny.json(STATS, change)
    assert tiny.found("stats") == [(f"{STATS}, {feature}", message)]


def test_nan_in_several_statistics_is_one_finding(tiny) -> None:
    nan = [float("nan")] * 3
    tiny.json(STATS, lambda stats: stats["observation.state"].update(mean=nan, std=nan, q50=nan))
    assert tiny.found("stats") == [(f"{STATS}, observation.state", "NaN or Inf in mean, std, q50")]


def test_no_command_computes_the_statistics_of_nan(tiny) -> None:
    def spoil(table: pa.Table) -> pa.Table:
        at, rows = table.column_names.index("observation.state"), table["observation.state"].to_pylist()
        rows[1][2] = float("nan")
        return table.set_column(at, table.schema.field(at), pa.array(rows, table.schema.field(at).type))

    tiny.table("data/chunk-000/file-000.parquet", spoil)
    tiny.json(STATS, lambda stats: stats.pop("observation.state"))
    assert [message for where, message in tiny.found("stats") if where.startswith(STATS)] == []
    assert "rows" in tiny.errors()


def test_the_spread_is_recomputed(tiny) -> None:
    tiny.json(STATS, lambda stats: stats["frame_index"].update(std=[1.5]))
    assert tiny.found("stats") == [(f"{STATS}, frame_index", "std[0] is 1.5, but the rows give 1.47901995")]


SUMS = "(LeRobot sums in float32); `robotrove stats DATASET` recomputes it"


def at_rest(tiny, rows: np.ndarray, stored: dict[str, np.ndarray]) -> None:
    """Replace observation.state by other rows, and its mean and std, in the episodes and of the whole."""
    kind = pa.list_(pa.float32(), 3)
    for number, episodes in enumerate(((0, 1, 2), (3, 4))):
        first, stop = STARTS[episodes[0]], STARTS[episodes[-1] + 1]

        def change(table: pa.Table, first: int = first, stop: int = stop) -> pa.Table:
            at = table.column_names.index("observation.state")
            return table.set_column(at, "observation.state", pa.array(rows[first:stop].tolist(), kind))

        tiny.table(f"data/chunk-000/file-{number:03d}.parquet", change)
    for episode in range(5):
        part = rows[STARTS[episode] : STARTS[episode + 1]]
        found = statistics(part.astype(np.float64), len(part), (3,)) | {
            name: values[episode].tolist() for name, values in stored.items()
        }
        for name, value in found.items():
            tiny.cell(EPISODES, episode, f"stats/observation.state/{name}", value)
    whole = statistics(rows.astype(np.float64), len(rows), (3,))
    tiny.json(STATS, lambda stats: stats.update({"observation.state": whole}))


REST = (np.array([1.3, 43.0, -0.5]) + (np.arange(20) % 2)[:, None] * 1e-4).astype(np.float32)
EXACT = {
    "mean": np.stack([REST[a:b].astype(float).mean(0) for a, b in pairwise(STARTS)]),
    "std": np.stack([REST[a:b].astype(float).std(0) for a, b in pairwise(STARTS)]),
}


def test_a_joint_at_rest_has_what_float32_sums_give_it(tiny) -> None:
    at_rest(tiny, REST, EXACT)
    assert tiny.found("stats") == []
    stored = {"mean": EXACT["mean"] * (1 + 4e-6), "std": EXACT["std"] * [0, 2.5, 1]}
    at_rest(tiny, REST, stored)
    place, was = f"{EPISODES}, row 0, stats/observation.state", EXACT["std"][0, 0]
    assert tiny.found("stats") == [
        (place, f"std[0] is 0, but the rows give {was:.9g} {SUMS} (so in 5 episodes)"),
    ]
    assert tiny.errors() == []


@pytest.mark.parametrize(
    ("name", "entry", "factor", "is_error"),
    [
        ("mean", 1, 1 + 3e-6, None),  # below min, and allowed
        ("mean", 1, 1 + 3e-5, True),  # so few rows do not lose as much
        ("std", 1, 1 + 5e-4, None),
        ("std", 1, 3, False),
        ("std", 0, 0, False),
        ("std", 1, 4000, True),
    ],
)
def test_how_far_a_statistic_may_be_off(tiny, name: str, entry: int, factor: float, is_error: bool | None) -> None:
    stored = {key: values.copy() for key, values in EXACT.items()}
    stored[name][2, entry] *= factor
    at_rest(tiny, REST, stored)
    found = tiny.found("stats")
    assert bool(found) == (is_error is not None)
    assert all(where == f"{EPISODES}, row 2, stats/observation.state" for where, _ in found)
    assert tiny.errors() == ["stats"] * len(found) * bool(is_error)


def test_the_spread_of_the_whole_may_be_lerobots(tiny) -> None:
    at_rest(tiny, REST, EXACT)
    right = REST.astype(float).std(0)
    tiny.json(STATS, lambda stats: stats["observation.state"].update(std=[0.0, *right[1:]]))
    assert tiny.found("stats") == [
        (f"{STATS}, observation.state", f"std[0] is 0, but the rows give {right[0]:.9g} {SUMS}")
    ]
    assert tiny.errors() == []


def test_statistics_of_indices_may_be_old(tiny) -> None:
    tiny.json(STATS, lambda stats: stats["index"].update(max=[20.0], std=[5.8]))
    leaves = "LeRobot leaves those of indices so when it merges or deletes episodes"
    assert tiny.found("stats") == [(f"{STATS}, index", f"max[0] is 20, but the rows give 19; {leaves}")]
    assert tiny.errors() == []


def test_quantiles_may_be_missing(tiny) -> None:
    def change(stats: dict[str, Any]) -> None:
        for key in (FRONT, "grid", "index", "timestamp"):
            for name in ("q01", "q99"):
                del stats[key][name]

    tiny.json(STATS, change)
    tiny.table(EPISODES, lambda table: table.drop_columns([f"stats/{FRONT}/q50"]))
    cause = "older and converted datasets have none; `robotrove stats DATASET` adds them"
    assert tiny.found("stats") == [
        (f"{EPISODES}, row 0", f"has no q50 of {FRONT} (so in 5 episodes): {cause}"),
        (STATS, f"has no q01, q99 of grid, {FRONT}, timestamp and 1 more: {cause}"),
    ]
    assert tiny.errors() == []


def test_statistics_of_every_entry_of_a_grid(tiny) -> None:
    # As LeRobot 0.3.3 computes them, and its converter to v3.0 keeps them.
    def full(rows: list[Any]) -> dict[str, Any]:
        found = statistics(np.array(rows).reshape(-1, 6), len(rows), (2, 3))
        return {f"stats/grid/{key}": value for key, value in found.items()}

    grid = columns()["grid"]
    parts = [full(grid[STARTS[episode] : STARTS[episode + 1]]) for episode in range(5)]
    parts[3]["stats/grid/mean"][1][2] += 0.01

    def change(table: pa.Table) -> pa.Table:
        for name in parts[0]:
            table = table.set_column(table.column_names.index(name), name, pa.array([part[name] for part in parts]))
        return table

    tiny.table(EPISODES, change)
    [(where, message)] = tiny.found("stats")
    assert where == f"{EPISODES}, row 3, stats/grid"
    assert message.startswith("mean[5] is ")


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("stats/index/min", [14.5], "min is above q01"),
        ("stats/index/max", [20.0], "max[0] is 20, but the rows give 19"),
        ("stats/index/mean", [17.0], "mean[0] is 17, but the rows give 16.5"),
        ("stats/observation.state/count", [5], "count[0] is 5, but the rows give 6"),
        ("stats/index/q01", [14.0], ""),  # as LeRobot's histogram gives it
        ("stats/index/q90", [16.6], "q90[0] is 16.6, but the rows give 16.99"),
    ],
)
def test_one_wrong_value_in_meta_episodes(tiny, column: str, value: Any, message: str) -> None:
    tiny.cell(EPISODES, 4, column, value)  # rows 14 to 19
    found = tiny.found("stats")
    place = f"{EPISODES}, row 4, {column.rpartition('/')[0]}"
    assert [where for where, _ in found] == ([place] if message else [])
    assert all(text.startswith(message) for _, text in found)


def test_columns_of_statistics_are_complete(tiny) -> None:
    tiny.table(EPISODES, lambda table: table.drop_columns([f"stats/{FRONT}/count", "stats/grid/min", "stats/grid/max"]))
    assert tiny.found("stats") == [
        (f"{EPISODES}, row 0", "has no min, max of grid (so in 5 episodes); `robotrove stats DATASET` computes them"),
        (f"{EPISODES}, row 0", f"has no count of {FRONT} (so in 5 episodes); `robotrove stats DATASET` computes them"),
    ]
    assert tiny.errors() == ["stats", "stats"]


def test_uniform_pictures_are_a_warning(tiny) -> None:
    def change(stats: dict[str, Any]) -> None:
        for key in stats[FRONT]:
            if key != "count":
                stats[FRONT][key] = [[[0.0 if key == "std" else 0.5]]] * 3

    tiny.json(STATS, change)
    assert tiny.found("stats") == [(f"{STATS}, {FRONT}", "std is only 0: the pictures are all but uniform")]


def test_quantiles_of_the_dataset_are_recomputed_when_deep(tiny) -> None:
    # What LeRobot writes: the mean of the episodes' medians.
    tiny.json(
        STATS, lambda stats: stats["index"].update(q50=[9.4]) or stats["frame_index"].update(q50=[1.6], q99=[4.5])
    )
    assert tiny.found("stats") == []
    assert tiny.found("stats", deep=True) == [
        (
            f"{STATS}, frame_index",
            "q50[0] is 1.6, but the rows give 1.5; 2 of 5 quantiles differ (LeRobot averages those of the episodes)",
        ),
        (f"{STATS}, index", "q50[0] is 9.4, but the rows give 9.5 (LeRobot averages those of the episodes)"),
    ]


def test_without_any_statistics_there_is_nothing_to_recompute_when_deep(tiny) -> None:
    tiny.json("meta/stats.json", lambda stats: stats.clear())
    found = tiny.found("stats")
    assert found
    assert all("robotrove stats DATASET" in message for _, message in found)
    assert tiny.found("stats", deep=True) == found

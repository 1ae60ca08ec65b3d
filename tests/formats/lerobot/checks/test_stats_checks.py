from __future__ import annotations

from typing import Any

import pytest

STATS, EPISODES = "meta/stats.json", "meta/episodes/chunk-000/file-000.parquet"
FRONT = "observation.images.front"


def scaled(value: Any, factor: float) -> Any:
    return [scaled(item, factor) for item in value] if isinstance(value, list) else value * factor


def test_a_feature_without_statistics(tiny) -> None:
    tiny.json(STATS, lambda stats: stats.pop("grid"))
    assert tiny.found("stats") == [(f"{STATS}, grid", "is missing")]


@pytest.mark.parametrize(
    ("feature", "key", "value", "message"),
    [
        ("observation.state", "q99", None, "q99 is missing; expected shape (3,)"),
        ("observation.state", "mean", [0.0, 0.0], "mean is of shape (2,); expected shape (3,)"),
        ("observation.state", "mean", [0.0, "x", 0.0], "mean is no numbers; expected shape (3,)"),
        ("observation.state", "count", 20, "count is of shape (); expected shape (1,)"),
        ("observation.state", "count", [19], "count[0] is 19, but the rows give 20"),
        ("observation.state", "max", [9.0, 9.0, float("nan")], "max holds NaN or Inf"),
        ("index", "max", [20.0], "max[0] is 20, but the rows give 19"),
        ("index", "mean", [9.6], "mean[0] is 9.6, but the rows give 9.5"),
        ("index", "q10", [12.0], "q10 is above q50"),
        ("grid", "min", [[0.0] * 3] * 2, "min is of shape (2, 3); expected shape (3,)"),
        (FRONT, "mean", [0.3, 0.3, 0.1], "mean is of shape (3,); expected shape (3, 1, 1)"),
        (FRONT, "max", [[[255.0]], [[200.0]], [[40.0]]], "its values are not in [0, 1]"),
        (FRONT, "std", [[[0.0]]] * 3, "std is 0 though values differ by 0.784314 (LeRobot 0.4 has this bug)"),
    ],
)
def test_one_wrong_value_in_stats_json(tiny, feature: str, key: str, value: Any, message: str) -> None:
    def change(stats: dict[str, Any]) -> None:
        if value is None:
            del stats[feature][key]
        else:
            stats[feature][key] = value

    tiny.json(STATS, change)
    assert tiny.found("stats") == [(f"{STATS}, {feature}", message)]


def test_the_spread_is_recomputed(tiny) -> None:
    tiny.json(STATS, lambda stats: stats["index"].update(std=[5.8]))
    assert tiny.found("stats") == [(f"{STATS}, index", "std[0] is 5.8, but the rows give 5.7662813")]


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
    tiny.table(EPISODES, lambda table: table.drop_columns([f"stats/{FRONT}/q50", "stats/grid/min", "stats/grid/max"]))
    assert tiny.found("stats") == [
        (f"{EPISODES}, column stats/grid", "has no min, max"),
        (f"{EPISODES}, column stats/{FRONT}", "has no q50"),
    ]


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

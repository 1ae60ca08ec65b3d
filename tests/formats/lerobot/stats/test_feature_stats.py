from __future__ import annotations

import itertools
from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from robotrove.core.features import Feature
from robotrove.formats.lerobot.features.feature_kind import kind_of
from robotrove.formats.lerobot.stats.feature_stats import (
    STAT_KEYS,
    FeatureStats,
    Moments,
    StatsMerger,
    constant_stats,
    index_stats,
)

VECTOR = Feature("float32", (2,))
SCALAR = Feature("int64", (1,))
LEVELS = {"q01": 0.01, "q10": 0.1, "q50": 0.5, "q90": 0.9, "q99": 0.99}


def episode_stats(rows: np.ndarray, feature: Feature) -> FeatureStats | None:
    return kind_of(feature).stats(rows)


def merged_parts(parts: Iterable[FeatureStats]) -> FeatureStats:
    merger = StatsMerger()
    for part in parts:
        merger.add(part)
    return merger.result()


def test_known_values_keys_and_dtypes() -> None:
    stats = episode_stats(np.array([[1, -1], [2, -1], [6, -1]], np.float32), VECTOR)
    assert list(stats) == ["min", "max", "mean", "std", "count", "q01", "q10", "q50", "q90", "q99"] == list(STAT_KEYS)
    np.testing.assert_array_equal(stats["min"], [1, -1])
    np.testing.assert_array_equal(stats["max"], [6, -1])
    np.testing.assert_array_equal(stats["mean"], [3, -1])
    np.testing.assert_allclose(stats["std"], [np.sqrt((4 + 1 + 9) / 3), 0], rtol=1e-15)
    np.testing.assert_array_equal(stats["count"], [3])
    np.testing.assert_allclose(stats["q10"], [1.2, -1], rtol=1e-15)
    np.testing.assert_array_equal(stats["q50"], [2, -1])
    assert {key: value.dtype.name for key, value in stats.items() if value.dtype != np.float64} == {"count": "int64"}


def test_small_spread_on_a_large_offset_survives() -> None:
    # E[x²] - E[x]² would give 0 or nan here.
    rows = 1e9 + np.array([[0.0], [1.0], [2.0], [3.0]])
    assert episode_stats(rows, Feature("float64", (1,)))["std"][0] == pytest.approx(np.sqrt(1.25), rel=1e-12)


def test_a_constant_that_float_sums_get_wrong_has_exactly_no_spread() -> None:
    rows = np.full((1007, 1), 0.1)
    stats = episode_stats(rows, Feature("float64", (1,)))
    assert (stats["mean"][0], stats["std"][0]) == (0.1, 0.0)


def test_leading_axes_collapse_and_count_stays_the_number_of_rows() -> None:
    rows = np.arange(12).reshape(2, 2, 3)
    stats = episode_stats(rows, Feature("int64", (2, 3)))
    np.testing.assert_array_equal(stats["min"], [0, 1, 2])
    np.testing.assert_array_equal(stats["mean"], [4.5, 5.5, 6.5])
    np.testing.assert_array_equal(stats["count"], [2])


def test_bools_count_as_numbers_strings_have_none_and_rows_are_needed() -> None:
    stats = episode_stats(np.array([True, False, False, False]), Feature("bool", (1,)))
    np.testing.assert_array_equal(stats["mean"], [0.25])
    np.testing.assert_array_equal(stats["max"], [1.0])
    assert episode_stats(np.array(["a"], object), Feature("string", (1,))) is None
    with pytest.raises(ValueError, match="no rows"):
        episode_stats(np.empty((0, 2), np.float32), VECTOR)


@given(st.integers(0, 10**9), st.integers(1, 700))
def test_index_stats_equal_those_of_the_rows(start: int, length: int) -> None:
    found, expected = index_stats(start, length), episode_stats(np.arange(start, start + length), SCALAR)
    assert list(found) == list(expected)
    for key in STAT_KEYS:
        assert found[key].dtype == expected[key].dtype, key
        np.testing.assert_allclose(found[key], expected[key], rtol=1e-12, err_msg=key, strict=True)


@given(st.integers(-5, 10**9), st.integers(1, 300))
def test_constant_stats_equal_those_of_the_rows(value: int, length: int) -> None:
    found, expected = constant_stats(value, length), episode_stats(np.full(length, value), SCALAR)
    for key in STAT_KEYS:
        np.testing.assert_array_equal(found[key], expected[key], err_msg=key, strict=True)


@settings(deadline=None)
@given(
    hnp.arrays("float32", st.tuples(st.integers(1, 120), st.just(2)), elements=st.floats(-1e6, 1e6, width=32)),
    st.lists(st.integers(1, 119), max_size=6),
)
def test_merged_parts_equal_the_whole(rows: np.ndarray, cuts: list[int]) -> None:
    bounds = sorted({0, len(rows), *(cut for cut in cuts if cut < len(rows))})
    parts = [episode_stats(rows[a:b], VECTOR) for a, b in itertools.pairwise(bounds)]
    merged, whole = merged_parts(parts), episode_stats(rows, VECTOR)
    assert list(merged) == ["min", "max", "mean", "std", "count"]
    for key in ("min", "max", "count"):
        np.testing.assert_array_equal(merged[key], whole[key], strict=True)
    np.testing.assert_allclose(merged["mean"], whole["mean"], rtol=1e-12, atol=1e-9)
    np.testing.assert_allclose(merged["std"], whole["std"], rtol=1e-9, atol=1e-7)


def test_merging_weights_by_count_also_for_cameras() -> None:
    def camera(mean: float, count: int) -> dict[str, np.ndarray]:
        value = np.full((3, 1, 1), mean)
        return {"min": value, "max": value, "mean": value, "std": value * 0, "count": np.array([count])}

    merger = StatsMerger()
    merger.add(camera(0.0, 3))
    merger.add(camera(1.0, 1))
    merged = merger.result()
    np.testing.assert_array_equal(merged["mean"], np.full((3, 1, 1), 0.25), strict=True)
    np.testing.assert_allclose(merged["std"], np.full((3, 1, 1), np.sqrt(0.1875)), rtol=1e-15)
    np.testing.assert_array_equal(merged["count"], [4])
    with pytest.raises(ValueError, match="no parts"):
        StatsMerger().result()


def rows_of(kind: str) -> np.ndarray:
    dice = np.random.default_rng(3)
    return {
        "epoch": 1e9 + dice.uniform(-1e-3, 1e-3, (400, 2)),
        "begins far away": np.concatenate([[[1e9, -1e9]], dice.normal(0, 1e-3, (399, 2))]),
        "small steps": (43 + np.cumsum(dice.normal(0, 1e-6, (400, 2)), axis=0)).astype(np.float32),
        "float16": dice.normal(size=(400, 2)).astype(np.float16),
        "units": np.array([2048, 4095]) + dice.integers(0, 2, (400, 2)),
        "truth values": dice.random((400, 2)) < 0.1,
        "tables": dice.normal(size=(400, 3, 2)),
        "equal": np.full((400, 2), [0.1, 3.1415927]),
    }[kind]


@pytest.mark.parametrize(
    "kind",
    ["epoch", "begins far away", "small steps", "float16", "units", "truth values", "tables", "equal"],
)
@pytest.mark.parametrize("size", [1, 7, 150, 400])
def test_groups_of_rows_that_come_in_pieces(kind: str, size: int) -> None:
    rows, bounds = rows_of(kind), [0, 1, 130, 131, 399, 400]
    owners = np.repeat(np.arange(5), np.diff(bounds))
    groups, whole = Moments(5), Moments()
    for first in range(0, len(rows), size):
        at, starts = np.unique(owners[first : first + size], return_index=True)
        groups.add(rows[first : first + size], at, starts)
        whole.add(rows[first : first + size])
    for moments, cuts in ((groups, bounds), (whole, [0, 400])):
        found = moments.result()
        assert list(found) == ["min", "max", "mean", "std", "count"]
        for group, (start, stop) in enumerate(itertools.pairwise(cuts)):
            part = rows[start:stop].reshape(-1, 2).astype(np.longdouble)
            exact = {"min": part.min(0), "max": part.max(0), "mean": part.mean(0), "std": part.std(0)}
            for name, value in exact.items():
                np.testing.assert_allclose(found[name][group], value.astype(float), rtol=1e-9, atol=1e-15, err_msg=name)
            assert found["count"][group].tolist() == [stop - start]
            if kind == "equal":
                assert found["std"][group].tolist() == [0, 0]
                assert found["mean"][group].tolist() == [0.1, 3.1415927]


def test_a_group_without_rows_has_no_mean() -> None:
    moments = Moments(2)
    moments.add(np.empty((0, 3)))
    moments.add(np.ones((4, 3)), [1])
    found = moments.result()
    assert np.isnan(found["std"][0]).all()
    assert found["count"].tolist() == [[0], [4]]
    assert found["mean"][1].tolist() == [1, 1, 1]

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from robotrove.formats.lerobot.stats import exact_quantiles as module
from robotrove.formats.lerobot.stats.exact_quantiles import ExactQuantiles, column_stats
from robotrove.formats.lerobot.stats.feature_stats import QUANTILES

SHAPES = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=110)
FLOATS32 = st.floats(width=32, min_value=-(2.0**120), max_value=2.0**120)
FLOATS64 = st.floats(min_value=-1e300, max_value=1e300)
FEW = st.sampled_from([-3.5, -1.0, -0.0, 0.0, 0.25, 1.0])


def tables() -> st.SearchStrategy[np.ndarray]:
    def of(dtype: str, elements: st.SearchStrategy[object]) -> st.SearchStrategy[np.ndarray]:
        return hnp.arrays(dtype, SHAPES, elements=elements)

    return st.one_of(
        of("float32", FLOATS32),
        of("float64", FLOATS64),
        of("float32", FEW),
        of("float64", FEW),
        of("int64", st.integers(-(2**62), 2**62)),
        of("int32", st.integers(-5, 5)),
        of("uint8", st.integers(0, 255)),
        of("uint64", st.integers(2**62, 2**64 - 1)),
        of("bool", st.booleans()),
    )


@pytest.fixture(autouse=True, params=["counted", "held"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways to the same values; what is counted may not be held."""
    if request.param == "counted":
        monkeypatch.setattr(module, "_DIRECT_BYTES", 0)
    return request.param


def _quantiles(make_batches: Callable[[], Iterator[np.ndarray]]) -> dict[str, np.ndarray]:
    """The quantiles of one column."""
    found = column_stats(lambda: ({"": batch} for batch in make_batches()))[""]
    return {name: found[name] for name in QUANTILES}


def assert_exact(found: dict[str, np.ndarray], rows: np.ndarray) -> None:
    assert [name for name in found if name.startswith("q")] == ["q01", "q10", "q50", "q90", "q99"]
    for key, level in QUANTILES.items():
        np.testing.assert_array_equal(found[key], np.quantile(rows.astype(np.float64), level, axis=0), err_msg=key)


@settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tables(), st.integers(1, 200))
def test_equals_numpy_bit_for_bit_in_any_batching(rows: np.ndarray, size: int) -> None:
    assert_exact(_quantiles(lambda: (rows[i : i + size] for i in range(0, len(rows), size))), rows)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
def test_a_large_skewed_column_in_batches_too_large_to_be_joined(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BATCH_VALUES", 5000)
    rows = (np.random.default_rng(3).lognormal(3, 4, (30_011, 3)) * [1, -1, 0]).astype(dtype)
    assert_exact(_quantiles(lambda: iter(np.array_split(rows, 17))), rows)


def test_columns_share_one_pass_per_digit(way: str) -> None:
    rng = np.random.default_rng(0)
    columns = {"a": rng.normal(size=(999, 2)).astype("f4"), "b": rng.integers(-9, 9, 999), "c": rng.random((999, 2, 3))}
    passes = []

    def batches():
        passes.append(1)
        return ({name: rows[i : i + 100] for name, rows in columns.items()} for i in range(0, 999, 100))

    found = column_stats(batches)
    assert_exact(found["a"], columns["a"])
    assert_exact(found["b"], columns["b"][:, None])
    assert_exact(found["c"], columns["c"].reshape(-1, 3))
    # A look at the columns, then four digits of 64 bits; or all at once.
    assert len(passes) == (1 + 4 if way == "counted" else 1)


def test_columns_that_do_not_fit_together_get_passes_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PASS_BYTES", 1)
    columns = {name: np.random.default_rng(seed).normal(size=(50, 2)) for seed, name in enumerate("abc")}
    found = column_stats(lambda: iter([columns]))
    for name, rows in columns.items():
        assert_exact(found[name], rows)


def test_histograms_of_parts_sum_to_that_of_the_whole() -> None:
    rows = np.random.default_rng(1).normal(size=(5000, 2)).astype(np.float32)
    ranks = [ExactQuantiles(np.float32, 2) for _ in range(3)]
    more = True
    while more:
        for rank, selector in enumerate(ranks):
            selector.add(rows[rank::3])
        total = sum(selector.histogram for selector in ranks)
        for selector in ranks:
            selector.histogram = total
            more = selector.advance()
    for selector in ranks:
        assert_exact(dict(zip(QUANTILES, selector.result(), strict=True)), rows)


def test_float32_takes_two_passes_and_64_bits_four() -> None:
    for dtype, expected in (("float32", 2), ("bool", 2), ("float64", 4), ("int64", 4)):
        selector = ExactQuantiles(dtype, 1)
        passes, more = 0, True
        while more:
            selector.add(np.ones((3, 1), dtype))
            more = selector.advance()
            passes += 1
        assert passes == expected, dtype


def test_nothing_to_select_from() -> None:
    assert column_stats(lambda: iter([])) == {}
    with pytest.raises(ValueError, match="no rows"):
        _quantiles(lambda: iter([np.empty((0, 2))]))
    with pytest.raises(TypeError, match="not defined"):
        _quantiles(lambda: iter([np.array(["a"])]))


@pytest.mark.parametrize("width", [1, 64, 130])
def test_wide_columns_are_counted_in_parts(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    dice = np.random.default_rng(width)
    rows = {
        "a": dice.normal(1e5, 1e-2, (300, width)),
        "a[0]": dice.integers(0, 2, (300, 2)),
        "b": np.ones((300, 3), "f4"),
    }
    found = column_stats(lambda: ({key: part[i : i + 70] for key, part in rows.items()} for i in range(0, 300, 70)))
    assert list(found) == list(rows)
    for name, values in rows.items():
        assert_exact(found[name], values)
        table = values.astype(np.float64)
        np.testing.assert_array_equal(found[name]["max"], table.max(axis=0))
        np.testing.assert_allclose(found[name]["mean"], table.mean(axis=0), rtol=1e-13)
        np.testing.assert_allclose(found[name]["std"], (table - table[0]).std(axis=0), rtol=1e-11)
        assert found[name]["count"].tolist() == [300]
    assert found["b"]["std"].tolist() == [0, 0, 0]


def test_statistics_do_not_depend_on_how_rows_are_cut_into_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BLOCK_ROWS", 64)
    rows = np.random.default_rng(0).normal(3, 1, (1000, 3))
    found = [
        column_stats(lambda size=size: ({"a": rows[i : i + size]} for i in range(0, 1000, size)))["a"]
        for size in (1000, 300, 64, 7, 1)
    ]
    for other in found[1:]:
        for name, values in found[0].items():
            np.testing.assert_array_equal(other[name], values, err_msg=name)

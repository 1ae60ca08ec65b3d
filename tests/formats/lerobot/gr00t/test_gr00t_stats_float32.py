from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from robotrove.core.errors import Damaged
from robotrove.formats.lerobot.gr00t.gr00t_stats import RowSum, finite_float32, float32_stats
from robotrove.formats.lerobot.stats import exact_quantiles

F32 = np.float32
SIZES = (1, 2, 7, 8, 9, 127, 128, 129, 1000, 8191, 8192, 8193, 20_011, 100_003)


def block_sum(values: np.ndarray) -> np.float32:
    """numpy's pairwise sum of up to 8192 values, one addition after another."""
    count = len(values)
    if count < 8:
        total = F32(0)
        for value in values:
            total = F32(total + value)
        return total
    if count <= 128:
        eight = values[:8].copy()
        for i in range(8, count - count % 8, 8):
            eight += values[i : i + 8]
        total = ((eight[0] + eight[1]) + (eight[2] + eight[3])) + ((eight[4] + eight[5]) + (eight[6] + eight[7]))
        for value in values[count - count % 8 :]:
            total = F32(total + value)
        return total
    half = count // 2 - count // 2 % 8
    return F32(block_sum(values[:half]) + block_sum(values[half:]))


def column_sum(values: np.ndarray) -> np.float32:
    total = F32(0)
    for i in range(0, len(values), 8192):
        total = F32(total + block_sum(values[i : i + 8192]))
    return total


def expected(rows: np.ndarray) -> dict[str, np.ndarray]:
    """The statistics of a whole table; np.mean and np.std of a single long column depend on numpy's version."""
    mean, std = np.mean(rows, axis=0), np.std(rows, axis=0)
    if rows.shape[1] == 1:
        mean = np.array([column_sum(rows[:, 0]) / np.float64(len(rows))]).astype(F32)
        squares = (rows[:, 0] - mean) * (rows[:, 0] - mean)
        std = np.sqrt(np.array([column_sum(squares) / np.float64(len(rows))]).astype(F32))
    # A level that is an array keeps float64 in numpy 2, as in 1.26.
    levels = {name: np.quantile(rows, np.array(level), axis=0) for name, level in (("q01", 0.01), ("q99", 0.99))}
    return {"mean": mean, "std": std, "min": rows.min(axis=0), "max": rows.max(axis=0), **levels}


def assert_bits(found: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> None:
    assert set(found) == set(wanted)
    for name, values in wanted.items():
        assert found[name].dtype == values.dtype == (np.float64 if name.startswith("q") else F32), name
        np.testing.assert_array_equal(found[name], values, err_msg=name, strict=True)


def stats_of(rows: np.ndarray, size: int) -> dict[str, np.ndarray]:
    return float32_stats(lambda: ({"x": rows[i : i + size]} for i in range(0, len(rows), size)), ["x"])["x"]


@pytest.mark.parametrize("width", [1, 2, 3, 7, 26])
@pytest.mark.parametrize("count", SIZES)
def test_every_bit_is_numpys_in_any_batching(count: int, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(count * 100 + width)
    rows = (rng.normal(size=(count, width)) * rng.lognormal(0, 3, width) + rng.normal(size=width)).astype(F32)
    wanted = expected(rows)
    for size in {1 + count // 2, 1 + count // 7, count}:
        monkeypatch.setattr(
            exact_quantiles, "_BATCH_VALUES", 1 + size * width // 3
        )  # nothing is joined to a single batch
        assert_bits(stats_of(rows, size), wanted)


@pytest.mark.parametrize("width", [1, 3, 54, 130])
def test_constant_skewed_and_wide_tables(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact_quantiles, "_BATCH_VALUES", 4000)
    rng = np.random.default_rng(width)
    for rows in (
        np.full((9001, width), 0.1, F32),
        rng.integers(0, 2, (9001, width)).astype(F32),
        (rng.lognormal(3, 4, (9001, width)) * [1, -1, 0][width % 3]).astype(F32),
    ):
        assert_bits(stats_of(rows, 511), expected(rows))


def test_what_numpy_1_26_4_computed() -> None:
    count = np.arange(100_003)
    single = (count * 7919 % 10007 / F32(640)).astype(F32)[:, None]
    found = stats_of(single, 4096)
    assert found["mean"].tolist() == [7.817216873168945]  # numpy 2.3 and later sum to ...5442657471
    assert found["std"].tolist() == [4.5137128829956055]
    assert (found["q01"].tolist(), found["q99"].tolist()) == ([0.15625], [15.478124618530273])
    pair = stats_of(np.concatenate([single, -single], axis=1), 4096)
    assert pair["mean"].tolist() == [7.817128658294678, -7.817128658294678]
    assert pair["std"].tolist() == [4.513700008392334, 4.513700008392334]


def test_tables_of_one_pass_do_not_mix() -> None:
    tables = {"a": np.random.default_rng(1).normal(size=(300, 70)).astype(F32), "a[0]": np.ones((300, 2), F32)}
    tables["empty"] = np.zeros((0, 4), F32)

    def batches() -> Iterator[dict[str, np.ndarray]]:
        return ({name: rows[i : i + 50] for name, rows in tables.items()} for i in range(0, 300, 50))

    found = float32_stats(batches, ["a[0]", "a", "empty"])
    assert list(found) == ["a[0]", "a"]
    assert_bits(found["a"], expected(tables["a"]))
    assert_bits(found["a[0]"], expected(tables["a[0]"]))
    assert float32_stats(lambda: iter([]), ["a"]) == {}


def test_a_sum_can_be_asked_for_at_any_time() -> None:
    values = np.random.default_rng(0).normal(size=(9000, 1)).astype(F32)
    total = RowSum(1)
    for stop in (10, 8192, 9000):
        total.add(values[{10: 0, 8192: 10, 9000: 8192}[stop] : stop])
        assert total.result()[0] == column_sum(values[:stop, 0])


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e39])
def test_what_has_no_statistics(value: float) -> None:
    with pytest.raises(Damaged, match=r"file 7: 1 values are NaN, infinite or too large for float32"):
        finite_float32(np.array([[1.0, value]]), "file 7")

"""Statistics as LeRobot computes them, compared with exact ones."""

from __future__ import annotations

import numpy as np
import pytest

from robotrove.formats.lerobot.stats.feature_stats import moments, numeric_stats
from robotrove.formats.lerobot.stats.stats_comparison import (
    EXACT,
    TOLERANCES,
    differences,
    differing,
    misplaced_quantiles,
    misshapen,
)

KEYS = ("min", "max", "mean", "std", "count")


def lerobots(rows: np.ndarray) -> dict[str, np.ndarray]:
    """Sums of float32 rows one after another, E[x²] - E[x]², as LeRobot 0.4 to 0.6 has them."""
    mean, squares = np.mean(rows, axis=0), np.mean(rows**2, axis=0)
    found = {"min": rows.min(0), "max": rows.max(0), "mean": mean, "std": np.sqrt(np.maximum(0, squares - mean**2))}
    return {name: value.astype(np.float64) for name, value in found.items()} | {"count": np.array([float(len(rows))])}


@pytest.mark.parametrize("count", [2, 300, 3000, 36_000])
@pytest.mark.parametrize("spread", [0, 1e-6, 1e-3])
def test_joints_at_rest_of_any_length_are_roundings(count: int, spread: float) -> None:
    dice = np.random.default_rng(count)
    rest = np.array([3.1415927, 1.3, 43.0, 179.9, 2048.0, -0.1])
    rows = (rest * (1 + dice.normal(0, spread, (count, 6)))).astype(np.float32)
    found = lerobots(rows)
    assert list(misshapen(found, [(6,)])) == []
    assert all(is_rounding for _, is_rounding in differences(found, moments(rows), count))
    if count == 300 and spread != 1e-3:
        assert [problem.partition("[")[0] for problem, _ in differences(found, moments(rows), count)] == ["std"]


@pytest.mark.parametrize(("name", "factor"), [("mean", 1.01), ("std", 0.9), ("min", 1.1), ("max", 0.9)])
def test_other_numbers_are_no_roundings(name: str, factor: float) -> None:
    rows = np.random.default_rng(0).normal(1, 0.3, (3000, 2)).astype(np.float32)
    found = lerobots(rows)
    found[name] = found[name] * [1, factor]
    [(problem, is_rounding)] = differences(found, moments(rows), 3000)
    assert problem.startswith(f"{name}[1] is ")
    assert not is_rounding


def test_a_mean_far_from_its_rows_is_not_between_them() -> None:
    rows = np.full((300, 1), 1.3, np.float32)
    assert list(misshapen(lerobots(rows) | {"mean": np.array([1.3 * (1 - 9e-6)])}, [(1,)])) == []
    for off in (1e-4, -1e-4):
        found = lerobots(rows) | {"mean": np.array([1.3 * (1 + off)])}
        assert list(misshapen(found, [(1,)])) == ["mean is not between min and max"]


def test_exact_is_exact_for_epoch_times_and_equal_values() -> None:
    rows = np.concatenate([1e9 + np.random.default_rng(0).normal(0, 1e-3, (200, 1)), np.full((200, 1), 0.1)], axis=1)
    exact = numeric_stats(rows)
    assert differing(exact, exact) == differing(exact, exact, TOLERANCES) == []
    for std, names in (([0.0, 0.0], ["std"]), ([2e-3, 0.0], ["std"]), ([exact["std"][0], 1e-12], ["std"])):
        assert differing(exact | {"std": np.array(std)}, exact, EXACT) == names
    assert differing(exact | {"std": np.array([0.0, 0.0])}, exact, TOLERANCES) == ["std"]
    assert differing(exact | {"std": exact["std"] + [0, 1e-8]}, exact, TOLERANCES) == []
    assert differing(exact | {"std": exact["std"] * (1 + 1e-10)}, exact, EXACT) == []


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("low", [-np.inf, 0.0, np.inf])
def test_quantiles_of_infinite_rows(low: float) -> None:
    """verify showed a warning of numpy with a line of code."""
    rows = np.array([low, 1.0, np.inf])[:, None]
    assert list(misplaced_quantiles({"q50": np.array([1.0])}, rows)) == []
    finite = misplaced_quantiles({"q01": np.array([9.0])}, np.arange(100.0)[:, None])
    assert [text[:11] for text in finite] == ["q01[0] is 9"]

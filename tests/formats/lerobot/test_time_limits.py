from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from robotrove.formats.lerobot import time_limits
from robotrove.formats.lerobot.time_limits import is_lost, is_too_long_for_v21

FAIL_BEYOND_1024_S = [15, 30, 50, 100, 200]
PASS_UP_TO_2048_S = [5, 8, 10, 12, 16, 20, 24, 25, 29, 60, 120]
PASS_BEYOND = [8, 16]


@pytest.mark.parametrize("fps", FAIL_BEYOND_1024_S + PASS_UP_TO_2048_S)
def test_nothing_up_to_1024_s_is_too_long(fps: int) -> None:
    assert not is_too_long_for_v21(1, fps)
    assert not is_too_long_for_v21(1024 * fps, fps)


@pytest.mark.parametrize("fps", FAIL_BEYOND_1024_S)
def test_rates_that_fail_beyond_1024_s(fps: int) -> None:
    assert is_too_long_for_v21(1100 * fps, fps)


@pytest.mark.parametrize("fps", PASS_UP_TO_2048_S)
def test_rates_that_pass_up_to_2048_s(fps: int) -> None:
    assert not is_too_long_for_v21(2048 * fps, fps)
    assert is_too_long_for_v21(2100 * fps, fps) == (fps not in PASS_BEYOND)


@pytest.mark.parametrize("fps", [10, 15, 30, 50])
def test_it_is_exact_to_the_frame(fps: int) -> None:
    """The shortest episode that fails is the one that LeRobot's own comparison, over all frames, finds."""
    times = (np.arange(2100 * fps) / fps).astype(np.float32)
    bad = np.abs(np.diff(times) - (1.0 / fps)) > 1e-4
    shortest = int(np.argmax(bad)) + 2
    assert shortest > 1024 * fps
    assert not is_too_long_for_v21(shortest - 1, fps)
    assert is_too_long_for_v21(shortest, fps)


@pytest.mark.parametrize("batch", [1, 7])
def test_batches_leave_no_gap(monkeypatch: pytest.MonkeyPatch, batch: int) -> None:
    shortest = next(length for length in range(1024 * 30, 1100 * 30) if is_too_long_for_v21(length, 30))
    monkeypatch.setattr(time_limits, "_BATCH", batch)
    assert not is_too_long_for_v21(shortest - 1, 30)
    assert is_too_long_for_v21(shortest, 30)


def test_memory_is_bounded() -> None:
    tracemalloc.start()
    assert not is_too_long_for_v21(10_000_000, 8)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 << 20


@pytest.mark.parametrize("fps", [15, 30, 50, 60, 120])
def test_rounded_times_are_those_of_their_frames_however_long(fps: int) -> None:
    for seconds in (1, 1_000, 2_040, 4_090, 4_100, 8_200, 40_000):
        exact = np.arange(seconds * fps - 50, seconds * fps + 50) / fps
        assert not is_lost(exact.astype(np.float32), exact).any()
        assert not is_lost(exact.astype(np.float32).astype(np.float64), exact).any()
        assert not is_lost(exact, exact).any()


@pytest.mark.parametrize(("second", "step"), [(4_097, 2**-11), (8_193, 2**-10), (3_000, 2**-12)])
def test_one_step_of_float32_is_no_other_time_and_two_are(second: int, step: float) -> None:
    exact = np.array([second], np.float64)
    for steps, expected in ((0, False), (1, False), (-1, False), (2, True), (-2, True)):
        assert is_lost((exact + steps * step).astype(np.float32), exact).tolist() == [expected]


def test_below_1024_s_the_tolerance_decides() -> None:
    exact = np.array([0.0, 0.5, 1_000.0])
    assert is_lost(exact + 9e-5, exact).tolist() == [False] * 3
    assert is_lost(exact - 1.1e-4, exact).tolist() == [True] * 3
    assert is_lost(exact - 1.9e-4, exact, 2e-4).tolist() == [False] * 3


def test_times_of_the_next_frame_and_those_that_are_none_are_lost() -> None:
    exact = np.arange(5_000 * 50, 5_000 * 50 + 4) / 50
    found = (exact + 1 / 50).astype(np.float32)
    assert is_lost(found, exact).all()
    found[1:3] = np.nan, np.inf
    assert is_lost(found, exact).all()

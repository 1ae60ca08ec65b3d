from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from robotrove.formats.lerobot import time_limits
from robotrove.formats.lerobot.time_limits import is_too_long_for_v21

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

"""Timestamps of rows: LeRobot finds video frames by them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import Damaged
from ...core.features import DEFAULT_FEATURES
from ...formats.lerobot.dataset_files import ArrowColumn
from ...formats.lerobot.datasets.dataset import Dataset
from ...formats.lerobot.datasets.episode_location import DataFile
from ...formats.lerobot.features.feature_kind import kind_of
from ...formats.lerobot.time_limits import TOLERANCE_S, is_lost, is_too_long_for_v21
from ..check import Check, Diagnostic, RowFaults


class TimestampsCheck(Check[Dataset]):
    """The timestamp is frame_index / fps in every row: within LeRobot's tolerance, and better the same float32."""

    name = "timestamps"

    def run(self, dataset: Dataset, *, deep: bool) -> Iterator[Diagnostic]:
        """Yield rows with another time."""
        fps = dataset.fps
        for data in dataset.data_files():
            faults = RowFaults(self, data.path)
            try:
                for first, batch in dataset.row_batches(data.path, ("timestamp", "frame_index")):
                    found, frames = (column_of(batch, name, data.path) for name in ("timestamp", "frame_index"))
                    _compare(found.astype(np.float32), frames / fps, first, faults)
            except Damaged as exc:
                yield self.damaged(exc)
            yield from faults.findings()


def column_of(batch: Mapping[str, ArrowColumn], name: str, path: str) -> NDArray[Any]:
    """Return one of the default columns of a batch: (n,)."""
    return kind_of(DEFAULT_FEATURES[name]).values(batch[name], f"{path}, column {name}")[:, 0]


def _compare(found: NDArray[np.float32], exact: NDArray[np.float64], first: int, faults: RowFaults) -> None:
    lost, expected = is_lost(found, exact), exact.astype(np.float32)

    def describe(row: int) -> str:
        return f"timestamp is {found[row]!s} instead of {expected[row]!s}"

    faults.note("lost", lost, first, describe)
    faults.note("inexact", (found != expected) & ~lost, first, describe, "warning")


class TimestampsV21Check(TimestampsCheck):
    """The timestamp is frame_index / fps in every row, and its steps are 1 / fps in float32.

    The latter is `check_timestamps_sync` in lerobot 0.3.3, datasets/utils.py, with its tolerance of
    1e-4 s: in long episodes float32 itself steps further.
    """

    def run(self, dataset: Dataset, *, deep: bool) -> Iterator[Diagnostic]:
        """Yield rows with another time, and episodes that are too long."""
        yield from super().run(dataset, deep=deep)
        for data in dataset.data_files():
            faults = RowFaults(self, data.path)
            try:
                _steps(dataset, data, faults)
            except Damaged:
                continue  # said above
            yield from faults.findings()
            if is_too_long_for_v21(length := data.rows or 0, dataset.fps):
                cause = f"too long: of {length / dataset.fps:.0f} s at {dataset.fps} fps float32 is too coarse"
                yield self.error(data.path, f"{cause} for LeRobot 0.3.3, which refuses to load the dataset")


def _steps(dataset: Dataset, data: DataFile, faults: RowFaults) -> None:
    """Note steps that LeRobot refuses where the rounded exact times would have none such."""
    last = np.zeros(0, np.float32)
    step, tolerance = np.float32(1 / dataset.fps), np.float32(TOLERANCE_S)
    for first, batch in dataset.row_batches(data.path, ("timestamp",)):
        begin = first - len(last)
        times = np.concatenate([last, column_of(batch, "timestamp", data.path).astype(np.float32)])
        exact = (np.arange(begin, begin + len(times)) / dataset.fps).astype(np.float32)
        with np.errstate(invalid="ignore"):
            steps, fine = np.diff(times), np.abs(np.diff(exact) - step) <= tolerance
            wrong = ~(np.abs(steps - step) <= tolerance) & fine
        faults.note("step", wrong, begin, partial(_told, steps, dataset.fps))
        last = times[-1:]


def _told(steps: NDArray[np.float32], fps: int, row: int) -> str:
    told = f"the next timestamp is {steps[row]:.6f} s later instead of {1 / fps:.6f} s"
    return f"{told}: LeRobot 0.3.3 refuses to load the dataset"

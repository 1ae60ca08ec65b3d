"""Time of each row as LeRobot 0.3.3 checks it when it loads a dataset."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ....core.errors import Damaged
from ..datasets.dataset import DatasetView
from ..datasets.episode_location import DataFile
from ..time_limits import TOLERANCE_S, is_too_long_for_v21
from .base import Finding, RowFaults
from .timestamps import TimestampsCheck, column_of


class TimestampsV21Check(TimestampsCheck):
    """The timestamp is frame_index / fps in every row, and its steps are 1 / fps in float32.

    The latter is `check_timestamps_sync` in lerobot 0.3.3, datasets/utils.py, with its tolerance of
    1e-4 s: in long episodes float32 itself steps further.
    """

    def run(self, dataset: DatasetView, *, deep: bool) -> Iterator[Finding]:
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


def _steps(dataset: DatasetView, data: DataFile, faults: RowFaults) -> None:
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

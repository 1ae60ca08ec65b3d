"""Time of each row: LeRobot finds video frames by it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....core.errors import Damaged
from ....core.features import DEFAULT_FEATURES
from ..dataset_files import ArrowColumn
from ..datasets.dataset import DatasetView
from ..features.vector import rows_of
from ..time_limits import TOLERANCE_S
from .base import Check, Finding, RowFaults


class TimestampsCheck(Check[DatasetView]):
    """The timestamp is frame_index / fps in every row: within LeRobot's tolerance, and better the same float32."""

    name = "timestamps"

    def run(self, dataset: DatasetView, *, deep: bool) -> Iterator[Finding]:
        """Yield rows with another time."""
        fps = dataset.fps
        for data in dataset.data_files():
            faults = RowFaults(self, data.path)
            try:
                for first, batch in dataset.row_batches(data.path, ("timestamp", "frame_index")):
                    found, frames = (column_of(batch, name, data.path) for name in ("timestamp", "frame_index"))
                    _compare(found.astype(np.float32), (frames / fps).astype(np.float32), first, faults)
            except Damaged as exc:
                yield self.damaged(exc)
            yield from faults.findings()


def column_of(batch: Mapping[str, ArrowColumn], name: str, path: str) -> NDArray[Any]:
    """Return one of the default columns of a batch: (n,)."""
    return rows_of(batch[name], DEFAULT_FEATURES[name], f"{path}, column {name}")[:, 0]


def _compare(found: NDArray[np.float32], expected: NDArray[np.float32], first: int, faults: RowFaults) -> None:
    with np.errstate(invalid="ignore"):
        lost = ~(np.abs(found - expected) <= np.float32(TOLERANCE_S))  # not `>`: NaN must not pass

    def describe(row: int) -> str:
        return f"timestamp is {found[row]!s} instead of {expected[row]!s}"

    faults.note("lost", lost, first, describe)
    faults.note("inexact", (found != expected) & ~lost, first, describe, "warning")

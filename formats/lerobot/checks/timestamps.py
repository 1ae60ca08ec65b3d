"""Time of each row: LeRobot finds video frames by it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ....core.features import DEFAULT_FEATURES
from ..arrow_rows import Damaged, rows_of
from ..view import DatasetView
from .base import Check, Finding, RowFaults


class TimestampsCheck(Check):
    """The timestamp is frame_index / fps, rounded to float32, in every row."""

    name = "timestamps"

    def run(self, dataset: DatasetView, *, deep: bool) -> Iterator[Finding]:
        """Yield rows with another time."""
        for path in dataset.files("data"):
            faults = RowFaults(self, path)
            try:
                for first, batch in dataset.row_batches(path, ("timestamp", "frame_index")):
                    times, frames = (
                        rows_of(batch[name], DEFAULT_FEATURES[name], f"{path}, column {name}")[:, 0] for name in batch
                    )
                    faults.differences("timestamp", times, (frames / dataset.fps).astype(np.float32), first)
            except Damaged as exc:
                yield self.damaged(exc)
            yield from faults.findings()

"""The totals of info.json against what is there."""

from __future__ import annotations

from collections.abc import Iterator

from ....core.errors import Damaged
from .. import paths_v30
from ..datasets.dataset import DatasetView
from .base import Check, Finding


class CountsCheck(Check[DatasetView]):
    """Episodes, frames, tasks and the split."""

    name = "counts"

    def run(self, dataset: DatasetView, *, deep: bool) -> Iterator[Finding]:
        """Yield totals that do not hold."""
        episodes, frames = len(dataset.lengths), int(dataset.lengths.sum())
        for key, found, place in (
            ("total_episodes", episodes, dataset.episodes_path),
            ("total_frames", frames, f"the lengths in {dataset.episodes_path}"),
            ("total_tasks", len(dataset.tasks), dataset.tasks_path),
        ):
            if dataset.count(key) != found:
                yield self.error(paths_v30.INFO, f"{key} is {dataset.count(key)}, but {place} gives {found}")
        split = {"train": f"0:{episodes}"}
        if dataset.info.get("splits") != split:  # no release of LeRobot reads it
            yield self.warning(paths_v30.INFO, f"splits is {dataset.info.get('splits')} instead of {split}")
        rows = 0
        for data in dataset.data_files():
            try:
                with dataset.parquet(data.path) as file:
                    rows += file.metadata.num_rows
            except Damaged as exc:
                yield self.damaged(exc)
                return
        if rows != frames:
            yield self.error("data", f"the files have {rows} rows, but the episodes have {frames} frames")

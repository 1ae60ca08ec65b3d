"""The totals of info.json that only v2.1 has."""

from __future__ import annotations

from collections.abc import Iterator

from .. import paths_v30
from ..datasets.dataset import DatasetView
from .base import Finding
from .counts import CountsCheck


class CountsV21Check(CountsCheck):
    """Episodes, frames, tasks, the split, videos and folders."""

    def run(self, dataset: DatasetView, *, deep: bool) -> Iterator[Finding]:
        """Yield totals that do not hold."""
        yield from super().run(dataset, deep=deep)
        episodes = len(dataset.lengths)
        for key, expected, reason in (
            ("total_videos", episodes * len(dataset.video_keys), f"{len(dataset.video_keys)} for each episode"),
            ("total_chunks", -(-episodes // max(dataset.count("chunks_size"), 1)), f"for {episodes} episodes"),
        ):
            if key in dataset.info and dataset.count(key) != expected:
                # LeRobot only counts on from it.
                yield self.warning(paths_v30.INFO, f"{key} is {dataset.count(key)} instead of {expected}, {reason}")

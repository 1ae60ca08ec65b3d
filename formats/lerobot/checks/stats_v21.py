"""Statistics of v2.1, which are those of the episodes alone; LeRobot 0.3.3 merges them when it loads a dataset."""

from __future__ import annotations

from collections.abc import Iterator

from .. import paths_v21
from ..datasets.dataset_v21 import DatasetViewV21
from .base import Finding
from .stats import StatsCheck


class StatsV21Check(StatsCheck[DatasetViewV21]):
    """episodes_stats.jsonl, recomputed from the rows where these are numbers; quantiles may be missing."""

    absent = "warning"
    wants_quantiles = False

    def run(self, dataset: DatasetViewV21, *, deep: bool) -> Iterator[Finding]:
        """Yield missing, misshapen and wrong statistics."""
        lines = 0
        for where, line in dataset.json_lines(paths_v21.EPISODES_STATS):
            number = line.get("episode_index")
            if type(number) is not int or number != lines:
                yield self.error(where, f"episode_index is {number!r} instead of {lines}")
                return
            lines += 1
        if lines != len(dataset.lengths):
            yield self.error(
                paths_v21.EPISODES_STATS, f"has {lines} lines, but there are {len(dataset.lengths)} episodes"
            )
        yield from self.per_episode(dataset, {})

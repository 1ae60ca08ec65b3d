"""episodes.jsonl: which episodes there are."""

from __future__ import annotations

from collections.abc import Iterator

from ..datasets.dataset import is_texts
from ..datasets.dataset_v21 import DatasetViewV21
from .base import Check, Finding


class EpisodesV21Check(Check[DatasetViewV21]):
    """Order and tasks of the lines of episodes.jsonl."""

    name = "episodes"

    def run(self, dataset: DatasetViewV21, *, deep: bool) -> Iterator[Finding]:
        """Yield what is wrong in episodes.jsonl."""
        tasks = set(dataset.tasks)
        rows = dataset.episodes(("episode_index", "tasks", "length"))
        for episode, (where, row) in enumerate(rows):
            if row["episode_index"] != episode:
                yield self.error(where, f"episode_index is {row['episode_index']!r} instead of {episode}")
            if type(row["length"]) is not int or row["length"] < 1:
                yield self.error(where, f"length is {row['length']!r} instead of a positive whole number")
            if not is_texts(row["tasks"]):
                yield self.error(where, f"tasks is {row['tasks']!r} instead of a list of texts")
                continue
            if not row["tasks"]:
                yield self.error(where, "it has no task")
            for task in row["tasks"]:
                if task not in tasks:
                    yield self.error(where, f"its task {task!r} is not in tasks.jsonl")

"""A file per episode, another per episode and camera, and no other."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from ..datasets.dataset_v21 import DatasetViewV21
from .base import Check, Finding

_COUNTED = (".parquet", ".mp4")


class FilesV21Check(Check[DatasetViewV21]):
    """Files of the episodes in episodes.jsonl against those that are there."""

    name = "files"

    def run(self, dataset: DatasetViewV21, *, deep: bool) -> Iterator[Finding]:
        """Yield missing and stray files."""
        numbers = set(dataset.numbers.tolist())
        for number in sorted(numbers):
            for path in _paths(dataset, number):
                if not (dataset.root / path).is_file():
                    yield self.error(path, f"does not exist, but episode {number} should be there")
        for path in _files(dataset.root):
            named = {int(digits) for digits in re.findall(r"\d+", path)}
            if not any(path in _paths(dataset, number) for number in named & numbers):
                yield from self._stray(path)

    def _stray(self, path: str) -> Iterator[Finding]:
        if path.startswith("data/"):
            yield self.error(path, "belongs to no episode, but LeRobot would read it")
        elif path.endswith(_COUNTED):
            # `assert len(parquet_files) == self.num_episodes` in lerobot 0.3.3, LeRobotDataset.save_episode.
            yield self.error(path, "belongs to no episode: LeRobot counts such files when it adds episodes, and fails")
        elif path.startswith("videos/"):
            yield self.warning(path, "belongs to no episode")


def _paths(dataset: DatasetViewV21, episode: int) -> list[str]:
    return [dataset.data_file(episode), *(dataset.video_file(key, episode) for key in dataset.video_keys)]


def _files(root: Path) -> Iterator[str]:
    """Yield all files below a folder as relative paths, a folder at a time."""
    for folder, subfolders, names in os.walk(root):
        subfolders.sort()
        for name in sorted(names):
            yield Path(folder, name).relative_to(root).as_posix()

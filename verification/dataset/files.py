"""Files: all that the metadata names exist, and no others."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from ...formats.lerobot.datasets.dataset_v21 import DatasetV21
from ...formats.lerobot.datasets.dataset_v30 import DatasetV30
from ..check import Check, Diagnostic

_COUNTED = (".parquet", ".mp4")


class FilesV21Check(Check[DatasetV21]):
    """Files of the episodes in episodes.jsonl against those that are there."""

    name = "files"

    def run(self, dataset: DatasetV21, *, deep: bool) -> Iterator[Diagnostic]:
        """Yield missing and stray files."""
        numbers = set(dataset.numbers.tolist())
        for number in sorted(numbers):
            for path in _paths(dataset, number):
                if not (dataset.root / path).is_file():
                    yield self.error(path, f"does not exist, but should contain episode {number}")
        for path in _files(dataset.root):
            named = {int(digits) for digits in re.findall(r"\d+", path)}
            if not any(path in _paths(dataset, number) for number in named & numbers):
                yield from self._stray(path)

    def _stray(self, path: str) -> Iterator[Diagnostic]:
        if path.startswith("data/"):
            yield _stray(self, path, is_read=True)
        elif path.endswith(_COUNTED):
            # `assert len(parquet_files) == self.num_episodes` in lerobot 0.3.3, LeRobotDataset.save_episode.
            yield self.error(path, "belongs to no episode: LeRobot counts such files when it adds episodes, and fails")
        elif path.startswith("videos/"):
            yield _stray(self, path, is_read=False)


def _stray(check: FilesV21Check | FilesV30Check, path: str, *, is_read: bool) -> Diagnostic:
    if is_read:
        return check.error(path, "belongs to no episode, but LeRobot would read it")
    return check.warning(path, "belongs to no episode")


def _paths(dataset: DatasetV21, episode: int) -> list[str]:
    return [dataset.data_file(episode), *(dataset.video_file(key, episode) for key in dataset.video_keys)]


def _files(root: Path) -> Iterator[str]:
    """Yield all files below a folder as relative paths, a folder at a time."""
    for folder, subfolders, names in os.walk(root):
        subfolders.sort()
        for name in sorted(names):
            yield Path(folder, name).relative_to(root).as_posix()


class FilesV30Check(Check[DatasetV30]):
    """References from meta/episodes against the files in data/, videos/ and meta/episodes/."""

    name = "files"

    def run(self, dataset: DatasetV30, *, deep: bool) -> Iterator[Diagnostic]:
        """Yield missing and stray files."""
        referred = dict.fromkeys(dataset.data_references(), "data")
        for key in dataset.video_keys:
            referred |= {file.path: "video" for file in dataset.video_files(key)}
        for path, kind in referred.items():
            if not (dataset.root / path).is_file():
                yield self.error(path, f"does not exist, but episodes have their {kind} there")
        read = {file.path for file in dataset.data_files()}
        expected = referred.keys() | set(dataset.files("meta/episodes"))
        for folder in ("data", "videos", "meta/episodes"):
            for found in sorted((dataset.root / folder).rglob("*")):
                path = found.relative_to(dataset.root).as_posix()
                if found.is_file() and path not in expected:
                    yield _stray(self, path, is_read=path in read)

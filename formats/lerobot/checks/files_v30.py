"""Every file that an episode refers to is there, and no other."""

from __future__ import annotations

from collections.abc import Iterator

from ..datasets.dataset_v30 import DatasetViewV30
from .base import Check, Finding


class FilesV30Check(Check[DatasetViewV30]):
    """References from meta/episodes against the files in data/, videos/ and meta/episodes/."""

    name = "files"

    def run(self, dataset: DatasetViewV30, *, deep: bool) -> Iterator[Finding]:
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
                if not found.is_file() or path in expected:
                    continue
                if path in read:
                    yield self.error(path, "belongs to no episode, but LeRobot would read it")
                else:
                    yield self.warning(path, "belongs to no episode")

"""Every file that an episode refers to is there, and no other."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..view import DatasetView
from .base import Check, Finding


class FilesCheck(Check):
    """References from meta/episodes against the files in data/, videos/ and meta/episodes/."""

    name = "files"

    def run(self, dataset: DatasetView, *, deep: bool) -> Iterator[Finding]:
        """Yield missing and stray files."""
        expected = set(dataset.files("meta/episodes"))
        referred = {dataset.data_file(*pair): "data" for pair in file_pairs(dataset, "data")}
        for key in dataset.video_keys:
            referred |= {dataset.video_file(key, *pair): "video" for pair in file_pairs(dataset, f"videos/{key}")}
        for path, kind in referred.items():
            if not (dataset.root / path).is_file():
                yield self.error(path, f"does not exist, but episodes have their {kind} there")
        expected |= set(referred)
        for folder in ("data", "videos", "meta/episodes"):
            for found in sorted((dataset.root / folder).rglob("*")):
                path = found.relative_to(dataset.root).as_posix()
                if found.is_file() and path not in expected:
                    # LeRobot reads every parquet file it finds; others are only dead weight.
                    read = found.suffix == ".parquet"
                    message = "belongs to no episode" + (", but LeRobot would read it" if read else "")
                    yield self.error(path, message)


def file_pairs(dataset: DatasetView, prefix: str) -> list[tuple[int, int]]:
    """Return the distinct (chunk index, file index) of `data` or `videos/<key>` in meta/episodes, ascending."""
    columns = [dataset.episode_column(f"{prefix}/{name}") for name in ("chunk_index", "file_index")]
    return [(int(chunk), int(file)) for chunk, file in np.unique(np.stack(columns, axis=1), axis=0)]

"""Where the episodes of a dataset come from: reading the table in meta/robotrove."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import pyarrow as pa

from ...core.errors import Damaged
from .dataset_files import DatasetFiles
from .view_v30 import EPISODE_BATCH_ROWS

# The columns of the table, but episode_index.
ORIGIN_SCHEMA = pa.schema(
    [
        ("source_name", pa.string()),
        ("source_key", pa.string()),
        ("source_digest", pa.string()),
        ("source_length", pa.int64()),
        ("first_row", pa.int64()),
        ("last_row", pa.int64()),
        ("success", pa.bool_()),
        ("fps_assumed", pa.bool_()),
        ("run_digest", pa.string()),
        ("robotrove_version", pa.string()),
        ("encoder_version", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True)
class Origin:
    """What the provenance table says about one episode.

    Attributes:
        episode_index: The episode.
        source_name: File it comes from, relative to the root of the sources.
        source_key: Name of the episode inside the file.
        source_digest: sha256 of the episode in the file.
        source_length: Frames in the file.
        first_row: First row of the file's episode that was used.
        last_row: Last row that was used.
        success: The recorder's label, None without one.
        fps_assumed: True if neither file nor pipeline said the frame rate.
        run_digest: Identity of the run that converted it.
        robotrove_version: Version that converted it.
        encoder_version: Encoder and FFmpeg that made its videos.
    """

    episode_index: int
    source_name: str
    source_key: str
    source_digest: str
    source_length: int
    first_row: int
    last_row: int
    success: bool | None
    fps_assumed: bool
    run_digest: str
    robotrove_version: str
    encoder_version: str

    @property
    def label(self) -> str:
        """File and key, for people."""
        return f"{self.source_name}:{self.source_key}"


_COLUMNS = tuple(field.name for field in fields(Origin))


def origins(files: DatasetFiles, path: str) -> Iterator[Origin]:
    """Yield the origin of each episode in order, in bounded memory.

    Args:
        files: The dataset.
        path: Its table of provenance, `provenance_path` of the dataset.

    Raises:
        Damaged: If the table is missing or cannot be read.
    """
    for row, (where, values) in enumerate(_entries(files, path)):
        origin = Origin(**values)
        if origin.episode_index != row:
            raise Damaged(where, f"is about episode {origin.episode_index}")
        yield origin


def _entries(files: DatasetFiles, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (place, columns) of each row of the table, or of each line where it is a file of JSON lines."""
    if path.endswith(".parquet"):
        row = 0
        for batch in files.batches(path, _COLUMNS, EPISODE_BATCH_ROWS):
            for values in zip(*(batch[name].to_pylist() for name in _COLUMNS), strict=True):
                yield f"{path}, row {row}", dict(zip(_COLUMNS, values, strict=True))
                row += 1
        return
    for where, line in files.json_lines(path):
        if missing := [name for name in _COLUMNS if name not in line]:
            raise Damaged(where, f"has no {', '.join(missing)}")
        yield where, {name: line[name] for name in _COLUMNS}


def origin_of(files: DatasetFiles, path: str, episode: int) -> Origin | None:
    """Return the origin of one episode, None if the table has no such; raises as `origins` does."""
    return next((origin for origin in origins(files, path) if origin.episode_index == episode), None)

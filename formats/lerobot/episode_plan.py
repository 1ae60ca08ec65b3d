"""The plan of a new dataset: every episode with its place and its origin, and the files to write.

Written once, from metadata alone; every rank then reads the part that it needs.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ...core.commit import attempt_name, sync_file, write_file
from ...media.index import Encoding
from ...media.join import Clip
from .arrow_rows import open_parquet
from .placement import PlannedFile
from .record import EpisodeFiles, Rows, Track

PLAN_FILE = "plan.json"
EPISODES_FILE = "episodes.parquet"
GROUP_EPISODES = 128

_CLIP = pa.struct(
    [
        ("key", pa.string()),
        ("path", pa.string()),
        ("first", pa.int64()),
        ("size", pa.int64()),
        ("is_copyable", pa.bool_()),
        ("codec", pa.string()),
        ("width", pa.int64()),
        ("height", pa.int64()),
        ("pix_fmt", pa.string()),
        ("extradata", pa.string()),
    ]
)
_SCHEMA = pa.schema(
    [
        ("source", pa.int64()),
        ("episode", pa.int64()),
        ("first_index", pa.int64()),
        ("length", pa.int64()),
        ("tasks", pa.list_(pa.string())),
        ("row_path", pa.string()),
        ("first_row", pa.int64()),
        ("row_bytes", pa.int64()),
        ("tracks", pa.list_(_CLIP)),
    ]
)


@dataclass(frozen=True, slots=True)
class PlacedEpisode:
    """An episode and where it goes.

    Attributes:
        index: Number of the episode in the new dataset.
        first_index: Global index of its first frame there.
        source: Number of the source that it is from.
        episode: Number of the episode in that source.
        files: Where it is.
    """

    index: int
    first_index: int
    source: int
    episode: int
    files: EpisodeFiles


@dataclass(frozen=True, slots=True)
class DatasetPlan:
    """What is the same for all ranks.

    Attributes:
        files: Files to write, or runs of episodes to write one after the other.
        tasks: Every instruction of the new dataset, by task_index.
        source_tasks: Per source, its instructions by its own task_index.
        episodes: Number of episodes.
        notes: What was found wrong in the sources and is right in the output.
    """

    files: Sequence[PlannedFile]
    tasks: Sequence[str]
    source_tasks: Sequence[Sequence[str]]
    episodes: int
    notes: Sequence[str]

    def write(self, folder: Path) -> None:
        """Write plan.json, whole or not at all."""
        write_file(folder / PLAN_FILE, json.dumps(asdict(self), ensure_ascii=False).encode())

    @classmethod
    def read(cls, folder: Path) -> DatasetPlan:
        """Read plan.json."""
        entry = json.loads((folder / PLAN_FILE).read_text(encoding="utf-8"))
        return cls(**{**entry, "files": [PlannedFile(**file) for file in entry["files"]]})


def write_episodes(folder: Path, episodes: Iterable[PlacedEpisode]) -> None:
    """Write the episodes of a plan in order, holding a few hundred of them at a time."""
    target = folder / EPISODES_FILE
    attempt = target.with_name(attempt_name(target.name))
    rows: list[dict[str, Any]] = []
    try:
        with pq.ParquetWriter(attempt, _SCHEMA) as writer:

            def flush() -> None:
                if rows:
                    writer.write_table(pa.Table.from_pylist(rows, schema=_SCHEMA))
                    rows.clear()

            for placed in episodes:
                rows.append(_row(placed))
                if len(rows) == GROUP_EPISODES:
                    flush()
            flush()
        sync_file(attempt)
        attempt.replace(target)
    finally:
        attempt.unlink(missing_ok=True)


def read_episodes(folder: Path, first: int = 0, last: int | None = None) -> Iterator[PlacedEpisode]:
    """Yield the episodes first..last of a plan in order, reading little else."""
    with open_parquet(folder / EPISODES_FILE) as file:
        index = 0
        for group in range(file.num_row_groups):
            stop = index + file.metadata.row_group(group).num_rows
            if stop > first and (last is None or index < last):
                for number, row in enumerate(file.read_row_group(group).to_pylist(), start=index):
                    if number >= first and (last is None or number < last):
                        yield _placed(number, row)
            index = stop


def _row(placed: PlacedEpisode) -> dict[str, Any]:
    files = placed.files
    return {
        "source": placed.source,
        "episode": placed.episode,
        "first_index": placed.first_index,
        "length": files.length,
        "tasks": list(files.tasks),
        "row_path": str(files.rows.path),
        "first_row": files.rows.first,
        "row_bytes": files.row_bytes,
        "tracks": [_track_row(key, track) for key, track in files.tracks.items()],
    }


def _track_row(key: str, track: Track) -> dict[str, Any]:
    row = {"key": key, "path": str(track.clip.path), "first": track.clip.first, "size": track.size}
    row["is_copyable"] = track.is_copyable
    return row | (asdict(track.encoding) if track.encoding else {})


def _placed(index: int, row: dict[str, Any]) -> PlacedEpisode:
    length = row["length"]
    files = EpisodeFiles(
        length,
        tuple(row["tasks"]),
        Rows(Path(row["row_path"]), row["first_row"], length),
        row["row_bytes"],
        {track["key"]: _track(track, length) for track in row["tracks"]},
    )
    return PlacedEpisode(index, row["first_index"], row["source"], row["episode"], files)


def _track(row: dict[str, Any], length: int) -> Track:
    names = ("codec", "width", "height", "pix_fmt", "extradata")
    encoding = None if row["codec"] is None else Encoding(**{name: row[name] for name in names})
    return Track(Clip(Path(row["path"]), row["first"], length), row["size"], encoding, row["is_copyable"])

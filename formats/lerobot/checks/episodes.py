"""meta/episodes: LeRobot finds everything of an episode by what its row says."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pyarrow as pa

from ..arrow_rows import Damaged
from ..view import DatasetView
from .base import Check, Finding

# LeRobot compares times with a tolerance of 1e-4 s; sums of durations drift by less than 1e-10 s.
_TOLERANCE_S = 1e-6
_INTEGERS = (
    "episode_index",
    "length",
    "data/chunk_index",
    "data/file_index",
    "dataset_from_index",
    "dataset_to_index",
    "meta/episodes/chunk_index",
    "meta/episodes/file_index",
)


class EpisodesCheck(Check):
    """Order, ranges, references and video windows of the rows of meta/episodes."""

    name = "episodes"

    def run(self, dataset: DatasetView, *, deep: bool) -> Iterator[Finding]:
        """Yield what is wrong in meta/episodes."""
        yield from self._types(dataset)
        yield from self._rows(dataset)
        for key in dataset.video_keys:
            yield from self._windows(dataset, key)

    def _types(self, dataset: DatasetView) -> Iterator[Finding]:
        expected: dict[str, pa.DataType] = dict.fromkeys(_INTEGERS, pa.int64())
        for key in dataset.video_keys:
            expected |= {f"videos/{key}/{name}": pa.int64() for name in ("chunk_index", "file_index")}
            expected |= {f"videos/{key}/{name}": pa.float64() for name in ("from_timestamp", "to_timestamp")}
        for path in dataset.files("meta/episodes"):
            with dataset.parquet(path) as file:
                found = {field.name: field.type for field in file.schema_arrow}
            tasks = found.get("tasks")
            if tasks is not None and not (pa.types.is_list(tasks) and pa.types.is_string(tasks.value_type)):
                raise Damaged(path, f"column tasks is {tasks} instead of a list of texts")
            for name, kind in expected.items():
                if name not in found or found[name] == kind:
                    continue
                same = pa.types.is_integer if pa.types.is_integer(kind) else pa.types.is_floating
                message = f"column {name} is {found[name]} instead of {kind}"
                if not same(found[name]):
                    raise Damaged(path, message)
                yield self.error(path, message)

    def _rows(self, dataset: DatasetView) -> Iterator[Finding]:
        ranges = _row_ranges(dataset)
        tasks = set(dataset.tasks)
        start = 0
        for episode, (where, row) in enumerate(dataset.episodes(("tasks", *_INTEGERS))):
            if empty := [name for name, value in row.items() if value is None]:
                yield self.error(where, f"{', '.join(empty)} is empty")
                start += row["length"] or 0
                continue
            stop = start + row["length"]
            for name, expected in (
                ("episode_index", episode),
                ("dataset_from_index", start),
                ("dataset_to_index", stop),
            ):
                if row[name] != expected:
                    yield self.error(where, f"{name} is {row[name]} instead of {expected}")
            path = dataset.data_file(row["data/chunk_index"], row["data/file_index"])
            first, last = ranges.get(path, (start, stop))  # a missing file is found by the check of files
            if start < first or stop > last:
                rows = f"rows {start} to {stop - 1}"
                yield self.error(where, f"its {rows} are said to be in {path}, which holds {first} to {last - 1}")
            own = f"meta/episodes/chunk-{row['meta/episodes/chunk_index']:03d}/"
            own += f"file-{row['meta/episodes/file_index']:03d}.parquet"
            if not where.startswith(f"{own},"):
                yield self.error(where, f"it is said to be in {own}")
            if not row["tasks"]:
                yield self.error(where, "it has no task")
            for task in row["tasks"]:
                if task not in tasks:
                    yield self.error(where, f"its task {task!r} is not in tasks.parquet")
            start = stop

    def _windows(self, dataset: DatasetView, key: str) -> Iterator[Finding]:
        names = [f"videos/{key}/{name}" for name in ("chunk_index", "file_index", "from_timestamp", "to_timestamp")]
        fps = dataset.fps
        frames: dict[tuple[int, int], int] = {}  # per file: frames of the episodes so far
        for where, row in dataset.episodes(("length", *names)):
            chunk, file, begin, end = (row[name] for name in names)
            if None in row.values():
                yield self.error(where, f"a value of videos/{key} or the length is empty")
                continue
            first = frames.get((chunk, file), 0)
            last = frames[chunk, file] = first + row["length"]
            for name, found, frame in ((names[2], begin, first), (names[3], end, last)):
                # Not `>`: NaN must not pass.
                if not abs(found - frame / fps) <= _TOLERANCE_S:
                    path = dataset.video_file(key, chunk, file)
                    yield self.error(where, f"{name} is {found} instead of {frame / fps} (frame {frame} of {path})")


def _row_ranges(dataset: DatasetView) -> dict[str, tuple[int, int]]:
    """Return which global rows each readable data file holds, by the order in which LeRobot reads them."""
    paths = dataset.files("data")
    counts = []
    for path in paths:
        try:
            with dataset.parquet(path) as file:
                counts.append(file.metadata.num_rows)
        except Damaged:
            return {}  # where the rows of later files begin is unknown; the check of counts reports the file
    bounds = np.concatenate([[0], np.cumsum(counts)]).astype(int).tolist()
    return dict(zip(paths, pairwise(bounds), strict=True))

"""Episodes: lengths, row ranges and time windows in meta/."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pyarrow as pa

from ...core.errors import Damaged
from ...formats.lerobot.datasets.dataset import is_texts
from ...formats.lerobot.datasets.dataset_v21 import DatasetV21
from ...formats.lerobot.datasets.dataset_v30 import DatasetV30
from ...formats.lerobot.datasets.episode_location import VideoFile
from ..check import Check, Diagnostic, Repeated

# LeRobot compares times with a tolerance of 1e-4 s; float32 needs most of it. Sums of durations drift by far less.
_TOLERANCE_S = 1e-5
_FINE_S = 1024  # until then, a time in float32 is exact enough for LeRobot
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


class EpisodesV21Check(Check[DatasetV21]):
    """Order and tasks of the lines of episodes.jsonl."""

    name = "episodes"

    def run(self, dataset: DatasetV21, *, deep: bool) -> Iterator[Diagnostic]:
        """Yield what is wrong in episodes.jsonl."""
        tasks = set(dataset.task_texts)
        rows = dataset.entries(("episode_index", "tasks", "length"), as_stored=True)
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


class EpisodesV30Check(Check[DatasetV30]):
    """Order, ranges, references and video windows of the rows of meta/episodes."""

    name = "episodes"

    def run(self, dataset: DatasetV30, *, deep: bool) -> Iterator[Diagnostic]:
        """Yield what is wrong in meta/episodes."""
        yield from self._types(dataset)
        yield from self._rows(dataset)
        for key in dataset.video_keys:
            yield from self._windows(dataset, key)

    def _types(self, dataset: DatasetV30) -> Iterator[Diagnostic]:
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
                is_time = pa.types.is_floating(kind) and pa.types.is_floating(found[name])
                message = f"column {name} is {found[name]} instead of {kind}"
                if not (is_time or pa.types.is_integer(found[name])):
                    raise Damaged(path, message)
                yield self.warning(path, message)  # LeRobot casts it

    def _rows(self, dataset: DatasetV30) -> Iterator[Diagnostic]:
        ranges = _row_ranges(dataset)
        tasks = set(dataset.task_texts)
        faults = Repeated(self)
        start = 0
        for episode, (where, row) in enumerate(dataset.entries(("tasks", *_INTEGERS))):
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
                message = f"its {rows} are said to be in {path}, which holds {first} to {last - 1}"
                faults.note("data", where, f"{message}; {_mend(dataset)}")
            own = f"meta/episodes/chunk-{row['meta/episodes/chunk_index']:03d}/"
            own += f"file-{row['meta/episodes/file_index']:03d}.parquet"
            if not where.startswith(f"{own},"):
                told = f"it is said to be in {own}: LeRobot could not merge it with others"
                faults.note("meta", where, f"{told}; {_mend(dataset)}")
            if not row["tasks"]:
                yield self.error(where, "it has no task")
            for task in row["tasks"]:
                if task not in tasks:
                    yield self.error(where, f"its task {task!r} is not in tasks.parquet")
            start = stop
        yield from faults.findings()

    def _windows(self, dataset: DatasetV30, key: str) -> Iterator[Diagnostic]:
        names = [f"videos/{key}/{name}" for name in ("chunk_index", "file_index", "from_timestamp", "to_timestamp")]
        fps = dataset.fps
        for where, row in dataset.entries(("length", *names)):
            if None in row.values():
                yield self.error(where, f"a value of videos/{key} or the length is empty")
                continue
            begin, end = row[names[2]], row[names[3]]
            if not (0 <= begin < np.inf and _is_same(begin, round(begin * fps) / fps)):
                yield self.error(where, f"{names[2]} is {begin}: not the time of a frame at {fps} frames per second")
            elif not _is_same(end, begin + row["length"] / fps):
                expected = f"{begin + row['length'] / fps} (from_timestamp and {row['length']} frames)"
                yield self.error(where, f"{names[3]} is {end} instead of {expected}")
        for file in dataset.video_files(key):
            yield from self._overlaps(file)

    def _overlaps(self, file: VideoFile) -> Iterator[Diagnostic]:
        order = np.argsort(file.firsts, kind="stable")
        firsts, lasts = file.firsts[order], (file.firsts + file.lengths)[order] - 1
        for at in np.flatnonzero(firsts[1:] <= np.maximum.accumulate(lasts)[:-1]).tolist():
            text = " and ".join(
                f"{firsts[i]} to {lasts[i]} are of episode {file.episodes[order[i]]}" for i in (at, at + 1)
            )
            yield self.error(file.path, f"episodes overlap: frames {text}")


def _is_same(found: float, expected: float) -> bool:
    is_single = found < _FINE_S and float(np.float32(found)) == found
    return abs(found - expected) <= (max(_TOLERANCE_S, np.spacing(np.float32(found))) if is_single else _TOLERANCE_S)


def _mend(dataset: DatasetV30) -> str:
    return f"`robotrove aggregate {dataset.root} -o OUT` rewrites it with right references"


def _row_ranges(dataset: DatasetV30) -> dict[str, tuple[int, int]]:
    """Return which global rows each readable data file holds, by the order in which LeRobot reads them."""
    paths = [file.path for file in dataset.data_files()]
    counts = []
    for path in paths:
        try:
            with dataset.parquet(path) as file:
                counts.append(file.metadata.num_rows)
        except Damaged:
            return {}  # where the rows of later files begin is unknown; the check of counts reports the file
    bounds = np.concatenate([[0], np.cumsum(counts)]).astype(int).tolist()
    return dict(zip(paths, pairwise(bounds), strict=True))

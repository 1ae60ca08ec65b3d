"""Rows of the data files: columns, types, indices, tasks, finite numbers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ...core.errors import Damaged, RobotroveError, some
from ...core.features import DEFAULT_FEATURES
from ...formats.lerobot.datasets.dataset import Dataset
from ...formats.lerobot.datasets.dataset_info import annotation_columns
from ...formats.lerobot.datasets.dataset_v21 import DatasetV21
from ...formats.lerobot.features.language import PERSISTENT, Language
from ..check import Check, Diagnostic, RowFaults
from .timestamps import column_of

_INDICES = ("index", "episode_index", "frame_index", "task_index")


class RowsCheck(Check[Dataset]):
    """Every data file has the columns of info.json, and every row its place.

    Attributes:
        may_wrap: Accept single values as lists of one, but not in LeRobot's own columns.
    """

    name = "rows"
    may_wrap = False

    def run(self, dataset: Dataset, *, deep: bool) -> Iterator[Diagnostic]:
        """Yield what is wrong in the data files."""
        used: set[tuple[int, int]] = set()  # (episode, task)
        referred: set[tuple[int, int]] = set()  # the same of columns beside task_index
        annotations, texts = annotation_columns(dataset), _texts(dataset)
        known = np.array(sorted(texts), np.int64)
        first: int | None = 0
        complete = True
        for data in dataset.data_files():
            path, faults = data.path, RowFaults(self, data.path)
            if data.first is not None:
                first = data.first
            try:
                with dataset.parquet(path) as file:
                    rows, schema = file.metadata.num_rows, file.schema_arrow
                if data.rows is not None and rows != data.rows:
                    yield self.error(path, f"has {rows} rows, but its episode has {data.rows} frames")
                yield from self._schema(path, schema, dataset)
                yield from self._features(path, schema, dataset, faults)
                pointing = [key for key in annotations if key in schema.names]
                for row, batch in dataset.row_batches(path, (*_INDICES, *pointing)):
                    found = {name: column_of(batch, name, path) for name in _INDICES}
                    if first is None:
                        first = int(found["index"][0])
                    _check_indices(dataset.starts, known, found, first + row, row, faults)
                    used |= _pairs(found["episode_index"], found["task_index"])
                    for key in pointing:
                        numbers = dataset.kinds[key].values(batch[key], f"{path}, column {key}")
                        referred |= _pairs(found["episode_index"], numbers)
                first = None if first is None else first + rows
            except Damaged as exc:
                yield self.damaged(exc)
                first, complete = None, False  # the next file says for itself where it begins
            yield from faults.findings()
        if complete:
            yield from self._tasks(dataset, texts, used, referred)

    def _schema(self, path: str, schema: pa.Schema, dataset: Dataset) -> Iterator[Diagnostic]:
        expected = dataset.row_features
        for name in schema.names:
            if name not in expected:
                yield self.extra(f"{path}, column {name}")
        for key in expected:
            if key not in schema.names:
                yield self.error(f"{path}, column {key}", "is missing: LeRobot would fill it with nothing")
                continue
            may_wrap = self.may_wrap and key not in DEFAULT_FEATURES
            if problem := dataset.kinds[key].type_problem(schema.field(key).type, may_wrap=may_wrap):
                severity, message = problem
                yield Diagnostic(self.name, f"{path}, column {key}", message, severity)

    def extra(self, where: str) -> Diagnostic:
        """Return the finding for a column that info.json does not have."""
        return self.error(where, "is not a feature of info.json: LeRobot cannot load the file")

    def _features(self, path: str, schema: pa.Schema, dataset: Dataset, faults: RowFaults) -> Iterator[Diagnostic]:
        # Pictures and annotations have checks of their own.
        plain = {key: kind for key, kind in dataset.kinds.items() if kind.numpy_kind and key not in _INDICES}
        for name in (key for key in plain if key in schema.names):
            kind = plain[name]
            try:
                for first, batch in dataset.row_batches(path, (name,)):
                    values = kind.values(batch[name], f"{path}, column {name}")
                    if (wrong := kind.unusable(values)) is not None:
                        faults.note(name, np.asarray(wrong.any(axis=1)), first, partial(_bad, name, values, wrong))
            except Damaged as exc:
                yield self.damaged(exc)

    def _tasks(
        self, dataset: Dataset, texts: Mapping[int, str], used: set[tuple[int, int]], referred: set[tuple[int, int]]
    ) -> Iterator[Diagnostic]:
        """Compare the tasks of the rows with those that meta names; it may name those of annotations too."""
        by_episode: dict[int, set[str]] = {}
        more: dict[int, set[str]] = {}
        for found, pairs in ((by_episode, used), (more, referred)):
            for episode, task in pairs:
                if task in texts:
                    found.setdefault(episode, set()).add(texts[task])
        for episode, (where, row) in enumerate(dataset.entries(("tasks",))):
            if not isinstance(row["tasks"], list):
                continue  # the check of episodes says so
            rows, meta = by_episode.get(episode, set()), set(map(str, row["tasks"]))
            if not rows <= meta <= rows | more.get(episode, set()):
                yield self.error(where, f"its tasks are {sorted(meta)}, but its rows have {sorted(rows)}")


def _pairs(episodes: NDArray[np.int64], numbers: NDArray[Any]) -> set[tuple[int, int]]:
    """Return each episode with each number that its rows have; of numbers that are of no list none."""
    columns = np.broadcast_to(episodes[:, None], (len(episodes), numbers.size // max(1, len(episodes))))
    pairs = np.unique(np.stack([columns.ravel(), numbers.ravel()]), axis=1)
    return {(int(episode), int(number)) for episode, number in pairs.T}


def _texts(dataset: Dataset) -> dict[int, str]:
    """Return the text of each task_index; where the check of tasks finds a wrong one, by their order."""
    with suppress(RobotroveError):
        return {index: text for _, index, text in dataset.numbered_tasks()}
    return dict(enumerate(dataset.task_texts))


def _check_indices(
    starts: NDArray[np.int64],
    known_tasks: NDArray[np.int64],
    found: dict[str, NDArray[np.int64]],
    first: int,
    row: int,
    faults: RowFaults,
) -> None:
    """Note wrong indices of a batch that begins at global frame `first` and at `row` of its file."""
    index = np.arange(first, first + len(found["index"]))
    faults.differences("index", found["index"], index, row)
    known = index < starts[-1]
    faults.note("extra", ~known, row, lambda at: f"it is frame {index[at]}, but all episodes end at {starts[-1]}")
    episode = np.searchsorted(starts, index[known], side="right") - 1
    faults.differences("episode_index", found["episode_index"][known], episode, row)
    faults.differences("frame_index", found["frame_index"][known], index[known] - starts[episode], row)
    task = found["task_index"]

    def told(at: int) -> str:
        has_gaps = not np.array_equal(known_tasks, np.arange(len(known_tasks)))
        tasks = f"its tasks are {some(known_tasks.tolist())}" if has_gaps else f"there are {len(known_tasks)} tasks"
        return f"task_index is {task[at]}, but {tasks}"

    faults.note("task_index", ~np.isin(task, known_tasks), row, told)


def _bad(name: str, values: NDArray[Any], wrong: NDArray[np.bool_], row: int) -> str:
    position = int(np.argmax(wrong[row]))
    return f"{name}[{position}] is {values[row].reshape(-1)[position]}"


class LanguageCheck(Check[Dataset]):
    """Entries of language columns are what LeRobot 0.6 looks for, and those of an episode are in all of its rows."""

    name = "language"

    def run(self, dataset: Dataset, *, deep: bool) -> Iterator[Diagnostic]:
        """Yield the first wrong row of each kind, and how many."""
        kinds = {key: kind for key, kind in dataset.kinds.items() if isinstance(kind, Language)}
        for path, (key, kind) in product((data.path for data in dataset.data_files()), kinds.items()):
            faults = RowFaults(self, path)
            try:
                episode, before = -1, None
                for first, batch in dataset.row_batches(path, (key, "episode_index")):
                    rows = kind.values(batch[key], f"{path}, column {key}")[:, 0]
                    numbers = column_of(batch, "episode_index", path).tolist()
                    for row, (number, entries) in enumerate(zip(numbers, rows, strict=True), first):
                        problem = "" if entries == before else kind.row_problem(entries, key, dataset.cameras)
                        if key == PERSISTENT and number == episode and entries != before:
                            problem = "is not that of the row before, though both are of one episode"
                        _note(faults, f"{key}: {problem}" if problem else "", row)
                        episode, before = number, entries
            except Damaged as exc:
                yield self.damaged(exc)
            yield from faults.findings()


def _note(faults: RowFaults, problem: str, row: int) -> None:
    """Note a row with a problem, which is empty for none."""
    faults.note(problem, np.array([bool(problem)]), row, lambda _: problem)


class RowsV21Check(RowsCheck):
    """Every data file has the columns of info.json, and every row its place."""

    may_wrap = True

    def extra(self, where: str) -> Diagnostic:
        """Return the finding for a column that info.json does not have."""
        return self.unknown(where)


class HfFeaturesCheck(Check[DatasetV21]):
    """Types that its release of `datasets` (2.19 to 3.6) knows, and `Image` for pictures."""

    name = "hf_features"

    def run(self, dataset: DatasetV21, *, deep: bool) -> Iterator[Diagnostic]:
        """Yield files that it could not load."""
        pictures = [key for key in dataset.cameras if key in dataset.row_features]
        for data in dataset.data_files():
            try:
                with dataset.parquet(data.path) as file:
                    described = _features((file.schema_arrow.metadata or {}).get(b"huggingface"))
            except Damaged as exc:
                yield self.damaged(exc)
                continue
            if lists := [key for key, entry in described.items() if _has_list(entry)]:
                cause = f'its metadata has "_type": "List" for {", ".join(lists)}: LeRobot 0.3.3 knows only "Sequence"'
                yield self.error(data.path, cause)
            for key in pictures:
                if described.get(key) != {"_type": "Image"}:
                    cause = 'its metadata does not say "_type": "Image": LeRobot 0.3.3 cannot load it'
                    yield self.error(f"{data.path}, column {key}", cause)


def _features(metadata: bytes | None) -> dict[str, Any]:
    """Return column to type as `datasets` stores them; empty where there is nothing that it could use."""
    try:
        features = json.loads(metadata or b"{}")["info"]["features"]
    except (ValueError, KeyError, TypeError):
        return {}
    return features if isinstance(features, dict) else {}


def _has_list(entry: Any) -> bool:
    if isinstance(entry, dict):
        return entry.get("_type") == "List" or any(_has_list(value) for value in entry.values())
    return isinstance(entry, list) and any(_has_list(value) for value in entry)

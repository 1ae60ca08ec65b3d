"""Rows of the data files: columns, types, indices, tasks, finite numbers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ...core.errors import Damaged
from ...core.features import DEFAULT_FEATURES, Feature
from ...formats.lerobot.datasets.dataset import Dataset
from ...formats.lerobot.datasets.dataset_v21 import DatasetV21
from ...formats.lerobot.features.vector import kind_of, rows_of
from ..check import Check, Diagnostic, RowFaults
from .timestamps import column_of

_DTYPES = {"float": "float32", "double": "float64", "large_string": "string", "halffloat": "float16"}
_INDICES = ("index", "episode_index", "frame_index", "task_index")


class RowsCheck(Check[Dataset]):
    """Every data file has the columns of info.json, and every row its place."""

    name = "rows"

    def run(self, dataset: Dataset, *, deep: bool) -> Iterator[Diagnostic]:
        """Yield what is wrong in the data files."""
        used: set[tuple[int, int]] = set()  # (episode, task)
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
                for row, batch in dataset.row_batches(path, _INDICES):
                    found = {name: column_of(batch, name, path) for name in _INDICES}
                    if first is None:
                        first = int(found["index"][0])
                    _check_indices(dataset, found, first + row, row, faults)
                    pairs = np.unique(np.stack([found["episode_index"], found["task_index"]]), axis=1)
                    used.update((int(episode), int(task)) for episode, task in pairs.T)
                first = None if first is None else first + rows
            except Damaged as exc:
                yield self.damaged(exc)
                first, complete = None, False  # the next file says for itself where it begins
            yield from faults.findings()
        if complete:
            yield from self._tasks(dataset, used)

    def _schema(self, path: str, schema: pa.Schema, dataset: Dataset) -> Iterator[Diagnostic]:
        expected = dataset.row_features
        for name in schema.names:
            if name not in expected:
                yield self.extra(f"{path}, column {name}")
        for key, feature in expected.items():
            if key not in schema.names:
                yield self.error(f"{path}, column {key}", "is missing: LeRobot would fill it with nothing")
            else:
                yield from self._type(path, key, schema.field(key).type, feature)

    def extra(self, where: str) -> Diagnostic:
        """Return the finding for a column that info.json does not have."""
        return self.error(where, "is no feature of info.json: LeRobot cannot load the file")

    def axes(self, key: str, feature: Feature) -> tuple[int, ...]:
        """Return how many lists deep a column may be, the first as LeRobot writes it."""
        return (0,) if feature.shape == (1,) else (len(feature.shape),)

    def _type(self, path: str, key: str, found: pa.DataType, feature: Feature) -> Iterator[Diagnostic]:
        where = f"{path}, column {key}"
        if feature.dtype == "image":
            if not pa.types.is_struct(found) or {field.name for field in found} != {"bytes", "path"}:
                yield self.error(where, f"is {found} instead of a struct of bytes and path")
            return
        axes, value = 0, found
        while pa.types.is_list(value) or pa.types.is_large_list(value) or pa.types.is_fixed_size_list(value):
            axes, value = axes + 1, value.value_type
        dtype = _DTYPES.get(str(value), str(value))
        allowed = self.axes(key, feature)
        message = f"is {found}, which does not hold {feature}"
        if axes not in allowed or kind_of(dtype) != kind_of(feature.dtype):
            yield self.error(where, message)
        elif axes != allowed[0] or dtype != feature.dtype:
            yield self.warning(where, message)  # LeRobot casts it

    def _features(self, path: str, schema: pa.Schema, dataset: Dataset, faults: RowFaults) -> Iterator[Diagnostic]:
        for name, feature in dataset.row_features.items():
            if name not in schema.names or name in _INDICES or feature.dtype == "image":
                continue
            try:
                for first, batch in dataset.row_batches(path, (name,)):
                    values = rows_of(batch[name], feature, f"{path}, column {name}")
                    if values.dtype.kind == "f":
                        wrong = ~np.isfinite(values).reshape(len(values), -1).all(axis=1)
                        faults.note(name, wrong, first, partial(_bad, name, values))
            except Damaged as exc:
                yield self.damaged(exc)

    def _tasks(self, dataset: Dataset, used: set[tuple[int, int]]) -> Iterator[Diagnostic]:
        """Compare the tasks of the rows with those that meta names."""
        texts = dataset.tasks
        by_episode: dict[int, set[str]] = {}
        for episode, task in used:
            if 0 <= task < len(texts):
                by_episode.setdefault(episode, set()).add(texts[task])
        for episode, (where, row) in enumerate(dataset.episodes(("tasks",))):
            if not isinstance(row["tasks"], list):
                continue  # the check of episodes says so
            rows, meta = by_episode.get(episode, set()), set(map(str, row["tasks"]))
            if rows != meta:
                yield self.error(where, f"its tasks are {sorted(meta)}, but its rows have {sorted(rows)}")


def _check_indices(
    dataset: Dataset, found: dict[str, NDArray[np.int64]], first: int, row: int, faults: RowFaults
) -> None:
    """Note wrong indices of a batch that begins at global frame `first` and at `row` of its file."""
    starts = dataset.starts
    index = np.arange(first, first + len(found["index"]))
    faults.differences("index", found["index"], index, row)
    known = index < starts[-1]
    faults.note("extra", ~known, row, lambda at: f"it is frame {index[at]}, but all episodes end at {starts[-1]}")
    episode = np.searchsorted(starts, index[known], side="right") - 1
    faults.differences("episode_index", found["episode_index"][known], episode, row)
    faults.differences("frame_index", found["frame_index"][known], index[known] - starts[episode], row)
    task = found["task_index"]
    total = len(dataset.tasks)
    faults.note(
        "task_index",
        (task < 0) | (task >= total),
        row,
        lambda at: f"task_index is {task[at]}, but there are {total} tasks",
    )


def _bad(name: str, values: NDArray[np.floating], row: int) -> str:
    flat = values[row].reshape(-1)
    position = int(np.argmax(~np.isfinite(flat)))
    return f"{name}[{position}] is {flat[position]}"


class RowsV21Check(RowsCheck):
    """Every data file has the columns of info.json, and every row its place."""

    def extra(self, where: str) -> Diagnostic:
        """Return the finding for a column that info.json does not have."""
        return self.warning(where, "is no feature of info.json")

    def axes(self, key: str, feature: Feature) -> tuple[int, ...]:
        """Return how many lists deep a column may be; single values may be lists of one, but not LeRobot's own."""
        as_written = super().axes(key, feature)
        return (*as_written, 1) if feature.shape == (1,) and key not in DEFAULT_FEATURES else as_written


class HfFeaturesCheck(Check[DatasetV21]):
    """Types that its release of `datasets` (2.19 to 3.6) knows, and `Image` for pictures."""

    name = "hf_features"

    def run(self, dataset: DatasetV21, *, deep: bool) -> Iterator[Diagnostic]:
        """Yield files that it could not load."""
        pictures = [key for key, feature in dataset.row_features.items() if feature.dtype == "image"]
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

"""Stores of statistics: where v2.1 and v3.0 keep them, and how they are replaced."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import islice
from typing import IO, Any, Generic, TypeAlias, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from ....core.commit import Replacements, json_text
from ....core.errors import Damaged
from ..dataset_files import open_parquet, reading_parquet
from ..datasets.dataset import Dataset, selected
from ..datasets.dataset_v21 import DatasetV21
from ..datasets.dataset_v30 import DatasetV30
from ..features.feature_kind import FeatureKind
from ..paths_v21 import EPISODES_STATS
from ..stats.feature_stats import STAT_KEYS, FeatureStats

StoredIn = TypeVar("StoredIn", bound=Dataset)

# Of one episode: feature to its new statistics; those of other features stay as they are.
Changes: TypeAlias = Mapping[str, FeatureStats]


class StatsStore(ABC, Generic[StoredIn]):
    """The statistics of the episodes of one dataset.

    Args:
        dataset: The dataset.

    Attributes:
        keeps_axes: True if statistics of a feature with several axes may have all of them.
    """

    keeps_axes = False

    def __init__(self, dataset: StoredIn) -> None:
        self.dataset = dataset

    @abstractmethod
    def found(self, keys: Sequence[str]) -> Iterator[tuple[str, dict[str, dict[str, Any]]]]:
        """Yield (file, feature to statistic to nested lists) of each episode in order, as far as they are there.

        Raises:
            Damaged: If they cannot be read, or are of other episodes.
        """

    @abstractmethod
    def rewrite(self, changes: Iterator[Changes], kinds: Mapping[str, FeatureKind], aside: Replacements) -> None:
        """Write each file aside in which something changes; all else in it stays as it is, and in its order.

        Args:
            changes: For every episode in order, read as far as the files are.
            kinds: Those of the features that `changes` can have.
            aside: Takes the files.
        """


class StatsStoreV21(StatsStore[DatasetV21]):
    """Statistics in meta/episodes_stats.jsonl, which may be too short, or not there."""

    keeps_axes = True

    def found(self, keys: Sequence[str]) -> Iterator[tuple[str, dict[str, dict[str, Any]]]]:
        """See the base class."""
        for line in self._lines():
            yield EPISODES_STATS, selected(line["stats"], keys, STAT_KEYS)

    def _lines(self) -> Iterator[dict[str, Any]]:
        """Yield a line for each episode, those that are not there without statistics."""
        for episode, (where, line) in enumerate(self.dataset.stat_lines()):
            line = line or {"episode_index": episode, "stats": {}}
            if not isinstance(line.get("stats"), dict):
                raise Damaged(where, "has no stats")
            yield line

    def rewrite(self, changes: Iterator[Changes], kinds: Mapping[str, FeatureKind], aside: Replacements) -> None:
        """See the base class; what a line has besides statistics is kept."""
        with ExitStack() as stack:
            file: IO[str] | None = None
            for episode, (line, changed) in enumerate(zip(self._lines(), changes, strict=True)):
                if file is None and changed:
                    attempt = aside.attempt(EPISODES_STATS)
                    file = stack.enter_context(open(attempt, "w", encoding="utf-8", newline="\n"))
                    for before in islice(self._lines(), episode):
                        _write_line(file, before)
                if file is not None:
                    _write_line(file, line | {"stats": _changed(line["stats"], changed)})


def _changed(stats: Mapping[str, Any], changed: Changes) -> dict[str, Any]:
    new = {key: {name: value.tolist() for name, value in entry.items()} for key, entry in changed.items()}
    others = {key: entry for key, entry in stats.items() if isinstance(entry, dict) and key in new}
    return {**stats, **{key: others.get(key, {}) | entry for key, entry in new.items()}}


def _write_line(file: IO[str], line: dict[str, Any]) -> None:
    file.write(json_text(line) + "\n")


class StatsStoreV30(StatsStore[DatasetV30]):
    """Statistics in the files of meta/episodes."""

    def found(self, keys: Sequence[str]) -> Iterator[tuple[str, dict[str, dict[str, Any]]]]:
        """See the base class."""
        for where, entries in self.dataset.episode_stats(keys, STAT_KEYS):
            yield where.partition(",")[0], entries

    def rewrite(self, changes: Iterator[Changes], kinds: Mapping[str, FeatureKind], aside: Replacements) -> None:
        """See the base class; a file keeps its row groups, and its columns, which are completed.

        Smallest and largest values of integers and truth values become list<double> (LeRobot up to 0.5 writes
        list<int64> and list<bool>, 0.6 list<double>; all read both).
        """
        for path in self.dataset.files(self.dataset.episodes_path):
            with ExitStack() as stack:
                # Buffering ahead, which newer releases of pyarrow do, would hold all of the file.
                file = stack.enter_context(open_parquet(self.dataset.root / path))
                writer: pq.ParquetWriter | None = None
                for group in range(file.num_row_groups):
                    rows = file.metadata.row_group(group).num_rows
                    changed = list(islice(changes, rows))
                    if writer is None and any(changed):
                        schema = _schema(file.schema_arrow, kinds)
                        writer = stack.enter_context(
                            pq.ParquetWriter(aside.attempt(path), schema, compression="snappy")
                        )
                        for before in range(group):
                            _write_group(writer, schema, _group(file, before, path), [])
                    if writer is not None:
                        _write_group(writer, schema, _group(file, group, path), changed)


def _schema(found: pa.Schema, kinds: Mapping[str, FeatureKind]) -> pa.Schema:
    """Return the columns of a file with all statistics of some features; new ones come after those of their feature."""
    fields = {field.name: field for field in found}
    order = list(fields)
    for key, kind in kinds.items():
        own = [f"stats/{key}/{name}" for name in STAT_KEYS]
        present = [name for name in own if name in fields] or [name for name in order if name.startswith("stats/")]
        place = max(map(order.index, present), default=len(order) - 1) + 1
        order[place:place] = [name for name in own if name not in fields]
        types = dict.fromkeys(own, kind.stats_type()) | {f"stats/{key}/count": pa.list_(pa.int64())}
        fields |= {name: pa.field(name, values) for name, values in types.items()}
    # Hugging Face's description of the columns would contradict them; without it they are as they are.
    metadata = {name: value for name, value in (found.metadata or {}).items() if name != b"huggingface"}
    return pa.schema([fields[name] for name in order], metadata)


def _group(file: pq.ParquetFile, group: int, path: str) -> pa.Table:
    with reading_parquet(path):
        return file.read_row_group(group)


def _write_group(writer: pq.ParquetWriter, schema: pa.Schema, table: pa.Table, changed: Sequence[Changes]) -> None:
    columns = []
    for field in schema:
        new: dict[int, Any] = {}
        if field.name.startswith("stats/"):
            key, _, name = field.name.removeprefix("stats/").rpartition("/")
            new = {row: stats[key][name].tolist() for row, stats in enumerate(changed) if key in stats}
        if len(new) == table.num_rows:
            columns.append(pa.array(list(new.values()), field.type))
            continue
        column = table.column(field.name)
        column = column if column.type == field.type else column.cast(field.type)
        if new:
            values = column.to_pylist()
            column = pa.array([new.get(row, value) for row, value in enumerate(values)], field.type)
        columns.append(column)
    writer.write_table(pa.table(columns, schema=schema), row_group_size=max(1, table.num_rows))

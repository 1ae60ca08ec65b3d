"""Statistics of episodes in v3.0: columns of meta/episodes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ...core.commit import Replacements
from ...core.errors import Damaged
from ...core.features import Features
from .arrow_rows import open_parquet
from .stats import STAT_KEYS
from .stats_store import Changes, StatsStore
from .view_v30 import DatasetViewV30

_NUMBERS = pa.list_(pa.float64())


class StatsStoreV30(StatsStore[DatasetViewV30]):
    """Statistics in the files of meta/episodes."""

    def found(self, keys: Sequence[str]) -> Iterator[tuple[str, dict[str, dict[str, Any]]]]:
        """See the base class."""
        for where, entries in self.view.episode_stats(keys, STAT_KEYS):
            yield where.partition(",")[0], entries

    def rewrite(self, changes: Iterator[Changes], features: Features, aside: Replacements) -> None:
        """See the base class; a file keeps its row groups, and its columns, which are completed.

        Smallest and largest values of integers and truth values become list<double> (LeRobot up to 0.5 writes
        list<int64> and list<bool>, 0.6 list<double>; all read both).
        """
        for path in self.view.files(self.view.episodes_path):
            with ExitStack() as stack:
                # Buffering ahead, which newer releases of pyarrow do, would hold all of the file.
                file = stack.enter_context(open_parquet(self.view.root / path))
                writer: pq.ParquetWriter | None = None
                for group in range(file.num_row_groups):
                    rows = file.metadata.row_group(group).num_rows
                    changed = list(islice(changes, rows))
                    if writer is None and any(changed):
                        schema = _schema(file.schema_arrow, features)
                        writer = stack.enter_context(
                            pq.ParquetWriter(aside.attempt(path), schema, compression="snappy")
                        )
                        for before in range(group):
                            _write(writer, schema, _group(file, before, path), [])
                    if writer is not None:
                        _write(writer, schema, _group(file, group, path), changed)


def _schema(found: pa.Schema, features: Features) -> pa.Schema:
    """Return the columns of a file with all statistics of some features; new ones come after those of their feature."""
    fields = {field.name: field for field in found}
    order = list(fields)
    for key, feature in features.items():
        values = pa.list_(pa.list_(_NUMBERS)) if feature.is_visual else _NUMBERS
        own = [f"stats/{key}/{name}" for name in STAT_KEYS]
        present = [name for name in own if name in fields] or [name for name in order if name.startswith("stats/")]
        place = max(map(order.index, present), default=len(order) - 1) + 1
        order[place:place] = [name for name in own if name not in fields]
        kinds = dict.fromkeys(own, values) | {f"stats/{key}/count": pa.list_(pa.int64())}
        fields |= {name: pa.field(name, kind) for name, kind in kinds.items()}
    # Hugging Face's description of the columns would contradict them; without it they are as they are.
    metadata = {name: value for name, value in (found.metadata or {}).items() if name != b"huggingface"}
    return pa.schema([fields[name] for name in order], metadata)


def _group(file: pq.ParquetFile, group: int, path: str) -> pa.Table:
    try:
        return file.read_row_group(group)
    except (pa.ArrowException, OSError) as exc:
        raise Damaged(path, f"cannot be read as parquet: {exc}") from exc


def _write(writer: pq.ParquetWriter, schema: pa.Schema, table: pa.Table, changed: Sequence[Changes]) -> None:
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

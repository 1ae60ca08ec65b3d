"""aggregator: the shards of a run to one dataset, planned first, each byte written once."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..core.columns import Array
from ..core.commit import attempt_name, rename_new, sync_file, sync_tree, write_file
from ..core.errors import RobotroveError, UsageError, intact
from ..formats.lerobot.dataset_facts import dataset_facts
from ..formats.lerobot.placement import PlannedFile
from ..formats.lerobot.record import EpisodeRecord, read_shard
from ..formats.lerobot.v30 import DatasetFacts, TaskTable, plan_dataset, write_meta
from ..formats.lerobot.v30 import write_file as write_dataset_file
from ..manifests.manifest import Manifest
from ..manifests.shard import Shard
from .binding import Bound
from .dataset_step import DatasetStep


@dataclass(frozen=True, slots=True)
class ShardSpan:
    """The run of output episodes that one shard becomes.

    Attributes:
        rank: Number of the shard.
        first: Output index of its first episode.
        last: Output index after its last episode.
        first_index: Global index of its first frame.
    """

    rank: int
    first: int
    last: int
    first_index: int


@dataclass(frozen=True, slots=True)
class AggregatePlan:
    """Everything that is decided before a byte is written."""

    spans: list[ShardSpan]
    files: list[PlannedFile]
    tasks: list[str]


class Aggregator(Bound, DatasetStep):
    """Joins the run's shards, in order, into one dataset.

    Packets and rows are copied, never encoded again. The output does not depend on the number of
    ranks that write it.
    """

    name = "aggregator"

    def __init__(self) -> None:
        """Take no arguments: everything is decided by the shards."""

    @property
    def _facts(self) -> DatasetFacts:
        return dataset_facts(self.binding.run)

    @property
    def _root(self) -> Path:
        return self.binding.workspace.output_partial(self.binding.run.run_id)

    def plan(self) -> None:
        """Plan the output's files from the metadata of the shards alone."""
        workspace = self.binding.workspace
        spans: list[ShardSpan] = []
        tasks = TaskTable()
        n_shards = Manifest.read(workspace.manifest).n_shards

        def records() -> Iterator[EpisodeRecord]:
            episode = index = 0
            for rank in range(n_shards):
                if not workspace.shard(rank).exists():
                    raise RobotroveError(f"shard {rank}", "is missing", "all shards committed", "resume the run")
                first, first_index = episode, index
                with intact(workspace.shard(rank)):
                    for record in read_shard(workspace.shard(rank)):
                        tasks.index(record.task)
                        episode, index = episode + 1, index + record.length
                        yield record
                spans.append(ShardSpan(rank, first, episode, first_index))

        files = plan_dataset(records(), self._facts)
        if not files:
            raise UsageError(
                str(workspace.output),
                "no episode was kept, so there is no dataset to write",
                "at least one episode",
                f"see why in {workspace.rejected}, or: robotrove status {workspace.run_dir}",
            )
        plan = AggregatePlan(spans, files, tasks.tasks)
        write_file(workspace.aggregate_plan, json.dumps(asdict(plan), ensure_ascii=False).encode())

    def _read_plan(self) -> AggregatePlan:
        entry = json.loads(self.binding.workspace.aggregate_plan.read_text())
        return AggregatePlan(
            [ShardSpan(**span) for span in entry["spans"]],
            [PlannedFile(**file) for file in entry["files"]],
            entry["tasks"],
        )

    def units(self) -> list[Any]:
        """Return the output's files."""
        return list(self._read_plan().files)

    def process(self, unit: PlannedFile) -> None:
        """Write one file of the output."""
        target = self._root / unit.path
        if target.exists() or (self.binding.workspace.output.exists() and not self._root.exists()):
            return  # done before; or the whole dataset is, and this process is a second one that lives on
        plan = self._read_plan()
        spans = [span for span in plan.spans if span.first < unit.last and span.last > unit.first]
        records = (record for episode, record in self._records(spans) if unit.first <= episode < unit.last)
        target.parent.mkdir(parents=True, exist_ok=True)
        attempt = target.with_name(attempt_name(target.name))
        try:
            with intact(self.binding.workspace.shards):
                before = Shard.read(self.binding.workspace.shard(spans[0].rank)).kept[: unit.first - spans[0].first]
                first_index = spans[0].first_index + sum(kept.length for kept in before)
                tasks = TaskTable(plan.tasks)
                write_dataset_file(attempt, unit, records, self._facts, first_index=first_index, tasks=tasks)
            sync_file(attempt)
            rename_new(attempt, target)
        finally:
            attempt.unlink(missing_ok=True)

    def _records(self, spans: Iterable[ShardSpan]) -> Iterator[tuple[int, EpisodeRecord]]:
        """Yield (output episode index, record) of whole shards."""
        for span in spans:
            folder = self.binding.workspace.shard(span.rank)
            with intact(folder):
                yield from enumerate(read_shard(folder), start=span.first)

    def finish(self) -> None:
        """Check that every file is there and write meta, all but the statistics of the whole."""
        root = self._root
        plan = self._read_plan()
        for file in plan.files:
            if not (root / file.path).exists():
                raise RobotroveError(str(root / file.path), "is missing", "all files written", "resume the run")
        attempt = root / attempt_name("meta")
        records = (record for _, record in self._records(plan.spans))
        write_meta(root, attempt, records, self._facts, plan.files, self._histograms(plan))
        sync_tree(attempt)
        rename_new(attempt / "meta", root / "meta")
        shutil.rmtree(attempt)

    def _histograms(self, plan: AggregatePlan) -> dict[str, Array]:
        sums: dict[str, Array] = {}
        for span in plan.spans:
            for key, counts in Shard.read(self.binding.workspace.shard(span.rank)).histograms.items():
                sums[key] = np.asarray(counts, dtype=np.int64) + sums.get(key, 0)
        return sums

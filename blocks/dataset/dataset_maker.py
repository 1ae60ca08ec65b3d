"""Base of aggregator and downgrader: plans a new dataset from input episodes, then writes it unit by unit."""

from __future__ import annotations

import json
import shutil
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Final, Literal, Protocol, TypeAlias

from ...core.commit import attempt_name, file_attempt, files_attempt, rename_new, sync_tree
from ...core.errors import RobotroveError, UsageError
from ...formats.lerobot import paths_v30
from ...formats.lerobot.datasets.dataset import Dataset, Note
from ...formats.lerobot.datasets.dataset_info import DatasetInfo, input_episodes
from ...formats.lerobot.datasets.episode_location import EpisodeLocation, EpisodeMetadata, Track
from ...formats.lerobot.datasets.shard_dataset import ShardDataset
from ...formats.lerobot.features.feature_kind import kind_of
from ...formats.lerobot.writers.dataset_plan import DatasetPlan, PlacedEpisode, TaskTable, read_episodes, write_episodes
from ...formats.lerobot.writers.file_planner import PlannedFile
from ...formats.lerobot.writers.kept_files import Keeper, kept_episodes, kept_info
from ...formats.lerobot.writers.writer_v30 import write_json
from ...hub.source_files import source_file
from ...media.encode.settings import VideoSettings
from ...media.remux.byte_copier import copy_file
from ...media.remux.clip import Encoding
from ...media.remux.reencode import reencode, settings_like
from ..binding import Bound
from ..dataset_step import Commit, DatasetStep
from .dataset_sources import DatasetSources, readable

META: Final = "meta"
Unit: TypeAlias = PlannedFile | Literal["meta"]


class Planner(Keeper, Protocol):
    """Decides the files of a dataset from its episodes, given one after the other."""

    def add(self, location: EpisodeLocation) -> None:
        """Place the next episode."""

    def finish(self) -> list[PlannedFile]:
        """Return the units of work."""


class DatasetMaker(Bound, DatasetStep, ABC):
    """Makes one dataset of the run's shards, or of finished datasets; rows and packets are copied.

    Shards may be appended to a finished dataset, the base of the run; its files stay unchanged. The output
    does not depend on the number of ranks that write it.

    Args:
        datasets: Folders to take episodes from, in this order; the run's shards by default.
        video: Quality of re-encoded clips.
    """

    def __init__(self, *, datasets: list[str] | None = None, video: VideoSettings | None = None) -> None:
        self.datasets = datasets
        self.video = video
        self._anew: Counter[str] = Counter()  # clips to re-encode, by camera; `admit` counts them

    @abstractmethod
    def planner(self, facts: DatasetInfo) -> Planner:
        """Return a fresh planner."""

    @abstractmethod
    def check_columns(self, base: Dataset) -> None:
        """Refuse to append to a dataset with other columns than new data files get."""

    @abstractmethod
    def admit(self, location: EpisodeLocation, source: Dataset) -> EpisodeLocation:
        """Return what is taken of an episode of a source; raise if it cannot be."""

    @abstractmethod
    def write(self, unit: PlannedFile, episodes: Iterator[PlacedEpisode], plan: DatasetPlan) -> Commit | None:
        """Write one unit, as `process` does."""

    @abstractmethod
    def targets(self, unit: PlannedFile) -> Iterator[Path]:
        """Yield the files that a unit writes."""

    @abstractmethod
    def write_meta(
        self, out: Path, episodes: Iterable[tuple[Sequence[PlacedEpisode], EpisodeMetadata]], plan: DatasetPlan
    ) -> None:
        """Write meta/ into the folder `out`, all but info.json; files of the new dataset may not be there yet."""

    @abstractmethod
    def write_info(self, out: Path, facts: DatasetInfo, plan: DatasetPlan) -> None:
        """Write info.json as `out`; all files of the new dataset are there."""

    @property
    def root(self) -> Path:
        """Folder in which the new dataset is built."""
        return self.binding.dataset_root(self.makes or "")

    @property
    def folder(self) -> Path:
        """Folder of the plan."""
        return self.binding.workspace.plan(self.name)

    @cached_property
    def facts(self) -> DatasetInfo:
        """Properties that all episodes of the new dataset share, without columns that its version lacks."""
        facts = DatasetInfo.of_run(self.binding.run)
        return replace(facts, features={k: f for k, f in facts.features.items() if self.makes not in kind_of(f).not_in})

    @cached_property
    def sources(self) -> DatasetSources:
        """Sources of the episodes."""
        return DatasetSources(self.datasets, self.binding)

    def _taken(self, source: Dataset, planner: Planner, note: Note) -> Iterator[EpisodeLocation]:
        """Yield the episodes of a source, each with its place planned."""
        if self.datasets is None and not isinstance(source, ShardDataset):
            yield from kept_episodes(source, planner, note)
            return
        for found in source.measured() if self.datasets is None else input_episodes(source, note):
            location = self.admit(found, source)
            planner.add(location)
            yield location

    def plan(self) -> None:
        """Plan the output from the metadata of the sources alone.

        Raises:
            RobotroveError: If one is damaged, or has no episodes; nothing has been written then.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        notes: list[str] = []
        source_tasks: list[list[str]] = []
        planner = self.planner(self.facts)
        total = index = 0

        def placed() -> Iterator[PlacedEpisode]:
            nonlocal total, index
            for number, source in enumerate(self.sources):
                with self.sources.named(source):
                    source_tasks.append(source.tasks)
                    for location in self._taken(source, planner, notes.append):
                        yield PlacedEpisode(total, index, number, location)
                        total, index = total + 1, index + location.length

        write_episodes(self.folder, placed())
        if not total:
            raise UsageError(
                self.name, "has no episode to write", "at least one", "robotrove status RUN_DIR shows the reasons"
            )
        tasks = TaskTable(task for own in source_tasks for task in own)
        _, differing = self.sources.extras()
        notes += [f"{count} clips of {key} were re-encoded" for key, count in self._anew.items()]
        notes += differing
        if lost := self.binding.run.features.keys() - self.facts.features.keys():
            notes.append(f"not in the output: {', '.join(sorted(lost))}, which {self.makes} has no columns for")
        DatasetPlan(planner.finish(), tasks.tasks, source_tasks, total, index, notes).write(self.folder)

    @cached_property
    def _plan(self) -> DatasetPlan:
        return DatasetPlan.read(self.folder)

    def encode_anew(self, track: Track, like: Encoding | None, target: Path) -> None:
        """Encode a clip into a file of its own, with the codec and pixel format of `like`."""
        video = self.video or VideoSettings()
        with file_attempt(target) as attempt:
            reencode(track.clip, attempt, self.facts.fps, settings_like(like, video) if like else video)

    def units(self) -> list[Unit]:
        """Return meta, which takes longest, and the units as they were planned."""
        return [META, *self._plan.files]

    def process(self, unit: Unit) -> Commit | None:
        """Write one unit of the output."""
        targets = self._targets(unit)
        if all(target.exists() for target in targets) or self.binding.is_committed:
            return None  # done before; or the whole dataset is, and this process is a second one that lives on
        for target in targets:
            target.parent.mkdir(parents=True, exist_ok=True)
        base = self.binding.run.base
        if unit == META:
            self._write_meta()
            return None
        if base is not None and unit.last <= base.episodes:
            return self._copy(unit)
        with self.sources.named():
            return self.write(unit, read_episodes(self.folder, unit.first, unit.last, key=unit.key), self._plan)

    def _targets(self, unit: Unit) -> list[Path]:
        return [self.root / META] if unit == META else list(self.targets(unit))

    def _write_meta(self) -> None:
        attempt = self.root / attempt_name(META)
        attempt.mkdir()
        try:
            self.write_meta(attempt, self.sources.described(read_episodes(self.folder, key="")), self._plan)
            for path, origin in self.sources.extras()[0].items():
                (attempt / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(origin, attempt / path)
            sync_tree(attempt)
            rename_new(attempt / META, self.root / META)
        finally:
            shutil.rmtree(attempt, ignore_errors=True)

    def _copy(self, unit: PlannedFile) -> Commit:
        """Copy the files of a unit as the base has them."""
        root = self.binding.base_root or Path()
        targets = [target for target in self.targets(unit) if not target.exists()]
        with readable(root), ExitStack() as stack:
            written = stack.enter_context(files_attempt(targets, self.root))
            for target, out in zip(targets, written, strict=True):
                copy_file(source_file(root / target.relative_to(self.root)).open(), out)
            return stack.pop_all().close  # syncs them and gives them their names

    def finish(self) -> None:
        """Check that every file is there and write info.json."""
        if self.binding.is_committed:
            return
        for target in (target for unit in self.units() for target in self._targets(unit)):
            if not target.exists():
                raise RobotroveError(str(target), "is missing", "all files written", "resume the run")
        with file_attempt(self.root / paths_v30.INFO) as attempt:
            self.write_info(attempt, replace(self.facts, video_info=self.sources.video_info()), self._plan)
            for base in self.sources.base():
                write_json(attempt, kept_info(base, json.loads(attempt.read_text(encoding="utf-8"))))

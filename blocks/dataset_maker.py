"""What aggregator and downgrader share: episodes of shards or datasets go to new places, planned first."""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from ..core.commit import attempt_name, file_attempt, files_attempt, rename_new, sync_tree
from ..core.errors import RobotroveError, UsageError, intact
from ..formats.lerobot import paths
from ..formats.lerobot.arrow_rows import Damaged
from ..formats.lerobot.carried import shared_extras, shared_video_info
from ..formats.lerobot.dataset_facts import dataset_facts
from ..formats.lerobot.dataset_files import read_object
from ..formats.lerobot.episode_metas import EpisodeMetas
from ..formats.lerobot.episode_plan import DatasetPlan, PlacedEpisode, read_episodes, write_episodes
from ..formats.lerobot.folder_source import FolderSource
from ..formats.lerobot.kept import Keeper, kept_episodes, kept_info
from ..formats.lerobot.open_source import open_source
from ..formats.lerobot.placement import PlannedFile
from ..formats.lerobot.record import EpisodeFiles, Track
from ..formats.lerobot.shard_source import ShardSource
from ..formats.lerobot.source import DatasetFacts, DatasetSource, Note
from ..formats.lerobot.tasks import TaskTable
from ..formats.lerobot.v30 import write_json
from ..hub.files import present
from ..manifests.manifest import Manifest
from ..media.byte_copier import copy_file
from ..media.index import Encoding
from ..media.reencode import reencode, settings_like
from ..media.settings import VideoSettings
from .binding import Bound
from .dataset_step import DatasetStep


class Planner(Keeper, Protocol):
    """Decides the files of a dataset from its episodes, given one after the other."""

    def add(self, files: EpisodeFiles) -> None:
        """Place the next episode."""

    def finish(self) -> list[PlannedFile]:
        """Return the units of work."""


class DatasetMaker(Bound, DatasetStep, ABC):
    """Makes one dataset of the run's shards, or of finished datasets; rows and packets are copied.

    Shards may be appended to a finished dataset, the base of the run, whose files are taken as they are. The output
    does not depend on the number of ranks that write it.

    Args:
        datasets: Folders to take episodes from, in this order; the run's shards by default.
        video: Quality of what is encoded anew.
    """

    def __init__(self, *, datasets: list[str] | None = None, video: VideoSettings | None = None) -> None:
        self.datasets = datasets
        self.video = video
        self._anew: Counter[str] = Counter()  # clips to be encoded anew, by camera; `admit` counts them

    @abstractmethod
    def planner(self, facts: DatasetFacts) -> Planner:
        """Return a fresh planner."""

    @abstractmethod
    def check_columns(self, base: FolderSource[Any]) -> None:
        """Refuse to append to a dataset with other columns than new data files get."""

    @abstractmethod
    def admit(self, files: EpisodeFiles, source: DatasetSource, episode: int) -> EpisodeFiles:
        """Return what is taken of an episode of a source; raise if it cannot be."""

    @abstractmethod
    def write(self, unit: PlannedFile, episodes: Iterator[PlacedEpisode], plan: DatasetPlan) -> None:
        """Write one unit; doing it again, or twice at once, gives the same."""

    @abstractmethod
    def targets(self, unit: PlannedFile) -> Iterator[Path]:
        """Yield the files that a unit writes."""

    @abstractmethod
    def write_meta(
        self,
        out: Path,
        episodes: Iterable[tuple[Sequence[PlacedEpisode], EpisodeMetas]],
        facts: DatasetFacts,
        plan: DatasetPlan,
    ) -> None:
        """Write everything in meta/ of the new dataset, but what is carried over, into `out`."""

    @property
    def root(self) -> Path:
        """Where the new dataset is built."""
        return self.binding.dataset_root(self.makes or "")

    @property
    def folder(self) -> Path:
        """Where the plan is."""
        return self.binding.workspace.plan(self.name)

    @cached_property
    def facts(self) -> DatasetFacts:
        """What is the same for every episode of the new dataset."""
        return dataset_facts(self.binding.run)

    def sources(self) -> Iterator[DatasetSource]:
        """Yield the sources one after the other, the base first; what each holds of its dataset goes with it."""
        if self.datasets is not None:
            yield from (open_source(Path(folder)) for folder in self.datasets)
            return
        yield from self._base()
        workspace = self.binding.workspace
        for rank in range(Manifest.read(workspace.manifest).n_shards):
            if not workspace.shard(rank).exists():
                raise RobotroveError(str(workspace.shard(rank)), "is missing", "all shards committed", "resume the run")
            if (source := ShardSource(workspace.shard(rank), self.facts)).shard.kept:
                yield source

    def _base(self) -> Iterator[FolderSource[Any]]:
        """Yield the dataset that is appended to, if there is one."""
        if (root := self.binding.base_root) is not None:
            yield open_source(root)

    def _tellers(self) -> Iterator[DatasetSource]:
        """Yield the sources that say something of the dataset besides its episodes: shards of ours do not."""
        return self.sources() if self.binding.run.base is None else self._base()

    def _taken(self, source: DatasetSource, planner: Planner, note: Note) -> Iterator[EpisodeFiles]:
        """Yield the episodes of a source, each with its place planned."""
        if self.datasets is None and isinstance(source, FolderSource):
            yield from kept_episodes(source, planner, note)
            return
        for episode, found in enumerate(source.files(note)):
            files = self.admit(found, source, episode)
            planner.add(files)
            yield files

    def plan(self) -> None:
        """Plan the output from the metadata of the sources alone.

        Raises:
            RobotroveError: If one is damaged, or has no episodes; nothing has been written then.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        notes: list[str] = []
        source_tasks: list[list[str]] = []
        planner = self.planner(self.facts)
        total = 0

        def placed() -> Iterator[PlacedEpisode]:
            nonlocal total
            index = 0
            for number, source in enumerate(self.sources()):
                with _named(source):
                    source_tasks.append(source.tasks)
                    for episode, files in enumerate(self._taken(source, planner, notes.append)):
                        yield PlacedEpisode(total, index, number, episode, files)
                        total, index = total + 1, index + files.length

        write_episodes(self.folder, placed())
        if not total:
            raise UsageError(
                self.name, "there is no episode to write", "at least one", "robotrove status RUN_DIR says why"
            )
        tasks = TaskTable(task for own in source_tasks for task in own)
        _, differing = shared_extras(self._tellers())
        notes += [f"{count} clips of {key} were encoded anew" for key, count in self._anew.items()]
        notes += differing
        DatasetPlan(planner.finish(), tasks.tasks, source_tasks, total, notes).write(self.folder)

    @cached_property
    def _plan(self) -> DatasetPlan:
        return DatasetPlan.read(self.folder)

    def encode_anew(self, track: Track, like: Encoding | None, target: Path) -> None:
        """Encode a clip into a file of its own, with the codec and pixel format of `like`."""
        video = self.video or VideoSettings()
        with file_attempt(target) as attempt:
            reencode(track.clip, attempt, self.facts.fps, settings_like(like, video) if like else video)

    def units(self) -> list[Any]:
        """Return the units as they were planned."""
        return list(self._plan.files)

    def process(self, unit: PlannedFile) -> None:
        """Write one unit of the output."""
        if all(target.exists() for target in self.targets(unit)) or self.binding.is_committed:
            return  # done before; or the whole dataset is, and this process is a second one that lives on
        for target in self.targets(unit):
            target.parent.mkdir(parents=True, exist_ok=True)
        base = self.binding.run.base
        if base is not None and unit.last <= base.episodes:
            self._copy(unit)
            return
        episodes = read_episodes(self.folder, unit.first, unit.last)
        shards = self.binding.workspace.shards
        with intact(shards) if self.datasets is None else _readable(shards):
            self.write(unit, episodes, self._plan)

    def _copy(self, unit: PlannedFile) -> None:
        """Copy the files of a unit as the base has them."""
        root = self.binding.base_root or Path()
        targets = [target for target in self.targets(unit) if not target.exists()]
        with _readable(root), files_attempt(targets, self.root) as written:
            for target, out in zip(targets, written, strict=True):
                copy_file(present(root / target.relative_to(self.root)), out)

    def finish(self) -> None:
        """Check that every file is there and write meta, all but the statistics of the whole."""
        if self.binding.is_committed:
            return
        plan = self._plan
        for target in (target for unit in plan.files for target in self.targets(unit)):
            if not target.exists():
                raise RobotroveError(str(target), "is missing", "all files written", "resume the run")
        attempt = self.root / attempt_name("meta")
        facts = replace(self.facts, video_info=shared_video_info(self._tellers()))
        try:
            self.write_meta(attempt, self._described(), facts, plan)
            for base in self._base():
                write_json(attempt / paths.INFO, kept_info(base, read_object(attempt, paths.INFO)))
            for path, origin in shared_extras(self._tellers())[0].items():
                (attempt / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(origin, attempt / path)
            sync_tree(attempt)
            rename_new(attempt / "meta", self.root / "meta")
        finally:
            shutil.rmtree(attempt, ignore_errors=True)

    def _described(self) -> Iterator[tuple[list[PlacedEpisode], EpisodeMetas]]:
        """Yield the episodes of the plan, some at a time, with what the sources say of them."""
        placed = read_episodes(self.folder)
        for number, source in enumerate(self.sources()):
            with _named(source):
                for metas in source.metas():
                    batch = list(islice(placed, len(metas)))
                    if [episode.source for episode in batch] != [number] * len(metas):
                        raise Damaged("meta", "tells of other episodes than when the new dataset was planned")
                    yield batch, metas
        if (lost := next(placed, None)) is not None:
            where = f"dataset {lost.source + 1}, episode {lost.episode}"
            raise RobotroveError(
                where, "meta tells no more of it", "the datasets as they were planned", "mend it, or start with --fresh"
            )


def _named(source: DatasetSource) -> AbstractContextManager[None]:
    """Say what to do where a source turns out to be damaged."""
    return intact(source.root) if isinstance(source, ShardSource) else _readable(source.root)


@contextmanager
def _readable(root: Path) -> Iterator[None]:
    """Say which dataset it is that cannot be read."""
    try:
        yield
    except (Damaged, FileNotFoundError, ValueError) as exc:
        where, found = str(root), str(exc)
        if isinstance(exc, Damaged):
            where, found = str(root / exc.where), exc.message
        elif isinstance(exc, FileNotFoundError):
            where, found = str(exc.filename), "does not exist"
        raise RobotroveError(where, found, "a complete LeRobot dataset", f"robotrove verify {root}") from exc

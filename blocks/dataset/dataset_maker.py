"""Base of aggregator and downgrader: plans a new dataset from input episodes, then writes it unit by unit."""

from __future__ import annotations

import json
import os
import shutil
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Final, Literal, TypeAlias

import numpy as np

from ...core.checksums import FileSum, copy_checked, file_sum, read_list
from ...core.commit import attempt_name, exists_now, file_attempt, files_attempt, rename_new, sync_tree, write_file
from ...core.errors import RobotroveError, UsageError, printable
from ...core.features import LISTS
from ...core.source_file import PathText
from ...formats.lerobot import paths_v21, paths_v30
from ...formats.lerobot.datasets.dataset import Dataset, Note
from ...formats.lerobot.datasets.dataset_edit import DatasetEdit
from ...formats.lerobot.datasets.dataset_info import DatasetInfo, input_episodes
from ...formats.lerobot.datasets.episode_location import EpisodeLocation, Track
from ...formats.lerobot.datasets.shard_dataset import ShardDataset
from ...formats.lerobot.features.feature_kind import kind_of
from ...formats.lerobot.gr00t.modality import MODALITY, modality_text
from ...formats.lerobot.writers import dataset_plan
from ...formats.lerobot.writers.dataset_plan import DatasetPlan, PlacedEpisode, VersionWriter
from ...formats.lerobot.writers.file_planner import PlannedFile
from ...formats.lerobot.writers.kept_files import kept_episodes, kept_info
from ...formats.lerobot.writers.writer_v30 import write_json
from ...hub.source_files import source_file
from ...media.encode.settings import VideoSettings
from ...media.remux.byte_copier import copy_file
from ...media.remux.clip import Clip, Encoding
from ...media.remux.reencode import can_reencode, reencode, settings_like
from ..binding import Bound
from ..dataset_step import Commit, DatasetStep
from .dataset_sources import DatasetSources, left_behind, readable

META: Final = "meta"
_SUBTASKS: Final = (paths_v21.SUBTASKS, paths_v30.SUBTASKS)
Unit: TypeAlias = PlannedFile | Literal["meta"]
OnDuplicate: TypeAlias = Literal["refuse", "skip", "keep"]
Annotations: TypeAlias = dict[str, Literal["tasks", "values"]]
Times: TypeAlias = Literal["refuse", "index"]


class DatasetMaker(Bound, DatasetStep, ABC):
    """Makes one dataset of the run's shards, or of finished datasets; rows and packets are copied.

    Shards may be appended to a finished dataset, the base of the run; its files stay unchanged. The output
    does not depend on the number of ranks that write it.

    Args:
        datasets: Folders to take episodes from, in this order; the run's shards by default.
        video: Quality of re-encoded clips.
        annotations: Columns of integers that are in doubt: "tasks" if they hold numbers of tasks, "values" if not.
        on_duplicate: Effect of an episode that a dataset before has too.
        times: Effect of other times in rows than frame_index / fps.
        edit: Changes to the only dataset of `datasets`.
    """

    def __init__(
        self,
        *,
        datasets: list[PathText] | None = None,
        video: VideoSettings | None = None,
        annotations: Annotations | None = None,
        on_duplicate: OnDuplicate = "refuse",
        times: Times = "refuse",
        edit: DatasetEdit | None = None,
    ) -> None:
        if edit is not None and (count := len(datasets or ())) != 1:
            raise UsageError(f"{self.name}: edit", f"changes one dataset, and `datasets` has {count}", "one dataset")
        if edit is not None and not edit.entry:
            raise UsageError(f"{self.name}: edit", "changes nothing", f"one of {', '.join(asdict(edit))}")
        self.datasets = datasets
        self.video = video
        self.annotations = annotations
        self.on_duplicate = on_duplicate
        self.times: Times = times
        self.edit = edit
        self._reencodings: Counter[str] = Counter()  # clips to re-encode, by camera
        # Frames that a seek does not reach, by camera and whether they stay so, because their codec cannot be written.
        self._unreachable: Counter[tuple[str, bool]] = Counter()

    @abstractmethod
    def writer(self, info: DatasetInfo) -> VersionWriter:
        """Return the writer of a dataset with these properties."""

    @abstractmethod
    def admit(self, location: EpisodeLocation, source: Dataset) -> EpisodeLocation:
        """Return what is taken of an episode of a source; raise if it cannot be."""

    @abstractmethod
    def encoding_like(self, track: Track, key: str) -> Encoding | None:
        """Return the encoding that a clip is given when it is re-encoded; None for that of `video`."""

    @property
    def root(self) -> Path:
        """Folder in which the new dataset is built."""
        return self.binding.dataset_root(self.makes or "")

    @property
    def folder(self) -> Path:
        """Folder of the plan."""
        return self.binding.workspace.plan(self.name)

    @cached_property
    def info(self) -> DatasetInfo:
        """Properties that all episodes of the new dataset share, without columns that its version lacks."""
        info = DatasetInfo.of_run(self.binding.run)
        return replace(info, features={k: f for k, f in info.features.items() if self.makes not in kind_of(f).not_in})

    @cached_property
    def _writer(self) -> VersionWriter:
        return self.writer(self.info)

    @cached_property
    def _edit(self) -> DatasetEdit:
        return self.edit or DatasetEdit()

    @cached_property
    def sources(self) -> DatasetSources:
        """Sources of the episodes."""
        return DatasetSources(self.datasets, self.binding, self.makes or "", self._edit)

    @property
    def _own_files(self) -> Sequence[str]:
        """Extra files of the sources that are not copied: lists that are written, or their column is dropped."""
        is_dropped = LISTS["subtasks"] in self._edit.drop_features
        return _SUBTASKS if is_dropped or "subtasks" in self.info.annotations.values() else ()

    def _taken(
        self, source: Dataset, skipped: Container[int], planner: dataset_plan.Planner, note: Note
    ) -> Iterator[EpisodeLocation]:
        """Yield the episodes of a source but those at some positions, each with its place planned."""
        if self.datasets is None and not isinstance(source, ShardDataset):
            yield from kept_episodes(source, planner, note)
            return
        dropped = self._edit.drop_features
        measured = source.measured() if self.datasets is None else input_episodes(source, note, skipped, dropped)
        for found in (at for position, at in enumerate(measured) if position not in skipped):
            location = self._reachable(self.admit(self._edit.location(found, source), source))
            self._reencodings.update(key for key, track in location.tracks.items() if not track.is_copyable)
            planner.add(location)
            yield location

    def _reachable(self, location: EpisodeLocation) -> EpisodeLocation:
        """Return the episode with a mark on clips with frames that LeRobot could not fetch: they are re-encoded."""
        tracks = dict(location.tracks)
        for key, track in location.tracks.items():
            if track.unreachable and track.encoding:
                is_left = self.info.features[key].is_depth or not can_reencode(track.encoding.codec)
                tracks[key] = replace(track, is_copyable=track.is_copyable and is_left)
                self._unreachable[key, tracks[key].is_copyable] += track.unreachable
        return replace(location, tracks=tracks)

    def _pointed(self, source: Dataset, at: EpisodeLocation) -> dict[str, None]:
        """Return the tasks that an episode's columns of task numbers lead to, but those that it replaces."""
        keys = [key for key, feature in self.info.placed_features.items() if feature.names == (LISTS["tasks"],)]
        names = [name for name in source.features if self._edit.name(name) in keys]
        batches = source.rows(names, at) if names else ()
        numbers = {number for batch in batches for values in batch.values() for number in np.unique(values).tolist()}
        return {task: None for at_, task in enumerate(source.tasks) if at_ in numbers and task not in at.replaces}

    def plan(self) -> None:
        """Plan the output from the metadata of the sources alone.

        Raises:
            RobotroveError: If one is damaged, or has no episodes; nothing has been written then.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        for path in self.folder.glob("sums-*.json"):  # of the dataset before a retry
            path.unlink(missing_ok=True)
        notes: list[str] = []
        source_tasks: list[list[str]] = []
        texts: list[str] = []
        is_pointed_to = any(feature.points_into for feature in self.info.placed_features.values())
        source_subtasks: list[list[str]] = []
        has_subtasks = "subtasks" in self.info.annotations.values()
        planner = self._writer.planner()
        total = index = 0

        def placed() -> Iterator[PlacedEpisode]:
            nonlocal total, index
            for number, source in enumerate(self.sources):
                with self.sources.named(source):
                    source_tasks.append(source.tasks)
                    source_subtasks.extend([source.subtasks] if has_subtasks else [])
                    own: list[str] = []
                    used: dict[str, None] = {}  # in order
                    skipped = self.sources.skipped(number)
                    is_chosen = self.edit is not None and bool(skipped or self.edit.tasks)
                    for location in self._taken(source, skipped, planner, own.append):
                        used.update(dict.fromkeys(location.tasks))
                        used.update(self._pointed(source, location) if is_chosen else {})
                        yield PlacedEpisode(total, index, number, location)
                        total, index = total + 1, index + location.length
                    is_whole = not is_chosen and (is_pointed_to or not skipped)
                    texts.extend([*(task for task in source.tasks if is_whole or task in used), *used])
                    own += [] if isinstance(source, ShardDataset) else left_behind(source)
                    notes.extend(f"{source.root}: {note}" if len(self.datasets or ()) > 1 else note for note in own)

        dataset_plan.write_episodes(self.folder, placed())
        if not total:
            raise UsageError(
                self.name, "has no episode to write", "at least one", "robotrove status RUN_DIR shows the reasons"
            )
        tasks = dataset_plan.TaskTable(texts)
        subtasks = dataset_plan.TaskTable(text for own in source_subtasks for text in own)
        copied, differing = self.sources.extras(self._own_files)
        notes += [f"{count} clips of {key} were re-encoded" for key, count in self._reencodings.items()]
        for (key, is_left), count in self._unreachable.items():
            done = (
                "clips of depth, or of their codec, are not re-encoded" if is_left else "so their clips were re-encoded"
            )
            notes.append(f"LeRobot could not fetch {count} frames of {key} by a seek (open GOP): {done}")
        task_columns, lost_values = self.sources.task_columns(tasks.tasks)
        notes += [*self.sources.columns[1], *lost_values, *self.sources.feature_keys()[1]]
        if self.edit is not None and self.sources.skipped(0):  # then episodes have other numbers
            known = {MODALITY, *_SUBTASKS}
            if kept := sorted(str(path) for path in copied if path.parts[0] == META and str(path) not in known):
                notes.append(f"copied unchanged, also numbers of episodes if they have any: {', '.join(kept)}")
        notes += differing + self.sources.tools()[1] + self.sources.modality()[1]
        notes += ["timestamp of each row is its frame_index / fps (times: index)"] * (self.times == "index")
        if lost := self.binding.run.features.keys() - self.info.features.keys():
            notes.append(f"not in the output: {', '.join(sorted(lost))}, which {self.makes} has no columns for")
        DatasetPlan(
            files=planner.finish(),
            tasks=tasks.tasks,
            source_tasks=source_tasks,
            episodes=total,
            frames=index,
            notes=list(map(printable, notes)),
            subtasks=subtasks.tasks,
            source_subtasks=source_subtasks,
            task_columns=task_columns,
            times=self.times,
            names=self._edit.names,
        ).write(self.folder)

    @cached_property
    def _plan(self) -> DatasetPlan:
        return DatasetPlan.read(self.folder)

    def _reencoded(self, placed: PlacedEpisode, key: str) -> PlacedEpisode:
        """Return the episode with one camera's clip re-encoded if needed; that is done once, whatever happens."""
        if placed.location.tracks[key].is_copyable:
            return placed
        folder = self.folder / "encoded"
        folder.mkdir(exist_ok=True)
        target = folder / f"e{placed.index:07d}-{self.info.camera_keys.index(key)}.mp4"
        track = placed.location.tracks[key]
        if not exists_now(target):
            video, like = self.video or VideoSettings(), self.encoding_like(track, key)
            with file_attempt(target) as attempt:
                reencode(track.clip, attempt, self.info.fps, settings_like(like, video) if like else video)
        tracks = dict(placed.location.tracks) | {key: replace(track, clip=Clip(target, 0, track.clip.frames))}
        return replace(placed, location=replace(placed.location, tracks=tracks))

    def units(self) -> list[Unit]:
        """Return meta, which takes longest, and the units as they were planned."""
        return [META, *self._plan.files]

    def process(self, unit: Unit) -> Commit | None:
        """Write one unit of the output."""
        missing = [target for target in self._targets(unit) if not exists_now(self.root / target)]
        if not missing or self.binding.is_committed:
            return None  # done before; or the whole dataset is, and this process is a second one that lives on
        targets = [self.root / target for target in missing]
        for target in targets:
            target.parent.mkdir(parents=True, exist_ok=True)
        if unit == META:
            self._write_meta()
            return None
        with ExitStack() as stack:
            written = stack.enter_context(files_attempt(targets, self.root))
            self._write(unit, dict(zip(missing, written, strict=True)))
            self._note_sums(unit, dict(zip(targets, written, strict=True)))
            return stack.pop_all().close  # syncs them and gives them their names

    def _targets(self, unit: Unit) -> list[str]:
        return [META] if unit == META else self._writer.targets(unit)

    def _write(self, unit: PlannedFile, files: Mapping[str, Path]) -> None:
        """Write files of a unit; those of the base are copied as they are."""
        base, root = self.binding.run.base, self.binding.base_root or Path()
        if base is not None and unit.last <= base.episodes:
            with readable(root):
                for target, out in files.items():
                    source, known = source_file(root / target).open(), self._base_sums.get(target)
                    copy_checked(source, out, known) if known else copy_file(source, out)
            return
        with self.sources.named():
            self.sources.check({placed.location.file(unit.key) for placed in self._planned(unit)})
            episodes = self._planned(unit)
            if unit.key:
                episodes = (self._reencoded(placed, unit.key) for placed in episodes)
            dataset_plan.write_unusable(self.folder, unit, self._writer.write(unit, episodes, files, self._plan))

    @cached_property
    def _base_sums(self) -> dict[str, FileSum]:
        return read_list(self.binding.base_root or Path())

    def _note_sums(self, unit: PlannedFile, files: Mapping[Path, Path]) -> None:
        """Write down the checksums of finished files before they get their names, for the list of the output."""
        kind = self.info.camera_keys.index(unit.key) + 1 if unit.key else 0
        workspace = self.binding.workspace
        partial = workspace.output_partial(self.binding.run.run_id)
        sums = {target.relative_to(partial).as_posix(): file_sum(out) for target, out in files.items()}
        path = workspace.sums(self.name, kind, unit.number)
        known = json.loads(path.read_bytes()) if exists_now(path) else {}
        write_file(path, json.dumps(known | sums, ensure_ascii=False).encode())

    def _planned(self, unit: PlannedFile) -> Iterator[PlacedEpisode]:
        return dataset_plan.read_episodes(self.folder, unit.first, unit.last, key=unit.key)

    def _write_meta(self) -> None:
        attempt = self.root / attempt_name(META)
        attempt.mkdir()
        try:
            described = self.sources.described(dataset_plan.read_episodes(self.folder, key=""))
            writer = self.writer(replace(self.info, episode_columns=self.sources.columns[0]))
            notes = writer.write_meta(attempt, described, self._plan, self.sources.histograms())
            if notes:  # other ranks read the same plan, before or after; one that was stopped here has added them
                replace(self._plan, notes=list(dict.fromkeys([*self._plan.notes, *notes]))).write(self.folder)
            for path, origin in self.sources.extras(self._own_files)[0].items():
                (attempt / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(origin, attempt / path)
            if (modality := self.sources.modality()[0]) is not None:
                (attempt / MODALITY).write_bytes(modality_text(modality))
            sync_tree(attempt)
            # meta last: its presence says that the others are there.
            for name in sorted(os.listdir(attempt), key=lambda name: (name == META, name)):
                rename_new(attempt / name, self.root / name)
        finally:
            shutil.rmtree(attempt, ignore_errors=True)

    def finish(self) -> None:
        """Check that every file is there and write info.json."""
        if self.binding.is_committed:
            return
        for target in (self.root / target for unit in self.units() for target in self._targets(unit)):
            if not exists_now(target):
                raise RobotroveError(str(target), "is missing", "all files written", "resume the run")
        with file_attempt(self.root / paths_v30.INFO) as attempt:
            (tools, _), (keys, _) = self.sources.tools(), self.sources.feature_keys()
            info = replace(self.info, video_info=self.sources.video_info(), tools=tools, feature_keys=keys)
            writer = self.writer(info)
            writer.write_info(self.root, attempt, self._plan)
            for base in self.sources.base():
                write_json(attempt, kept_info(base, json.loads(attempt.read_text(encoding="utf-8"))))

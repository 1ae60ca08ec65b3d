"""Dataset edit: changes to a dataset on its way into a new one: its episodes, tasks, features and robot type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ....core.episode import Episode, number_ranges
from ....core.errors import Damaged, UsageError, nearest, printable, some
from ....core.features import DEFAULT_FEATURES
from ....manifests.run_info import InputDataset, Skipped
from .. import paths_v30
from ..dataset_files import check_names
from ..stats.stored_stats import StatColumns
from .dataset import Dataset
from .dataset_info import DatasetInfo
from .episode_location import EpisodeLocation

ALL = "all"
Value = TypeVar("Value")


@dataclass(frozen=True)
class DatasetEdit:
    """Changes to one dataset. Features and episodes have the names and numbers of the input dataset.

    Attributes:
        drop: Numbers and ranges of episodes that the output lacks, such as [0, 3, 7-9].
        keep: Numbers and ranges of the episodes that the output has, instead of `drop`.
        tasks: Numbers and ranges of episodes in one text, such as 0,3,7-9, or "all", to their new task. The last entry
            with an episode decides.
        rename_features: Feature to its new name.
        drop_features: Features that the output lacks.
        robot_type: New robot_type of info.json.

    Raises:
        UsageError: If the changes contradict each other.
    """

    drop: list[int | str] = field(default_factory=list)
    keep: list[int | str] | None = None
    tasks: dict[str, str] = field(default_factory=dict)
    rename_features: dict[str, str] = field(default_factory=dict)
    drop_features: list[str] = field(default_factory=list)
    robot_type: str | None = None

    def __post_init__(self) -> None:
        if self.drop and self.keep:
            raise UsageError("edit", "both drop and keep are given", "one of them")
        if self.keep == []:
            raise UsageError("edit: keep", "is empty", "at least one episode")
        _ = self._chosen, self._tasks  # numbers that are none
        if blank := [episodes for episodes, text in self.tasks.items() if not text.strip()]:
            raise UsageError(f"edit: tasks, {blank[0]}", "its task is empty", "an instruction")
        both = sorted(self.rename_features.keys() & set(self.drop_features))
        if both:
            raise UsageError("edit", f"{printable(', '.join(both))} is renamed and dropped", "one of both")
        for old, new in self.rename_features.items():
            # LeRobot gives the instruction as `task` in each row (0.4.4, datasets/lerobot_dataset.py: __getitem__).
            told = "is its name now" if new == old else "is the name of the instruction" if new == "task" else ""
            if told:
                raise UsageError(f"edit: rename_features, {printable(new)}", told, "another name")

    @cached_property
    def _chosen(self) -> list[range]:
        return number_ranges(self.drop or self.keep or (), "edit: drop" if self.drop else "edit: keep")

    @cached_property
    def _tasks(self) -> list[tuple[str, list[range]]]:
        """New task and its episodes; none for all."""
        return [
            (text, [] if episodes == ALL else number_ranges(episodes.split(","), "edit: tasks"))
            for episodes, text in self.tasks.items()
        ]

    @property
    def changes_features(self) -> bool:
        """True if features get another name or are dropped."""
        return bool(self.rename_features or self.drop_features)

    @property
    def entry(self) -> dict[str, Any]:
        """The changes alone, by name."""
        return {key: value for key, value in asdict(self).items() if value}

    def task(self, episode: int) -> str | None:
        """Return the new task of an episode, None without one."""
        texts = (text for text, own in reversed(self._tasks) if not own or any(episode in numbers for numbers in own))
        return next(texts, None)

    def applied(self, dataset: InputDataset, numbers: Sequence[int], lengths: Sequence[int]) -> InputDataset:
        """Return an input dataset with the episodes that the output lacks as skipped ones.

        Args:
            dataset: The dataset.
            numbers: Number of each of its episodes.
            lengths: Frames of each.

        Raises:
            UsageError: If an episode does not exist, or none is left.
        """
        own, count = np.asarray(numbers, np.int64), np.asarray(lengths, np.int64)
        relabelled = [found for _, ranges in self._tasks for found in ranges]
        for found in (*self._chosen, *relabelled):
            if not _among(own, [found]).any():
                told = f"{dataset.path} has no episode {_text(found)}"
                raise UsageError("edit", told, f"its episodes: {some(numbers)}")
        if not self._chosen:
            return dataset
        is_dropped = _among(own, self._chosen) ^ bool(self.keep)
        if is_dropped.all():
            raise UsageError("edit: drop", f"drops all {len(own)} episodes of {dataset.path}", "at least one left")
        if not is_dropped.any() and self.entry.keys() == {"keep"}:
            raise UsageError("edit: keep", f"keeps all {len(own)} episodes of {dataset.path}", "a change")
        for found in (found for found in relabelled if not _among(own[~is_dropped], [found]).any()):
            raise UsageError("edit: tasks", f"episode {_text(found)} has a new task, but is dropped", "one of both")
        dropped = np.flatnonzero(is_dropped)
        # Few are kept of a million: run.json has the others as runs of episodes.
        breaks = np.flatnonzero((np.diff(dropped) != 1) | (np.diff(own[dropped]) != 1)) + 1
        runs = np.split(dropped, breaks) if len(dropped) else []
        skipped = [Skipped(int(at[0]), int(own[at[0]]), int(count[at].sum()), count=len(at)) for at in runs]
        return replace(dataset, skipped=tuple(skipped))

    def name(self, feature: str) -> str | None:
        """Return the name of a feature in the output; None for a dropped one."""
        return None if feature in self.drop_features else self.rename_features.get(feature, feature)

    def named(self, values: Mapping[str, Value]) -> dict[str, Value]:
        """Return values by feature under the names of the output."""
        named = ((self.name(key), value) for key, value in values.items())
        return {key: value for key, value in named if key is not None}

    @property
    def names(self) -> dict[str, str | None]:
        """Each renamed or dropped feature to its name in the output, None for a dropped one."""
        return {**self.rename_features, **dict.fromkeys(self.drop_features)}

    def info(self, info: DatasetInfo) -> DatasetInfo:
        """Return the properties of the output.

        Raises:
            UsageError: If a feature does not exist, or its new name cannot be one or is another's.
        """
        for key in (key for key in (*self.rename_features, *self.drop_features) if key not in info.features):
            told = (
                "is in every dataset" if key in DEFAULT_FEATURES else f"is not a feature{nearest(key, info.features)}"
            )
            raise UsageError(f"edit: {printable(key)}", told, f"one of {', '.join(info.features)}")
        for key in self.rename_features.values():
            try:
                check_names([key])
            except Damaged as exc:
                raise UsageError(f"edit: rename_features, {printable(key)}", exc.found, "another name") from None
        names = [*DEFAULT_FEATURES, *filter(None, map(self.name, info.features))]
        if twice := sorted({key for key in names if names.count(key) > 1}):
            raise UsageError("edit: rename_features", f"two features would be {printable(twice[0])}", "each name once")
        if len(names) == len(DEFAULT_FEATURES):
            raise UsageError("edit: drop_features", "drops all features", "at least one left")
        return replace(
            info,
            features=self.named(info.features),
            robot_type=self.robot_type or info.robot_type,
            video_info=self.named(info.video_info),
            lost_names=self.named(info.lost_names),
            annotations=self.named(info.annotations),
            feature_keys=self.named(info.feature_keys),
        )

    def stats(self, columns: StatColumns) -> StatColumns:
        """Return statistics under the names of the output."""
        found = {}
        for column, values in columns.items():
            key, _, statistic = column.removeprefix("stats/").rpartition("/")
            if (name := self.name(key)) is not None:
                found[f"stats/{name}/{statistic}"] = values
        return found

    def location(self, at: EpisodeLocation, source: Dataset) -> EpisodeLocation:
        """Return an episode with its new task, and its cameras under their new names."""
        found = replace(at, tracks=self.named(at.tracks)) if self.changes_features else at
        text = self.task(at.index)
        return found if text is None else _relabelled(found, text, source)


def recorded_edits(dataset: Dataset) -> list[DatasetEdit]:
    """Return the changes that a dataset went through, the last first, see `RunInfo.edits`."""
    with suppress(Damaged, UsageError, TypeError, AttributeError):
        return [DatasetEdit(**entry) for entry in dataset.json(paths_v30.RUN).get("edits", ())]
    return []


def edited(ep: Episode, edits: Sequence[tuple[DatasetEdit, int]]) -> Episode:
    """Return an episode with the changes that were made to it.

    Args:
        ep: The episode before all of them.
        edits: Edits, the last first, each with the number that the episode had before it.
    """
    for edit, number in reversed(edits):
        before = ep.columns
        for old in (old for old in edit.names if old in before):
            ep = ep.without_column(old)
        for old, name in edit.names.items():
            ep = ep.with_column(name, before[old]) if name is not None and old in before else ep
        ep, text = ep.with_facts(), edit.task(number)
        ep.text = ep.text if text is None else text
    return ep


def _text(numbers: range) -> str:
    first, last = numbers[0], numbers[-1]
    return str(first) if first == last else f"{first} to {last}"


def _among(numbers: NDArray[np.int64], ranges: Sequence[range]) -> NDArray[np.bool_]:
    """Return for each number if one of the ranges has it."""
    found = np.zeros(len(numbers), bool)
    for own in ranges:
        found |= (numbers >= own.start) & (numbers < own.stop)
    return found


def _relabelled(at: EpisodeLocation, text: str, source: Dataset) -> EpisodeLocation:
    """Return an episode with a new instruction; texts that only annotations refer to stay."""
    replaced = at.tasks
    if len(at.tasks) > 1:
        known, numbers = source.tasks, _task_numbers(source, at)
        replaced = tuple(task for task in at.tasks if task in {known[number] for number in numbers})
    others = (task for task in at.tasks if task not in (*replaced, text))
    return replace(at, tasks=(text, *others), replaces=replaced)


def _task_numbers(source: Dataset, at: EpisodeLocation) -> list[int]:
    known = len(source.tasks)
    batches = (np.unique(batch["task_index"]) for batch in source.rows(["task_index"], at))
    return [number for number in np.unique(np.concatenate(list(batches))).tolist() if 0 <= number < known]

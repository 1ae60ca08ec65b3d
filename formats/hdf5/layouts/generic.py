"""Any file with a group per episode, or with one episode: the pipeline describes it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableSet, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal, get_args

import h5py
import numpy as np

from ....core.columns import Array
from ....core.episode import EXAMPLE
from ....core.errors import EpisodeRejected, UsageError, nearest
from ..hdf5_file import FlatGroup, datasets, lookup, member, object_name, rows_of, split_key, stores_all_rows
from ..layout import Found, Layout, found_at, groups
from ..mapping import ColumnSpec, find_dataset, without_last
from ..stored_rows import check_rows

_LastObservation = Literal["keep", "drop"]
_FLAGS = ("done", "dones", "terminals", "terminations", "timeouts", "truncations")  # of d4rl, Minari and robomimic


class GenericLayout(Layout):
    """Episodes by a pattern, features by `columns`, facts by where they are.

    Args:
        columns: Feature name to its source in the file; required.
        task: Instruction of episodes without one in the file.
        fps: Frames per second of episodes without a rate in the file.
        episodes: Pattern of group paths, as in `/data/demo_*`; `/` is one episode per file.
        success: `attr:NAME` or `dataset:PATH` of the episode's group; a dataset with a row per frame
            counts by its last one.
        task_from: Where the instruction is, written likewise; of several different texts the first counts.
        fps_from: Where the frames per second are, written likewise.
        success_threshold: A label that is a number says success if it is at least this; without it only 0 and 1 count.
        last_observation: "drop" for recorders that keep the observation after the last action: with T the smallest
            number of rows of all sources, those of T + 1 rows lose their last.
        split: Datasets (T,) of flags, such as terminals and timeouts, in files with episodes end to end: each row with
            one of them set is the last of an episode.
    """

    def __init__(
        self,
        *,
        columns: Mapping[str, ColumnSpec] | None = None,
        task: str | None = None,
        fps: int | None = None,
        episodes: str = "/",
        success: str | None = None,
        task_from: str | None = None,
        fps_from: str | None = None,
        success_threshold: float | None = None,
        last_observation: _LastObservation = "keep",
        split: Sequence[str] = (),
    ) -> None:
        if not columns:
            raise UsageError(
                "layout generic",
                "has no `columns:`",
                "a mapping such as {action: actions, observation.state: obs/joint_pos}",
                "`robotrove inspect FILE` shows the content of a file",
            )
        super().__init__(columns=columns, task=task, fps=fps, success_threshold=success_threshold)
        self.episodes = episodes
        self.episodes_are = f"groups like {episodes!r}"
        self.success_from = success
        self.task_from = task_from
        self.fps_from = fps_from
        for name, place in (("success", success), ("task_from", task_from), ("fps_from", fps_from)):
            if place is not None and not place.startswith(("attr:", "dataset:")):
                raise UsageError(f"layout generic, {name}: {place!r}", "is not a place", "attr:NAME or dataset:PATH")
        if last_observation not in get_args(_LastObservation):
            where = f"layout generic, last_observation: {last_observation!r}"
            raise UsageError(where, "is not a choice", " or ".join(get_args(_LastObservation)))
        self.last_observation = last_observation
        if isinstance(split, str) or not all(isinstance(name, str) and name for name in split):
            raise UsageError(f"layout generic, split: {split!r}", "is not a list of datasets", "[terminals, timeouts]")
        self.split = tuple(split)

    def keys(self, file: h5py.File) -> Sequence[str]:
        """Return the groups that the pattern fits, in natural order."""
        keys = [""]
        for pattern in filter(None, self.episodes.split("/")):
            keys = [f"{key}/{name}" for key in keys for name in groups(file, key or "/") if fnmatchcase(name, pattern)]
        keys = [key.strip("/") or "/" for key in keys]
        return [key for whole in keys for key in self._parts(file, whole)] if self.split else keys

    def _parts(self, file: h5py.File, key: str) -> Iterator[str]:
        """Yield the keys of the episodes in a group; its own if it cannot be split: opening it gives the reason."""
        try:
            ends = self._ends(super().group(file, key))
        except EpisodeRejected:
            yield key
            return
        stops = [*(np.flatnonzero(ends[:-1]) + 1).tolist(), len(ends)]
        for start, stop in zip([0, *stops], stops, strict=False):
            yield f"{key}[{start}:{stop}]"

    def group(self, file: h5py.File, key: str, files: MutableSet[Path] | None = None) -> h5py.Group:
        """Return the group of an episode, a `FlatGroup` where files are split."""
        if not self.split:
            return super().group(file, key, files)
        path, rows = split_key(key)
        group = super().group(file, path, files)
        total = len(self._flags(group)[0] if rows is not None else self._ends(group))
        return FlatGroup(group, rows or range(total), total)

    def _flags(self, group: h5py.Group) -> list[h5py.Dataset]:
        """Return the datasets that split a group."""
        names = [name for name in self.split if isinstance(lookup(group, name), h5py.Dataset)] or self.split
        flags = [find_dataset(group, name) for name in names]
        for flag in flags:
            if flag.dtype.kind not in "biuf" or flag.size != len(flags[0]):
                text = f"{flag.name} is {flag.dtype} {flag.shape}, not one flag in each of {len(flags[0])} rows"
                raise EpisodeRejected("bad_dtype", text)
            if not stores_all_rows(flag):
                check_rows(flag, 0, len(flag))
        return flags

    def _ends(self, group: h5py.Group) -> Array:
        """Return per row if it is the last of an episode."""
        flags = [(flag.name, flag[()].reshape(-1)) for flag in self._flags(group)]
        for name, flag in flags:
            if len(strange := flag[(flag != 0) & (flag != 1)]):
                raise EpisodeRejected("bad_dtype", f"{name} has {strange[0]}, a flag is 0 or 1")
        ends: Array = np.any([flag != 0 for _, flag in flags], axis=0)
        return ends

    def default_columns(self, group: h5py.Group) -> dict[str, ColumnSpec]:
        """Return nothing: the constructor insists on `columns`."""
        return {}

    def mapping(self, group: h5py.Group) -> Mapping[str, ColumnSpec]:
        """Return `columns`, without the observation after the last action if it is to be dropped."""
        specs = super().mapping(group)
        return without_last(group, specs) if self.last_observation == "drop" else specs

    def success(self, group: h5py.Group) -> Found | None:
        """Return the label found where `success` says."""
        return found_at(group, self.success_from) if self.success_from else None

    def file_task(self, group: h5py.Group) -> Found | None:
        """Return the text found where `task_from` says."""
        return found_at(group, self.task_from) if self.task_from else None

    def file_fps(self, group: h5py.Group) -> Found | None:
        """Return the number found where `fps_from` says."""
        return found_at(group, self.fps_from) if self.fps_from else None

    def lacking(self, group: h5py.Group) -> Iterator[tuple[str, str]]:
        """Yield `task_from` and `fps_from` where they name a place that an episode does not have."""
        for option, place in (("task_from", self.task_from), ("fps_from", self.fps_from)):
            if place is not None and found_at(group, place) is None:
                kind, _, name = place.partition(":")
                names = list(map(object_name, group.attrs)) if kind == "attr" else list(datasets(group))
                kinds = "attributes" if kind == "attr" else "datasets"
                inside = ", ".join(names[:8]) or "none"
                text = f"{place!r} is missing in {group.name}{nearest(name, names)}; its {kinds}: {inside}"
                yield f"source.options.{option}", text

    def notes(self, group: h5py.Group, length: int) -> Iterator[str]:
        """Yield whether an episode has no end, and whether flags say that it is several."""
        if isinstance(group, FlatGroup):
            flags = self._flags(group)
            if group.rows.stop == group.total and not any(flag[-1:].any() for flag in flags):
                yield f"the last episode of a group has no end: no flag is set in its last row{EXAMPLE}{group.name}"
            for name in (name for name in self.split if lookup(group, name) is None):
                inside = ", ".join(list(datasets(group))[:8])
                yield f"split: {name} is not in every episode{EXAMPLE}{group.name} has the datasets {inside}"
        for name in (name for name in _FLAGS if name not in self.split):
            item = member(group, name)  # a link that leads nowhere is no flag
            if isinstance(item, h5py.Dataset) and item.ndim == 1 and item.dtype.kind in "biuf":
                rows = rows_of(group, item)
                if len(rows) == length and np.any(item[rows.start : rows.stop - 1] != 0):
                    yield (
                        f"{name} is set before its last row: options: {{split: [{name}]}} ends an episode there"
                        f"{EXAMPLE}{group.name}"
                    )

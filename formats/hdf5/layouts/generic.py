"""Any file with a group per episode, or with one episode: the pipeline describes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Literal, get_args

import h5py
import numpy as np

from ....core.errors import UsageError
from ..layout import Layout, flag, groups, text
from ..mapping import ColumnSpec, without_last

_LastObservation = Literal["keep", "drop"]


class GenericLayout(Layout):
    """Episodes by a pattern, features by `columns`, facts by where they are.

    Args:
        columns: Feature name to its source in the file; required.
        task: Instruction of episodes without one in the file.
        fps: Frames per second of episodes without a rate in the file.
        episodes: Pattern of group paths, as in `/data/demo_*`; `/` is one episode per file.
        success: `attr:NAME` or `dataset:PATH` of the episode's group; a dataset with a row per frame
            counts by its last one.
        task_from: Where the instruction is, written likewise.
        fps_from: Where the frames per second are, written likewise.
        last_observation: "drop" for recorders that keep the observation after the last action: with T the smallest
            number of rows of all sources, those of T + 1 rows lose their last.
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
        last_observation: _LastObservation = "keep",
    ) -> None:
        if not columns:
            raise UsageError(
                "layout generic",
                "has no `columns:`",
                "a mapping such as {action: actions, observation.state: obs/joint_pos}",
                "`robotrove inspect FILE` shows the content of a file",
            )
        super().__init__(columns=columns, task=task, fps=fps)
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

    def keys(self, file: h5py.File) -> Sequence[str]:
        """Return the groups that the pattern fits, in natural order."""
        keys = [""]
        for pattern in filter(None, self.episodes.split("/")):
            keys = [f"{key}/{name}" for key in keys for name in groups(file, key or "/") if fnmatchcase(name, pattern)]
        return [key.strip("/") or "/" for key in keys]

    def default_columns(self, group: h5py.Group) -> dict[str, ColumnSpec]:
        """Return nothing: the constructor insists on `columns`."""
        return {}

    def mapping(self, group: h5py.Group) -> Mapping[str, ColumnSpec]:
        """Return `columns`, without the observation after the last action if it is to be dropped."""
        specs = super().mapping(group)
        return without_last(group, specs) if self.last_observation == "drop" else specs

    def success(self, group: h5py.Group) -> bool | None:
        """Return the label found where `success` says."""
        return flag(_value(group, self.success_from))

    def file_task(self, group: h5py.Group) -> str | None:
        """Return the text found where `task_from` says."""
        return text(_value(group, self.task_from))

    def file_fps(self, group: h5py.Group) -> float | None:
        """Return the number found where `fps_from` says."""
        value = _value(group, self.fps_from)
        return None if value is None else float(np.reshape(value, -1)[0])


def _value(group: h5py.Group, place: str | None) -> Any:
    if place is None:
        return None
    kind, _, name = place.partition(":")
    if kind == "attr":
        return group.attrs.get(name)
    item = group.get(name)
    return item[-1:] if isinstance(item, h5py.Dataset) and item.shape else item[()] if item is not None else None

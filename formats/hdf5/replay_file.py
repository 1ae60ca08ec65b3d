"""Replay file: actions as HDF5 that Isaac Lab and LeIsaac replay, with the recorded start."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ...core.columns import Array
from ...core.errors import UsageError
from ...core.features import Feature
from .hdf5_file import datasets, episode_group, lookup, new_hdf5, open_hdf5, reading, split_key
from .layout import json_attribute, text
from .mapping import ColumnPart, ColumnSpec, find_dataset

INITIAL_STATE = "initial_state"
_STATES = "states"

_CHUNK_ROWS = 1024
_PACKED = {"compression": "gzip", "compression_opts": 4}
_NO_ENVIRONMENT = json.dumps({"env_name": "", "type": 2})  # as Isaac Lab's recorder says it; 2 means gym


@dataclass(frozen=True, slots=True)
class Start:
    """State that Isaac Lab's and LeIsaac's replay scripts reset to.

    Attributes:
        env_args: JSON about the environment, as the recorder wrote it; empty if it did not.
        env_name: The environment's name in it.
        format_version: 1 where quaternions are xyzw (Isaac Lab 3.0), 0 where they are wxyz.
        seed: Of the episode, None if it was not recorded.
        state: Path below initial_state to an array of one row; empty if there is none.
        row: The row of the recorded actions that it is the state before.
        is_late: True if the actions begin at a later row, before which the recorder kept no state.
    """

    env_args: str
    env_name: str
    format_version: int
    seed: int | None
    state: Mapping[str, Array]
    row: int
    is_late: bool


def read_start(path: Path, key: str, row: int, actions: ColumnSpec | None) -> Start:
    """Return the state of a recorded episode before one of its actions.

    Before row 0 that is `initial_state`, before others the row before in `states`, which are those after the action of
    their row. Where the recorder kept no such states, it is `initial_state` all the same.

    Args:
        path: The recording.
        key: Name of the episode in it.
        row: The row of the episode.
        actions: Where its actions are, to find the row of their dataset; None if that is `row`.

    Raises:
        EpisodeRejected: If the recording cannot be read.
        UsageError: If the actions are from several datasets, and begin at different rows of them.
    """
    with open_hdf5(path, locking=False) as file, reading(f"{path}:{key}"):
        episode = episode_group(file, key if lookup(file, key or "/") is not None else split_key(key)[0])
        arguments = json_attribute(episode.parent, "env_args")
        names, states = _below(episode, INITIAL_STATE), _below(episode, _STATES)
        wanted = row = row + _first(episode, actions.parts if actions else ())
        if not all(name in states and len(states[name]) >= row for name in names):
            row = 0
        group, rows = (_STATES, slice(row - 1, row)) if row else (INITIAL_STATE, slice(None))
        seed = episode.attrs.get("seed")
        return Start(
            env_args=text(episode.parent.attrs["env_args"]) or "" if arguments else "",
            env_name=str(arguments.get("env_name", "")),
            format_version=_whole(file.attrs.get("format_version", 0)),
            seed=None if seed is None else _whole(seed),
            state={name: find_dataset(episode, f"{group}/{name}")[rows] for name in names},
            row=row,
            is_late=row < wanted,
        )


def _first(episode: h5py.Group, parts: Sequence[ColumnPart]) -> int:
    """Return the row of the datasets at which the actions of an episode begin."""
    firsts = {part.source: part.span(len(find_dataset(episode, part.source))).start for part in parts}
    if len(set(firsts.values())) > 1:
        begin = ", ".join(f"{source} at row {first}" for source, first in firsts.items())
        todo = "remove --source to export the actions without the recorded start"
        raise UsageError(f"{episode.file.filename}:{episode.name}", f"its actions begin with {begin}", "one row", todo)
    return next(iter(firsts.values()), 0)


def _below(episode: h5py.Group, name: str) -> dict[str, h5py.Dataset]:
    group = lookup(episode, name)
    return datasets(group) if isinstance(group, h5py.Group) else {}


def _whole(value: Any) -> int:
    return int(np.reshape(value, -1)[0])


class ReplayFile:
    """A file of episodes to replay, written inside `create`."""

    def __init__(self, file: h5py.File) -> None:
        self._file = file
        self._data = file.create_group("data")
        self._data.attrs.update({"total": 0, "env_args": _NO_ENVIRONMENT})
        self._environment: tuple[str, int] | None = None

    def add(self, number: int, actions: Iterable[Array], feature: Feature, length: int, success: bool | None) -> None:
        """Write an episode, some rows at a time.

        Args:
            number: Its number; the group is demo_<number>.
            actions: Its rows in order, (n, *shape) each.
            feature: What one row is.
            length: Number of all rows.
            success: The recorder's label; no attribute if it is None.
        """
        demo = self._data.create_group(f"demo_{number}")
        chunks = (min(length, _CHUNK_ROWS), *feature.shape)
        dataset = demo.create_dataset("actions", (length, *feature.shape), feature.dtype, chunks=chunks, **_PACKED)
        row = 0
        for rows in actions:
            dataset[row : row + len(rows)] = rows
            row += len(rows)
        demo.attrs.update({"num_samples": length, "num_frames": length})
        if success is not None:
            demo.attrs["success"] = success
        self._data.attrs["total"] += length

    def begin(self, number: int, start: Start, where: str) -> None:
        """Let an episode that was added begin as its recording does.

        Args:
            number: Its number.
            start: What the recording says.
            where: The recording, for an error.

        Raises:
            UsageError: If its environment or its order of quaternions is not that of the episodes before.
        """
        found = (start.env_name, start.format_version)
        if self._environment is None:
            self._environment = found
            content = (start.env_args or _NO_ENVIRONMENT).encode(errors="surrogateescape")  # its own bytes
            self._data.attrs.create("env_args", content, dtype=h5py.string_dtype())
            if start.format_version:
                self._file.attrs["format_version"] = start.format_version
        elif found != self._environment:
            raise UsageError(
                where,
                "is of {!r} (format_version {}), episodes before it of {!r} ({})".format(*found, *self._environment),
                "one environment, and one order of quaternions, in a file",
                "export each separately, with --episodes",
            )
        demo = self._data[f"demo_{number}"]
        if start.seed is not None:
            demo.attrs["seed"] = start.seed
        for path, values in start.state.items():
            demo.create_dataset(f"{INITIAL_STATE}/{path}", data=values, **_PACKED)


@contextmanager
def create(path: Path) -> Iterator[ReplayFile]:
    """Make a file, give it to the block, and close it.

    Raises:
        RobotroveError: If it cannot be written.
    """
    with new_hdf5(path) as file:
        yield ReplayFile(file)

"""What a replay of a recorded episode begins with: its environment, its seed, and the state of everything in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ...core.columns import Array
from .facts import json_attribute, text
from .mapping import find_dataset
from .source import datasets, open_source, reading

INITIAL_STATE = "initial_state"
_STATES = "states"


@dataclass(frozen=True, slots=True)
class Start:
    """What Isaac Lab's and LeIsaac's replay scripts reset to.

    Attributes:
        env_args: JSON about the environment, as the recorder wrote it; empty if it did not.
        env_name: The environment's name in it.
        format_version: 1 where quaternions are xyzw (Isaac Lab 3.0), 0 where they are wxyz.
        seed: Of the episode, None if it was not recorded.
        state: Path below initial_state to an array of one row; empty if there is none.
        row: The row that it is the state before.
    """

    env_args: str
    env_name: str
    format_version: int
    seed: int | None
    state: Mapping[str, Array]
    row: int


def read_start(path: Path, key: str, row: int) -> Start:
    """Return the state of a recorded episode before one of its rows.

    Before row 0 that is `initial_state`, before others the row before in `states`, which are those after the action of
    their row. Where the recorder kept no such states, it is `initial_state` all the same.

    Args:
        path: The recording.
        key: Name of the episode in it.
        row: The row.

    Raises:
        EpisodeRejected: If the recording cannot be read.
    """
    with open_source(path, locking=False) as file, reading(f"{path}:{key}"):
        episode = file[key or "/"]
        arguments = json_attribute(episode.parent, "env_args")
        names, states = _below(episode, INITIAL_STATE), _below(episode, _STATES)
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
        )


def _below(episode: h5py.Group, name: str) -> dict[str, h5py.Dataset]:
    group = episode.get(name)
    return datasets(group) if isinstance(group, h5py.Group) else {}


def _whole(value: Any) -> int:
    return int(np.reshape(value, -1)[0])

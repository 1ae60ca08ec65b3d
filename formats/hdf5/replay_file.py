"""Writing what Isaac Lab's and LeIsaac's replay scripts read.

Facts, from HDF5DatasetFileHandler and EpisodeData of Isaac Lab and from LeIsaac's replay.py: every group of /data is
an episode; the rows of its `actions` are stepped one by one; the environment is reset to the tree `initial_state`, with
the attribute `seed`; env_args of /data must be there and be JSON. LeIsaac's tools count by `num_frames`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py

from ...core.columns import Array
from ...core.errors import RobotroveError, UsageError
from ...core.features import Feature
from .replay_start import INITIAL_STATE, Start

_CHUNK_ROWS = 1024
_PACKED = {"compression": "gzip", "compression_opts": 4}
_NO_ENVIRONMENT = json.dumps({"env_name": "", "type": 2})  # as Isaac Lab's recorder says it; 2 means gym


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
            self._data.attrs["env_args"] = start.env_args or _NO_ENVIRONMENT
            if start.format_version:
                self._file.attrs["format_version"] = start.format_version
        elif found != self._environment:
            raise UsageError(
                where,
                "is of {!r} (format_version {}), episodes before it of {!r} ({})".format(*found, *self._environment),
                "one environment, and one order of quaternions, in a file",
                "export each by itself, with --episodes",
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
    try:
        with h5py.File(path, "x") as file:
            yield ReplayFile(file)
    except (OSError, RuntimeError) as exc:  # as HDF5 says it, for example of a disk that is full
        raise RobotroveError(str(path), f"cannot be written: {exc}", "a folder that exists, with room") from exc

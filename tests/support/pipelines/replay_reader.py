"""Reading a file as Isaac Lab's and LeIsaac's replay scripts do, written after what they do, not after ours."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np


class Replayed:
    """One episode of a file: what is stepped, and what the environment is reset to."""

    def __init__(self, group: h5py.Group) -> None:
        self.data: dict[str, Any] = _arrays(group)
        self.initial_state: dict[str, Any] | None = self.data.get("initial_state")
        self.attrs = dict(group.attrs)
        self.compression = {
            name: (item.compression, item.compression_opts)
            for name, item in _datasets(group)
        }  # fmt: skip

    def steps(self) -> Iterator[np.ndarray]:
        """Yield the actions until there are no more."""
        index = 0
        while index < len(self.data["actions"]):
            yield self.data["actions"][index]
            index += 1

    @property
    def seed(self) -> int | None:
        return int(self.attrs["seed"]) if "seed" in self.attrs else None


class ReplayReader:
    """A file to replay."""

    def __init__(self, path: Path) -> None:
        with h5py.File(path, "r") as file:
            data = file["data"]
            self.names = list(data.keys())
            self.env_args = json.loads(data.attrs["env_args"])
            self.total = int(data.attrs["total"])
            self.root_attrs = dict(file.attrs)
            self.episodes = {name: Replayed(data[name]) for name in self.names}

    @property
    def env_name(self) -> str:
        name: str = self.env_args["env_name"]
        return name


def _arrays(group: h5py.Group) -> dict[str, Any]:
    return {name: _arrays(item) if isinstance(item, h5py.Group) else np.array(item) for name, item in group.items()}


def _datasets(group: h5py.Group, prefix: str = "") -> Iterator[tuple[str, h5py.Dataset]]:
    for name, item in group.items():
        if isinstance(item, h5py.Group):
            yield from _datasets(item, f"{prefix}{name}/")
        else:
            yield f"{prefix}{name}", item

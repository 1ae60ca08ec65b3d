"""dataset_stats: meta/stats.json of a dataset."""

from __future__ import annotations

import json
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from ...core.commit import write_file
from ...core.errors import UsageError
from ...core.source_file import PathText
from ...formats.lerobot import paths_v30
from ...formats.lerobot.datasets.dataset_stats import dataset_stats, incomplete_cameras, row_stats, write_stats
from ...formats.lerobot.datasets.dataset_v30 import DatasetV30
from ..binding import Bound
from ..dataset_step import DatasetStep

_PLAN = "groups.json"
_UNITS = 16  # at most: each reads the footers of all data files


class DatasetStats(Bound, DatasetStep):
    """Computes the statistics of a dataset from its rows, and those of cameras from its episodes and histograms.

    In a pipeline it works on the dataset of the run. Alone, `DatasetStats(dataset=...).run_here()` replaces the
    meta/stats.json of a dataset of version 3.0.

    Args:
        dataset: Folder of a dataset; that of the run by default.
    """

    name = "dataset_stats"
    is_light = True

    def __init__(self, *, dataset: PathText | None = None) -> None:
        self.dataset = dataset
        self.needs = None if dataset is not None else paths_v30.CODEBASE_VERSION
        self._own_folder = Path()

    @property
    def _root(self) -> Path:
        return (
            Path(self.dataset) if self.dataset is not None else self.binding.finished_root(paths_v30.CODEBASE_VERSION)
        )

    @property
    def _folder(self) -> Path:
        """Folder in which the statistics of each feature wait for those of the others."""
        return self._own_folder if self._binding is None else self.binding.workspace.plan(self.name)

    def run_here(self) -> None:
        """See the base class."""
        with TemporaryDirectory(prefix="robotrove-") as folder:
            self._own_folder = Path(folder)
            super().run_here()

    def plan(self) -> None:
        """Decide what is computed from the rows, and whether cameras have to be from their frames.

        Raises:
            UsageError: If there is no dataset.
        """
        if not (self._root / paths_v30.INFO).exists():
            raise UsageError(str(self._root), f"has no {paths_v30.INFO}", "a LeRobot dataset of version 3.0")
        self._folder.mkdir(parents=True, exist_ok=True)
        features = DatasetV30(self._root).numeric_features
        widest_first = sorted(features, key=lambda key: -prod(features[key].shape))
        groups = [widest_first[number::_UNITS] for number in range(min(_UNITS, len(features)))]
        cameras = incomplete_cameras(self._root)
        self._write(_PLAN, {"cameras": cameras, "groups": [] if cameras else groups})

    def units(self) -> list[int]:
        """Return the numbers of the groups of features; none if cameras have to be recomputed."""
        return list(range(len(self._read(_PLAN)["groups"])))

    def process(self, unit: int) -> None:
        """Write down the statistics of some features."""
        found = row_stats(DatasetV30(self._root), self._read(_PLAN)["groups"][unit])
        content = {key: {name: value.tolist() for name, value in entry.items()} for key, entry in found.items()}
        self._write(f"{unit:05d}.json", content)

    def finish(self) -> None:
        """Write meta/stats.json; cameras with missing statistics are computed from their frames."""
        if cameras := self._read(_PLAN)["cameras"]:
            from ...formats.lerobot.recompute.dataset_recompute import recompute  # rare, and much to import

            recompute(self._root, cameras=cameras, keep_unusable=True)
            return
        numbers = {
            key: {name: np.array(value) for name, value in entry.items()}
            for unit in self.units()
            for key, entry in self._read(f"{unit:05d}.json").items()
        }
        write_stats(self._root, dataset_stats(self._root, numbers))

    def _read(self, name: str) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self._folder / name).read_text())
        return content

    def _write(self, name: str, content: dict[str, Any]) -> None:
        write_file(self._folder / name, json.dumps(content).encode())

"""dataset_stats: meta/stats.json of a dataset."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from ..core.commit import write_file
from ..core.errors import UsageError
from ..formats.lerobot import paths
from ..formats.lerobot.dataset_stats import dataset_stats, feature_quantiles, incomplete_cameras, write_stats
from ..formats.lerobot.view_v30 import DatasetViewV30
from .binding import Bound
from .dataset_step import DatasetStep

_PLAN = "units.json"


class DatasetStats(Bound, DatasetStep):
    """Computes the statistics of a dataset from its rows, its episodes' statistics and its histograms.

    In a pipeline it works on the dataset that the run makes. Alone, `DatasetStats(dataset=...).run_here()`
    replaces the meta/stats.json of a dataset of version 3.0.

    Args:
        dataset: Folder of a dataset; that of the run by default.
    """

    name = "dataset_stats"
    is_light = True

    def __init__(self, *, dataset: str | None = None) -> None:
        self.dataset = dataset
        self.needs = None if dataset is not None else paths.CODEBASE_VERSION

    @property
    def _root(self) -> Path:
        return Path(self.dataset) if self.dataset is not None else self.binding.finished_root(paths.CODEBASE_VERSION)

    @cached_property
    def _folder(self) -> Path:
        """Where the quantiles of each feature wait for those of the others."""
        if self._binding is not None:
            return self.binding.workspace.plan(self.name)
        self._own = TemporaryDirectory(prefix="robotrove-")  # lives as long as this block
        return Path(self._own.name)

    def plan(self) -> None:
        """Decide what is computed from the rows, and whether cameras have to be from their frames.

        Raises:
            UsageError: If there is no dataset.
        """
        if not (self._root / paths.INFO).exists():
            raise UsageError(str(self._root), f"has no {paths.INFO}", "a LeRobot dataset of version 3.0")
        self._folder.mkdir(parents=True, exist_ok=True)
        features = DatasetViewV30(self._root).numeric_features
        widest_first = sorted(features, key=lambda key: -features[key].shape[-1])
        plan = {"cameras": incomplete_cameras(self._root), "features": widest_first}
        write_file(self._folder / _PLAN, json.dumps(plan).encode())

    @cached_property
    def _plan(self) -> dict[str, list[str]]:
        plan: dict[str, list[str]] = json.loads((self._folder / _PLAN).read_text())
        return plan

    def units(self) -> list[int]:
        """Return the numbers of the features; recomputing cameras is one unit, and does the rest as well."""
        return [0] if self._plan["cameras"] else list(range(len(self._plan["features"])))

    def process(self, unit: int) -> None:
        """Write down the quantiles of one feature."""
        if cameras := self._plan["cameras"]:
            from ..formats.lerobot.recompute import recompute  # rare, and much to import

            recompute(self._root, cameras=cameras)
            return
        found = feature_quantiles(DatasetViewV30(self._root), [self._plan["features"][unit]])
        content = {key: {name: value.tolist() for name, value in entry.items()} for key, entry in found.items()}
        write_file(self._folder / f"{unit:05d}.json", json.dumps(content).encode())

    def finish(self) -> None:
        """Write meta/stats.json."""
        if self._plan["cameras"]:
            return
        quantiles = {
            key: {name: np.array(value) for name, value in entry.items()}
            for unit in self.units()
            for key, entry in json.loads((self._folder / f"{unit:05d}.json").read_text()).items()
        }
        write_stats(self._root, dataset_stats(self._root, quantiles))

"""dataset_stats: meta/stats.json of a dataset."""

from __future__ import annotations

from pathlib import Path

from ..core.errors import UsageError
from ..formats.lerobot import paths
from ..formats.lerobot.dataset_stats import dataset_stats, incomplete_cameras, write_stats
from .binding import Bound
from .dataset_step import DatasetStep


class DatasetStats(Bound, DatasetStep):
    """Computes the statistics of a dataset from its rows, its episodes' statistics and its histograms.

    In a pipeline it works on the dataset that the run makes. Alone, `DatasetStats(dataset=...).run_here()`
    replaces the meta/stats.json of a dataset of version 3.0.

    Args:
        dataset: Folder of a dataset; that of the run by default.
    """

    name = "dataset_stats"
    has_one_unit = True

    def __init__(self, *, dataset: str | None = None) -> None:
        self.dataset = dataset
        self.needs = None if dataset is not None else paths.CODEBASE_VERSION

    @property
    def _root(self) -> Path:
        return Path(self.dataset) if self.dataset is not None else self.binding.finished_root(paths.CODEBASE_VERSION)

    def plan(self) -> None:
        """Check that there is a dataset.

        Raises:
            UsageError: If the folder is none.
        """
        if not (self._root / paths.INFO).exists():
            raise UsageError(str(self._root), f"has no {paths.INFO}", "a LeRobot dataset of version 3.0")

    def units(self) -> list[Path]:
        """Return the dataset: its statistics are one unit."""
        return [self._root]

    def process(self, unit: Path) -> None:
        """Write meta/stats.json; cameras of which sources had not all statistics are computed from their frames."""
        if cameras := incomplete_cameras(unit):
            from ..formats.lerobot.recompute import recompute  # rare, and much to import

            recompute(unit, cameras=cameras)
        else:
            write_stats(unit, dataset_stats(unit))

"""gr00t_files: stats.json and modality.json, which GR00T reads in meta/ beside LeRobot's files."""

from __future__ import annotations

from pathlib import Path

from ...core.features import Features
from ...formats.lerobot import paths_v21
from ...formats.lerobot.datasets.open_dataset import open_dataset
from ...formats.lerobot.gr00t.gr00t_stats import write_gr00t_stats
from ...formats.lerobot.gr00t.modality import modality_of, write_modality
from ...manifests.robot import RobotName, load_robot
from ..binding import Bound
from ..dataset_step import DatasetStep


class Gr00tFiles(Bound, DatasetStep):
    """Writes GR00T's files into the run's dataset of version 2.1; put it after `downgrader`.

    Args:
        robot: Robot manifest (name or YAML file): its groups and parts are the keys of modality.json.
    """

    name = "gr00t_files"
    needs = paths_v21.CODEBASE_VERSION
    has_one_unit = True

    def __init__(self, *, robot: RobotName) -> None:
        self.robot = robot
        self._manifest = load_robot(robot)

    @property
    def _root(self) -> Path:
        return self.binding.finished_root(paths_v21.CODEBASE_VERSION)

    def check_features(self, features: Features) -> None:
        """Refuse a dataset that the robot does not fit.

        Raises:
            UsageError: See `modality_of`.
        """
        modality_of(features, self._manifest)

    def units(self) -> list[Path]:
        """Return the dataset: its files are one unit."""
        return [self._root]

    def process(self, unit: Path) -> None:
        """Write both files."""
        write_modality(unit, modality_of(open_dataset(unit).features, self._manifest))
        write_gr00t_stats(unit)

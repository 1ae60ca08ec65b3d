"""gr00t_files: stats.json and modality.json, which GR00T reads in meta/ beside LeRobot's files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from shlex import quote
from typing import Any

from ...core.errors import UsageError
from ...core.features import Features
from ...core.source_file import PathText
from ...formats.lerobot import paths_v21
from ...formats.lerobot.datasets.open_dataset import open_dataset
from ...formats.lerobot.gr00t.gr00t_stats import write_gr00t_stats
from ...formats.lerobot.gr00t.modality import MODALITY, modality_of, read_modality, stale_modality, write_modality
from ...manifests.robot import RobotName, load_robot
from ...verification.consumers.modality import check_modality
from ..binding import Bound
from ..dataset_step import DatasetStep


class Gr00tFiles(Bound, DatasetStep):
    """Writes GR00T's files into the run's dataset of version 2.1; put it after `downgrader`.

    Args:
        robot: Robot manifest (name or YAML file): its groups and parts are the keys of modality.json.
        modality: Instead of a robot, your own modality.json (a file NAME.json), checked before it is written.
        replace: Write it also where an input dataset, or the base dataset, has another modality.json.
    """

    name = "gr00t_files"
    needs = paths_v21.CODEBASE_VERSION
    has_one_unit = True

    def __init__(
        self, *, robot: RobotName | None = None, modality: PathText | None = None, replace: bool = False
    ) -> None:
        if (robot is None) == (modality is None):
            given = "found nothing (null) for both" if robot is None else "found both"
            raise UsageError("robot and modality", given, "one: a robot's manifest, or a modality.json of your own")
        self.robot = robot
        self.modality = modality
        self.replace = replace
        self._manifest = load_robot(robot) if robot is not None else None
        self._file = read_modality(modality) if modality is not None else {}

    @property
    def _root(self) -> Path:
        return self.binding.finished_root(paths_v21.CODEBASE_VERSION)

    def content(self, features: Features) -> dict[str, Any]:
        """Return the content of modality.json for a dataset of these features.

        Raises:
            UsageError: If the robot does not fit, see `modality_of`; or the file, see `check_modality`.
        """
        if self._manifest is not None:
            return modality_of(features, self._manifest)
        check_modality(str(self.modality), self._file, features)
        return self._file

    def check_features(self, features: Features) -> None:
        """Refuse a dataset that the robot or the file does not fit; see `content`."""
        self.content(features)

    def check_datasets(self, features: Features, datasets: Sequence[Path]) -> None:
        """Refuse to replace another modality.json, which may be written by hand.

        Raises:
            UsageError: Naming the file, and each key that differs.
        """
        content = self.content(features)
        for root in datasets if not self.replace else ():
            path = root / MODALITY
            if path.exists() and (found := stale_modality(root, content)):
                own = quote(str(path))
                raise UsageError(
                    str(path),
                    "\n    ".join([f"differs from what {self.modality or f'robot {self.robot}'} gives", *found]),
                    "an equal file, or none: it may be written by hand",
                    f"--modality {own} keeps it, --replace replaces it (in a pipeline, of the block gr00t_files: "
                    f"`modality: {path}`, `replace: true`)",
                )

    def units(self) -> list[Path]:
        """Return the dataset: its files are one unit."""
        return [self._root]

    def process(self, unit: Path) -> None:
        """Write both files."""
        write_modality(unit, self.content(open_dataset(unit).features))
        write_gr00t_stats(unit)

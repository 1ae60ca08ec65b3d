"""Releases of GR00T, and the parts of a dataset that one reads."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from enum import IntEnum
from typing import Any, get_args

import numpy as np

from ...core.errors import Damaged
from ...core.features import Feature
from ...formats.lerobot.datasets.dataset_v21 import DatasetV21
from ...formats.lerobot.features.feature_kind import is_list
from ...formats.lerobot.gr00t.modality import MODALITY, VECTORS, ModalityEntry, column_of, entries
from ...manifests.robot import HORIZON, Gr00tVersion, robots_of_type
from ..check import Check, Diagnostic


def holds_lists(dataset: DatasetV21, column: str) -> bool:
    """True if the rows of a column are lists in the first data file, also those of one value.

    Raises:
        Damaged: If the file cannot be read or does not have the column.
    """
    path = next(dataset.data_files()).path
    with dataset.parquet(path) as file:
        schema = file.schema_arrow
    if column not in schema.names:
        raise Damaged(path, f"has no column {column}")
    return is_list(schema.field(column).type)


class Release(IntEnum):
    """A release; a later one is greater.

    Where what follows was read: N1 at 755876a and N1.5 at 4af2b62, gr00t/data/dataset.py and
    schema.py; N1.6 at 4e62473 and N1.7 at 23ace64, gr00t/data/dataset/lerobot_episode_loader.py and
    gr00t/data/stats.py.
    """

    N1 = 10
    N1_5 = 15
    N1_6 = 16
    N1_7 = 17

    @property
    def title(self) -> str:
        """Its name in sentences."""
        return "GR00T " + self.name.replace("_", ".")

    @property
    def version(self) -> Gr00tVersion:
        """Its name in robot manifests and on the command line."""
        versions: tuple[Gr00tVersion, ...] = get_args(Gr00tVersion)
        return versions[list(Release).index(self)]

    @property
    def is_typed(self) -> bool:
        """True if modality.json is validated as a whole when a dataset is opened, and frames are found by time."""
        return self <= Release.N1_5

    def column(self, entry: ModalityEntry) -> Any:
        """Return the feature that an entry stands for, a text if the entry is right.

        A camera without `original_key` is the feature of its own name in N1 and N1.5; these take null for
        none, but where their schema has a default.
        """
        content = entry.content
        if self.is_typed and entry.section not in VECTORS and content.get("original_key") is None:
            if entry.section == "video":
                return entry.key
            content = {}
        return column_of(entry.section, entry.key, content)

    def columns(self, dataset: DatasetV21, *sections: str) -> list[tuple[ModalityEntry, str, Feature]]:
        """Return the entries of some sections with an existing feature; none without a modality.json.

        Raises:
            Damaged: If a file cannot be read.
        """
        if not (dataset.root / MODALITY).exists():
            return []
        found = [entry for entry in entries(dataset.json(MODALITY)) if entry.section in sections]
        named = ((entry, self.column(entry)) for entry in found)
        return [
            (entry, column, dataset.features[column])
            for entry, column in named
            if isinstance(column, str) and column in dataset.features
        ]


class HorizonCheck(Check[DatasetV21]):
    """Every episode has as many frames as the policy predicts actions at a time.

    sharded_single_step_dataset.py of N1.6 and N1.7: an episode gives length - horizon + 1 samples, a shorter one
    none. N1 and N1.5 repeat the last frame instead.

    Args:
        release: N1.6 or N1.7.
        horizon: Actions at a time; by default those of the robot's configuration, or else as in GR00T's examples.
    """

    name = "horizon"

    def __init__(self, release: Release, horizon: int | None = None) -> None:
        self._release = release
        self._horizon = horizon

    def run(self, dataset: DatasetV21, *, deep: bool) -> Iterator[Diagnostic]:
        """Yield one finding with the number of episodes, and of the samples that are left."""
        lengths, title = dataset.lengths, self._release.title
        horizon, whose = (self._horizon, "of this training") if self._horizon else self._usual(dataset)
        used = int(np.maximum(lengths - horizon + 1, 0).sum())
        if short := int(np.count_nonzero(lengths < horizon)):
            told = f"{short} of {len(lengths)} episodes are shorter than {horizon} frames"
            told = f"{told}, the actions predicted at a time ({whose})"
            why = f"{title} takes no sample of them, and {used} samples of the {lengths.sum()} frames in all"
            command = f"robotrove handoff gr00t {shlex.quote(str(dataset.root))} -o NEW"
            command = f"{command} --version {self._release.version} --horizon {lengths.min()}"
            report = self.warning if used else self.error
            yield report(dataset.episodes_path, f"{told}: {why}; `{command}` takes all episodes")

    def _usual(self, dataset: DatasetV21) -> tuple[int, str]:
        """Return the horizon, and where it is from."""
        for robot in robots_of_type(dataset.info.get("robot_type")):
            if published := robot.gr00t.published(self._release.version):
                return published.horizon, f"robot {robot.name}"
        return HORIZON, "as in GR00T's examples"

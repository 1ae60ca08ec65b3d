"""Dataset info: what is the same for all episodes, and whether two datasets agree in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ....core.errors import UsageError, printable
from ....core.features import Features, difference, video_cameras
from ....manifests.run_info import RunInfo
from ..features.feature_kind import stat_shapes


@dataclass(frozen=True, slots=True)
class DatasetInfo:
    """What is the same for every episode of a dataset.

    Attributes:
        features: What it holds, the default five aside.
        fps: Frames per second.
        robot_type: As in info.json, None if unknown.
        run: What meta/robotrove/run.json says; no times and no absolute paths.
        video_info: Camera key to `info` of its entry in info.json; what is missing is read off the files.
        lost_names: Feature to its `names` in info.json, as JSON, where `features` cannot hold them.
    """

    features: Features
    fps: int
    robot_type: str | None
    run: Mapping[str, Any]
    video_info: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    lost_names: Mapping[str, str] = field(default_factory=dict)

    @property
    def camera_keys(self) -> list[str]:
        """Cameras stored as video."""
        return list(video_cameras(self.features))

    @property
    def stat_shapes(self) -> dict[str, tuple[int, ...]]:
        """Statistic of an episode to its shape, as in `feature_kind.stat_shapes`."""
        return stat_shapes(self.features)


def check_alike(datasets: Sequence[tuple[Path, DatasetInfo]]) -> None:
    """Refuse datasets that cannot become one, showing all differences.

    Args:
        datasets: Folders, for the error, and what is the same for all of their episodes; at least one.

    Raises:
        UsageError: Names each dataset that differs from the first, and how.
    """
    folder, first = datasets[0]
    problems = []
    for other, facts in datasets[1:]:
        notes = [difference(first.features, facts.features), *_other_names(first, facts)]
        for name in ("fps", "robot_type"):
            if (found := getattr(facts, name)) != (expected := getattr(first, name)):
                notes.append(f"{name} is {found!r} instead of {expected!r}")
        if text := "; ".join(filter(None, notes)):
            problems.append(f"{other}: {text}")
    if problems:
        raise UsageError(
            f"{len(problems)} of {len(datasets)} datasets",
            f"differ from {folder}\n    " + "\n    ".join(problems),
            "the same features, fps and robot_type",
            "leave them out, or convert their recordings again with one pipeline",
        )


def _other_names(first: DatasetInfo, facts: DatasetInfo) -> Iterator[str]:
    """Say which features differ in names that `features` cannot hold: the order of joints may be in them."""
    for key in first.features.keys() & facts.features.keys():
        expected, found = (side.lost_names.get(key, "null") for side in (first, facts))
        if first.features[key].names == facts.features[key].names and expected != found:
            yield f"{key} has other names: {printable(found)} instead of {printable(expected)}"


def dataset_info(run: RunInfo) -> DatasetInfo:
    """Return what every writer of the run's dataset has to know."""
    identity = {"run_digest": run.digest, "robotrove_version": run.version, "encoder_version": run.encoder}
    return DatasetInfo(run.features, run.fps, run.robot_type, identity)

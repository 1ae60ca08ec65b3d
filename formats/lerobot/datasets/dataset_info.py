"""Dataset info: properties that all episodes share, compared between datasets, and the input of a new dataset."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ....core.errors import Damaged, UsageError, in_utf8, printable
from ....core.features import DEFAULT_FEATURES, Features, difference, lost_names, other_names, video_cameras
from ....manifests.run_info import RunInfo
from .. import paths_v30
from ..features.feature_kind import kind_of
from .dataset import Dataset, Note, check_names
from .episode_location import EpisodeLocation
from .provenance import missing_origins

# Keys of info.json that the writers of both versions compute themselves.
_MADE = {
    *("codebase_version", "robot_type", "fps", "features", "splits", "data_path", "video_path"),
    *(f"total_{name}" for name in ("episodes", "frames", "tasks", "videos", "chunks")),
    *("chunks_size", "data_files_size_in_mb", "video_files_size_in_mb"),
}


@dataclass(frozen=True, slots=True)
class DatasetInfo:
    """Properties that all episodes of a dataset share.

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

    @classmethod
    def of_run(cls, run: RunInfo) -> DatasetInfo:
        """Return the properties of the dataset that a run makes."""
        identity = {"run_digest": run.digest, "robotrove_version": run.version, "encoder_version": run.encoder}
        return cls(run.features, run.fps, run.robot_type, identity)

    @classmethod
    def of_dataset(cls, dataset: Dataset) -> DatasetInfo:
        """Return the properties of a dataset on disk; raises Damaged if a new dataset cannot have them."""
        info = dataset.info
        text = json.dumps(info, ensure_ascii=False)
        if in_utf8(text) != text:
            raise Damaged(paths_v30.INFO, "holds half a character (\\ud800 to \\udfff), which UTF-8 cannot hold")
        features = {key: feature for key, feature in dataset.features.items() if key not in DEFAULT_FEATURES}
        check_names(features)
        robot_type = info.get("robot_type")
        if not isinstance(robot_type, str | None):
            raise Damaged(paths_v30.INFO, f"robot_type is {robot_type!r} instead of a text or null")
        entries = info["features"]
        infos = {
            key: kind_of(feature).stored_info(entries[key], f"{paths_v30.INFO}, feature {key}")
            for key, feature in features.items()
        }
        run = dataset.json(paths_v30.RUN) if (dataset.root / paths_v30.RUN).exists() else {}
        lost = {key: names for key in features if (names := lost_names(entries[key]))}
        return cls(features, dataset.fps, robot_type, run, {key: info for key, info in infos.items() if info}, lost)


def input_episodes(dataset: Dataset, note: Note) -> Iterator[EpisodeLocation]:
    """Yield the episodes of a dataset as `measured` does, and note what a new dataset drops.

    Raises:
        RobotroveError: As `measured`, or if a new dataset cannot have its tasks or info.json.
    """
    info = DatasetInfo.of_dataset(dataset)
    _ = dataset.tasks  # refused now if the numbers in the rows do not lead to a text each
    sentences: list[str] = []
    count = 0
    for location in dataset.measured(sentences.append):
        yield location
        count += 1
    if info.lost_names:
        sentences.append(
            f"not in the output: the names of {', '.join(info.lost_names)}, which are not one list of texts"
        )
    if more := [key for key, value in dataset.info.items() if key not in _MADE and value is not None]:
        sentences.append(f"not in the output: {', '.join(more)} of {paths_v30.INFO}")
    sentences.append(missing_origins(dataset, count))
    for sentence in filter(None, sentences):
        note(printable(sentence))


def check_alike(datasets: Sequence[tuple[Path, DatasetInfo]]) -> None:
    """Refuse datasets that cannot become one, showing all differences.

    Args:
        datasets: Folders, for the error, and what is the same for all of their episodes; at least one.

    Raises:
        UsageError: Names each dataset that differs from the first, and how.
    """
    folder, first = datasets[0]
    problems = []
    for other, info in datasets[1:]:
        notes = [difference(first.features, info.features), *_other_names(first, info)]
        for name in ("fps", "robot_type"):
            if (found := getattr(info, name)) != (expected := getattr(first, name)):
                notes.append(f"{name} is {found!r} instead of {expected!r}")
        if text := "; ".join(filter(None, notes)):
            problems.append(f"{other}: {text}")
    if problems:
        raise UsageError(
            f"{len(problems)} of {len(datasets)} datasets",
            f"differ from {folder}\n    " + "\n    ".join(problems),
            "the same features, fps and robot_type",
            "remove them, or reconvert their recordings with one pipeline",
        )


def _other_names(first: DatasetInfo, info: DatasetInfo) -> Iterator[str]:
    """Say which features differ in names that `features` cannot hold: the order of joints may be in them."""
    for key in first.features.keys() & info.features.keys():
        expected, found = (side.lost_names.get(key, "null") for side in (first, info))
        if first.features[key].names == info.features[key].names and expected != found:
            yield other_names(key, printable(found), printable(expected))

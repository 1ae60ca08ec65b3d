"""Dataset info: properties that all episodes share, compared between datasets, and the input of a new dataset."""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ....core.errors import Damaged, RobotroveError, UsageError, in_utf8, naming_dataset, nearest, printable, some
from ....core.features import (
    DEFAULT_FEATURES,
    LISTS,
    Features,
    difference,
    lost_names,
    other_names,
    video_cameras,
    with_channels_last,
)
from ....manifests.run_info import RunInfo
from .. import paths_v30
from ..dataset_files import check_names
from ..features.feature_kind import kind_of
from .dataset import Dataset, Note
from .episode_location import EpisodeLocation
from .provenance import missing_origins

# Keys of info.json that the writers of both versions compute themselves, and one that makers of datasets compare.
_MADE = {
    *("codebase_version", "robot_type", "fps", "features", "splits", "data_path", "video_path"),
    *(f"total_{name}" for name in ("episodes", "frames", "tasks", "videos", "chunks")),
    *("chunks_size", "data_files_size_in_mb", "video_files_size_in_mb", "tools"),
}
_ENTRY, _ENCODING = {"dtype", "shape", "names"}, {"info", "video_info"}
_VALID = "valid"
_OWN_FLAG = "annotation.human.action.valid"  # the constant 1 in the pipelines evaltasks_*


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
        annotations: Columns of integers to what their numbers are: "tasks", "subtasks" or "values".
        tools: What annotations of LeRobot 0.6 may call, as in info.json; None for its default.
        feature_keys: Feature, also of the default five, to more keys of its entry in info.json.
        episode_columns: More columns of the episode metadata, see `shared_columns`.
    """

    features: Features
    fps: int
    robot_type: str | None
    run: Mapping[str, Any]
    video_info: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    lost_names: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    tools: Sequence[Any] | None = None
    feature_keys: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    episode_columns: pa.Schema = field(default_factory=lambda: pa.schema([]))

    @property
    def placed_features(self) -> Features:
        """The features with a mark on those that point into a list."""
        return marked(self.features, self.annotations)

    @property
    def camera_keys(self) -> list[str]:
        """Cameras stored as video."""
        return list(video_cameras(self.features))

    def with_names_of(self, other: DatasetInfo) -> DatasetInfo:
        """Return the properties with names from another dataset for features that have none here."""
        named, own = ({*i.lost_names, *(k for k, f in i.features.items() if f.names)} for i in (other, self))
        marks = (key for key, feature in other.features.items() if feature.points_into)
        keys = (named - own - set(marks)) & self.features.keys()
        features = {key: replace(self.features[key], names=other.features[key].names) for key in keys}
        lost = {key: names for key, names in other.lost_names.items() if key in keys}
        return replace(self, features=self.features | features, lost_names={**self.lost_names, **lost})

    @classmethod
    def of_run(cls, run: RunInfo) -> DatasetInfo:
        """Return the properties of the dataset that a run makes."""
        identity = {"run_digest": run.digest, "robotrove_version": run.version, "encoder_version": run.encoder}
        decided = {"annotations": dict(run.annotations)} if run.annotations else {}
        edited = {"edits": list(run.edits)} if run.edits else {}
        accepted = {"accepted_code": [*run.accepted_code, run.spec_digest]} if run.accepted_code else {}
        told = identity | decided | edited | accepted
        return cls(run.features, run.fps, run.robot_type, told, annotations=run.annotations)

    @classmethod
    def of_dataset(cls, dataset: Dataset) -> DatasetInfo:
        """Return the properties of a dataset on disk; raises Damaged if a new dataset cannot have them."""
        info = dataset.info
        text = json.dumps(info, ensure_ascii=False)
        if in_utf8(text) != text:
            raise Damaged(paths_v30.INFO, "holds half a character (\\ud800 to \\udfff), which UTF-8 cannot hold")
        features = {key: feature for key, feature in dataset.features.items() if key not in DEFAULT_FEATURES}
        check_names(features)
        for key, feature in dataset.cameras.items():
            if (made := with_channels_last(feature)) != feature:
                features[key] = made
                told = f"{key} of {paths_v30.INFO} has shape {list(feature.shape)} and names {feature.names}"
                dataset.note(f"{told}: written as {list(made.shape)} and {', '.join(made.names or ())}")
        robot_type = info.get("robot_type")
        if not isinstance(robot_type, str | None):
            raise Damaged(paths_v30.INFO, f"robot_type is {robot_type!r} instead of a text or null")
        described = info["features"]
        infos = {
            key: kind_of(feature).stored_info(described[key], f"{paths_v30.INFO}, feature {key}")
            for key, feature in features.items()
        }
        run = dataset.json(paths_v30.RUN) if (dataset.root / paths_v30.RUN).exists() else {}
        lost = {key: names for key in features if (names := lost_names(described[key]))}
        infos = {key: info for key, info in infos.items() if info}
        more = {
            key: {name: value for name, value in described[key].items() if name not in known and value is not None}
            for key in dataset.features
            for known in [_ENTRY | (_ENCODING if key in infos else set())]
        }
        annotations = recorded_annotations(dataset)
        return cls(features, dataset.fps, robot_type, run, infos, lost, annotations, feature_keys=more)


def input_episodes(
    dataset: Dataset, note: Note, skipped: Container[int] = (), dropped: Container[str] = ()
) -> Iterator[EpisodeLocation]:
    """Yield the episodes of a dataset as `measured` does, and note what a new dataset changes or drops.

    Raises:
        RobotroveError: As `measured`, or if a new dataset cannot have its tasks or info.json.
    """
    info = DatasetInfo.of_dataset(dataset)
    _ = dataset.tasks  # refused now if the numbers in the rows do not lead to a text each
    sentences: list[str] = []
    count = 0
    for location in dataset.measured(skipped, dropped):
        yield location
        count += 1
    sentences += [f"not in the output: {', '.join(absent)}" for absent in dataset.absent.items()]
    sentences += dataset.notes
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
        named, own = first.with_names_of(info), info.with_names_of(first)
        notes = [difference(named.features, own.features), *_other_names(named, own), *_other_settings(first, info)]
        for name in ("fps", "robot_type"):
            if (found := getattr(info, name)) != (expected := getattr(first, name)):
                notes.append(f"{name} is {found!r} instead of {expected!r}")
        if text := "; ".join(filter(None, notes)):
            problems.append(f"{other}: {text}")
        first = named
    if problems:
        raise UsageError(
            f"{len(problems)} of {len(datasets)} datasets",
            f"differ from {folder}\n    " + "\n    ".join(problems),
            "the same features, fps and robot_type",
            "remove them, or reconvert their recordings with one pipeline",
        )


def _other_settings(first: DatasetInfo, info: DatasetInfo) -> Iterator[str]:
    """Say which cameras need other settings to be read."""
    for key in first.features.keys() & info.features.keys():
        expected, found = (kind_of(side.features[key]).settings(side.video_info.get(key, {})) for side in (first, info))
        for name in expected.keys() & found.keys():
            if found[name] != expected[name]:
                yield f"{key} has {name} {found[name]!r} instead of {expected[name]!r}"


def _other_names(first: DatasetInfo, info: DatasetInfo) -> Iterator[str]:
    """Say which features differ in names that `features` cannot hold: the order of joints may be in them."""
    for key in first.features.keys() & info.features.keys():
        expected, found = (side.lost_names.get(key, "null") for side in (first, info))
        if first.features[key].names == info.features[key].names and expected != found:
            yield other_names(key, printable(found), printable(expected))


def marked(features: Features, annotations: Mapping[str, str]) -> Features:
    """Return features with a mark on those that point into a list, see `DatasetInfo.annotations`."""
    marks = {key: (LISTS[what],) for key, what in annotations.items() if what in LISTS}
    return {key: replace(feature, names=marks.get(key, feature.names)) for key, feature in features.items()}


def recorded_annotations(dataset: Dataset) -> dict[str, str]:
    """Return what the run that made a dataset knew of its annotations, see `DatasetInfo.annotations`."""
    with suppress(Damaged):
        found = dataset.json(paths_v30.RUN).get("annotations")
        if isinstance(found, dict):
            return {key: what for key, what in found.items() if what in (*LISTS, "values")}
    return {}


def annotation_columns(dataset: Dataset) -> list[str]:
    """Return the columns of integers that may hold numbers of tasks: by their name, a mark, or modality.json."""
    known, named = recorded_annotations(dataset), _named_by_modality(dataset)
    return [
        key
        for key, feature in dataset.features.items()
        if feature.is_integer and key not in DEFAULT_FEATURES and known.get(key) != "values"
        if key.startswith("annotation.") or key in named or key in known or feature.points_into
    ]


def _named_by_modality(dataset: Dataset) -> set[str]:
    """Return the columns that GR00T N1 to N1.7 look up in the tasks."""
    with suppress(Damaged):
        section = dataset.json("meta/modality.json").get("annotation")
        named = section.items() if isinstance(section, dict) else ()
        entries = ((key, entry) for key, entry in named if isinstance(entry, dict))
        return {str(entry.get("original_key", f"annotation.{key}")) for key, entry in entries}
    return set()


def decided_annotations(
    datasets: Sequence[Dataset], given: Mapping[str, str], skipped: Container[int] = ()
) -> tuple[dict[str, str], list[str]]:
    """Return what the numbers of annotation columns are, alike in all datasets, and notes on it.

    Args:
        datasets: The datasets, with the same features.
        given: Column to "tasks" or "values", as the user decided.
        skipped: Positions of episodes of each dataset that do not matter; their rows are not read.

    Raises:
        UsageError: Naming each column in doubt with datasets, numbers and the options that decide.
    """
    features = datasets[0].features
    integers = [key for key in features if features[key].is_integer and key not in DEFAULT_FEATURES]
    if strange := [key for key in given if key not in integers]:
        told = f"is not a column of integers{nearest(strange[0], integers)}"
        raise UsageError(
            f"annotations: {printable(strange[0])}", told, f"columns of integers: {', '.join(integers) or 'none'}"
        )
    columns = [*given]
    for dataset in datasets:
        with naming_dataset(dataset.root):
            columns += [*recorded_annotations(dataset), *annotation_columns(dataset)]
            columns += [LISTS["subtasks"]] if dataset.subtasks else []
    decided: dict[str, str] = {}
    notes, doubts, todo = [], [], []
    for key in (key for key in dict.fromkeys(columns) if key in integers):
        found = []
        for dataset in datasets:
            with naming_dataset(dataset.root):
                found.append(_meaning(dataset, key, given.get(key, ""), skipped))
        if "" in (meanings := {what for what, _ in found}) or len(meanings) > 1:
            doubts += [f"{key} of {dataset.root}: {why}" for dataset, (_, why) in zip(datasets, found, strict=True)]
            todo.append(key)
            continue
        if not all(dataset.features[key].points_into for dataset in datasets):
            [decided[key]] = meanings
        if why := found[0][1] if meanings == {"values"} else "":
            notes.append(printable(f"{key} is copied unchanged: {why}"))
        if skipped and meanings == {"tasks"} and key not in given:
            notes += [note for dataset in datasets if (note := _renumbered_note(dataset, key))]
    named = {name for dataset in datasets for name in _named_by_modality(dataset)}
    for key, feature in features.items():
        if feature.dtype.startswith("float") and (key.startswith("annotation.") or key in named):
            told = f"{key} is copied unchanged: it holds {feature.dtype}, and only integers are numbers of tasks"
            notes.append(printable(told))
    if doubts:
        raise UsageError(
            "annotations",
            "their numbers may be those of tasks, or values\n    " + "\n    ".join(map(printable, doubts)),
            "numbers of tasks in every dataset, or values in every dataset",
            f"{' '.join(f'--annotation {key}=values' for key in todo)} copies the numbers (in a pipeline: annotations: "
            f"{{{', '.join(f'{key}: values' for key in todo)}}} of the block)"
            + "".join(
                f"; --annotation {key}=tasks renumbers them" for key in todo if _can_be_tasks(datasets, key, skipped)
            ),
        )
    return decided, notes


def _meaning(dataset: Dataset, key: str, given: str, skipped: Container[int]) -> tuple[str, str]:
    """Return what the numbers of a column are, empty if in doubt, and why."""
    what = given or recorded_annotations(dataset).get(key, "")
    if what == "values":
        return what, ""
    name = "subtasks" if key == LISTS["subtasks"] else "tasks"
    if name == "subtasks" and not dataset.subtasks:
        return "values", f"it has no {paths_v30.SUBTASKS}"
    numbers, tasks = _numbers(dataset, key, skipped), dataset.task_numbers
    known = set(range(len(dataset.subtasks))) if name == "subtasks" else tasks
    valid = {number for number in tasks if dataset.tasks[number].strip().lower() == _VALID}
    is_flag = key.endswith((_VALID, "validity")) and not what and not dataset.features[key].points_into
    if is_flag and not valid:
        return "values", f'it is a flag, and no task is called "{_VALID}"'
    if key == _OWN_FLAG and is_flag and numbers == {1} and 1 not in valid:
        return "values", "it is the flag that robotrove wrote until 0.2.1"
    if outside := numbers - known:
        return "", f"{some(outside)} {'is' if len(outside) == 1 else 'are'} not in its {name} ({some(known)})"
    return name, f"all of {some(numbers)} are numbers of its {name}"


def _renumbered_note(dataset: Dataset, key: str) -> str:
    """Say that the episodes that do not matter have numbers of no task, where their rows can be read."""
    with suppress(RobotroveError):
        if outside := _numbers(dataset, key, ()) - dataset.task_numbers:
            told = f"episodes that are not taken have {some(outside)}, which are not in its tasks"
            return printable(
                f"{key} is renumbered with the tasks; {told}: --annotation {key}=values copies the numbers"
            )
    return ""


def _can_be_tasks(datasets: Iterable[Dataset], key: str, skipped: Container[int]) -> bool:
    """Return True if each dataset has a task for every number of a column."""
    for dataset in datasets:
        with naming_dataset(dataset.root):
            if _meaning(dataset, key, "tasks", skipped)[0] in ("", "values"):
                return False
    return True


def _numbers(dataset: Dataset, key: str, skipped: Container[int]) -> set[int]:
    found: set[int] = set()
    measured = enumerate(dataset.measured(skipped, dataset.video_keys)) if skipped else ()  # opens no video
    taken = (dataset.rows([key], at) for position, at in measured if position not in skipped)
    for batch in chain.from_iterable(taken) if skipped else dataset.rows([key]):
        found.update(np.unique(batch[key]).tolist())
    return found

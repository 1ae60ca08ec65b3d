"""modality.json and annotation columns, as one release of GR00T reads them."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ...core.errors import ConfigError, Problem, nearest, printable
from ...core.features import DEFAULT_FEATURES, Features, cameras, video_cameras
from ...formats.lerobot.datasets.dataset_v21 import DatasetV21
from ...formats.lerobot.features.feature_kind import FeatureKind, kind_of
from ...formats.lerobot.gr00t import modality
from ...manifests.robot import robots_of_type
from ..check import Check, Diagnostic, Repeated
from .gr00t_release import Release, holds_lists

# RotationType in N1 and N1.5, gr00t/data/schema.py.
_ROTATIONS = (
    *("axis_angle", "quaternion", "rotation_6d", "matrix"),
    *(f"euler_angles_{order}" for order in ("rpy", "ryp", "pry", "pyr", "yrp", "ypr")),
)

_MEND = "`annotator: {columns: [annotation.human.task_description]}` among the steps writes such a column"


class ModalityCheck(Check[DatasetV21]):
    """Every name stands for a part of a vector, a video or a column of instructions that is there.

    N1 and N1.5 read all entries of states, actions and cameras when they open the dataset
    (`_get_metadata`, `LeRobotModalityMetadata`); N1.6 and N1.7 read those that their configuration
    names, and take what a slice of a list gives, however short.
    """

    name = "modality"

    def __init__(self, release: Release) -> None:
        self._release = release

    def run(self, dataset: DatasetV21, *, deep: bool) -> Iterator[Diagnostic]:
        """Yield what this release refuses or reads wrong."""
        if not (dataset.root / modality.MODALITY).exists():
            told = f"does not exist: {self._release.title} refuses the dataset"
            yield self.error(modality.MODALITY, f"{told}; {written(dataset)}")
            return
        content = dataset.json(modality.MODALITY)
        yield from self.of_content(content, dataset.features, written(dataset))
        for entry, column, feature in self._release.columns(dataset, *modality.VECTORS):
            is_part = not modality.slice_problem(entry, column, feature)
            if self._release == Release.N1 and is_part and not holds_lists(dataset, column):
                told = f"{column} holds numbers, and GR00T N1 takes only lists (N1.5 takes both)"
                yield self.error(entry.place, f"{told}; `downgrader: {{reference_exact: true}}` writes lists")

    def of_content(self, content: Mapping[str, Any], features: Features, fix: str) -> Iterator[Diagnostic]:
        """Yield what this release refuses or reads wrong, as far as the columns alone tell.

        Args:
            content: Content of a modality.json.
            features: Columns of the dataset.
            fix: What writes a modality.json that fits.
        """
        for section in modality.SECTIONS:
            if content.get(section) is None and section != "annotation":
                told = f"is missing: {self._release.title} refuses the dataset"
                yield self.error(f"{modality.MODALITY}, {section}", f"{told}; {fix}")
        if content.get("video") == {}:
            # The loaders open it; what they give to the policy has no pictures to stack (`_get_vlm_inputs` in N1.6
            # and N1.7, gr00t/model/…/processing_*.py; `data["video"]` in N1 and N1.5, gr00t/model/transforms.py).
            told = f"names no camera, but {self._release.title} trains on pictures"
            yield self.error(f"{modality.MODALITY}, video", f"{told}; `robotrove run` makes videos of all cameras")
        if content.get("annotation") in (None, {}):
            yield self._silent()
        yield from (self.error(place, f"{problem}; {fix}") for place, problem in modality.misfits(content))
        for entry in modality.entries(content):
            yield from (self.error(entry.place, problem) for problem in self._problems(entry, features, fix))

    def _silent(self) -> Diagnostic:
        """Return the finding for no annotation at all."""
        place, title = f"{modality.MODALITY}, annotation", self._release.title
        line = '"annotation": {"human.task_description": {"original_key": "task_index"}}'
        if self._release.is_typed:
            # `language_keys` of every class in gr00t/experiment/data_config.py; `_check_integrity` looks for them.
            return self.error(place, f"is missing, but every data configuration of {title} names one; add {line}")
        told = f'is missing: {title} finds instructions only by the language key "task"'
        return self.warning(place, f"{told}; add {line}")

    def _problems(self, entry: modality.ModalityEntry, features: Features, fix: str) -> Iterator[str]:
        column = self._release.column(entry)
        feature = features.get(column) if isinstance(column, str) else None
        if feature is None:
            is_given = "original_key" in entry.content
            told = "original_key is" if is_given else f"has no original_key, so {self._release.title} reads"
            yield f"{told} {column!r}, which is missing in info.json{_instead(entry, column, features)}"
        elif entry.section in modality.VECTORS:
            if problem := modality.slice_problem(entry, column, feature):
                yield f"{problem}; {fix}"
        elif entry.section == "video" and column not in video_cameras(features):
            line = (
                "`robotrove run` makes videos of all cameras"
                if column in cameras(features)
                else _instead(entry, column, features)[2:]
            )
            yield f"original_key is {column!r}, which is {feature} and no video; {line}"
        if self._release.is_typed and entry.section in modality.VECTORS:
            yield from _mistyped(entry, self._release.title)


def check_modality(source: str, content: Mapping[str, Any], features: Features) -> None:
    """Refuse a modality.json that a release of GR00T would refuse or read wrong, before it is written.

    A file that all releases take costs its author no more than one for a single release: a column for every key, and
    fields that N1 and N1.5 know.

    Args:
        source: Name of the file.
        content: Its content.
        features: Columns of the dataset.

    Raises:
        ConfigError: With all errors, in the words of `robotrove verify --for`.
    """
    features = features | DEFAULT_FEATURES
    problems: dict[str, dict[str, None]] = {}
    for release in reversed(Release):  # of releases with the same objection the first is named
        found: dict[str, dict[str, None]] = {}
        for one in ModalityCheck(release).of_content(content, features, "a robot's manifest gives one that fits"):
            if one.severity == "error":
                found.setdefault(one.where.removeprefix(f"{modality.MODALITY}, "), {})[one.message] = None
        problems |= found
    for entry in modality.entries({"annotation": content.get("annotation")}):
        feature = features.get(str(Release.N1.column(entry)))
        if feature is not None and (problem := _no_numbers(kind_of(feature))):
            problems.setdefault(f"annotation.{entry.key}", {})[problem] = None
    if problems:
        told = [f"{place}: {problem}" for place, found in problems.items() for problem in found]
        raise ConfigError(source, [Problem(0, printable(text)) for text in told])


def written(dataset: DatasetV21) -> str:
    """Say what writes modality.json; the robot is named where robot_type tells it."""
    robots = [robot.name for robot in robots_of_type(dataset.info.get("robot_type"))]
    options = f"--gr00t --robot {robots[0] if len(robots) == 1 else 'ROBOT'}"
    options += " --replace" * (dataset.root / modality.MODALITY).exists()
    command = f"robotrove stats {shlex.quote(str(dataset.root))} {options}"
    return f"`{command}` writes it (in a pipeline, `gr00t_files` after `downgrader`)"


def _instead(entry: modality.ModalityEntry, column: Any, features: Features) -> str:
    """Return what to write for a column that cannot be used."""
    fitting = [key for key in features if _fits(entry, key, features)]
    usual = [
        key for key in (f"observation.images.{entry.key}", *modality.VECTORS.get(entry.section, ())) if key in fitting
    ]
    if usual or len(fitting) == 1:
        return f'; write "original_key": "{(usual or fitting)[0]}"'
    return f"{nearest(str(column), fitting)}; write the original_key of {', '.join(fitting) or 'one that there is'}"


def _fits(entry: modality.ModalityEntry, key: str, features: Features) -> bool:
    if entry.section == "video":
        return key in video_cameras(features)
    if entry.section == "annotation":
        return features[key].dtype == "int64"
    return not modality.slice_problem(entry, "", features[key])


def _mistyped(entry: modality.ModalityEntry, title: str) -> Iterator[str]:
    """Yield fields that `LeRobotStateActionMetadata` refuses, and a dtype that numpy does not know."""
    content = entry.content
    rotation, absolute, bounds = content.get("rotation_type"), content.get("absolute", True), content.get("range")
    if rotation is not None and rotation not in _ROTATIONS:
        yield f"rotation_type is {rotation!r}, which {title} refuses; write null or one of {', '.join(_ROTATIONS)}"
    if not isinstance(absolute, bool):
        yield f"absolute is {absolute!r}, which {title} refuses; write true or false"
    is_pair = isinstance(bounds, list) and len(bounds) == 2 and all(type(value) in (int, float) for value in bounds)
    if bounds is not None and not is_pair:
        yield f"range is {bounds!r}, which {title} refuses; write null or two numbers"
    try:
        np.dtype(content.get("dtype", "float64"))
    except (TypeError, ValueError):
        yield f'dtype is {content["dtype"]!r}, which {title} refuses; write "float64"'


class AnnotationsCheck(Check[DatasetV21]):
    """Every row of every annotation is the task_index of a line of tasks.jsonl.

    `get_language` in N1 and N1.5, which take lists of one number too; `_load_parquet_data` in N1.6 and
    N1.7, which look the value itself up, and fail on a list. A configuration names one annotation:
    where another one is right, a wrong one is a warning.
    """

    name = "annotations"

    def __init__(self, release: Release) -> None:
        self._release = release

    def run(self, dataset: DatasetV21, *, deep: bool) -> Iterator[Diagnostic]:
        """Yield columns that are no instructions."""
        columns = self._release.columns(dataset, "annotation")
        found = [list(self._column(dataset, column, f"{entry.place} ({column})")) for entry, column, _ in columns]
        told = self.error if all(found) else self.warning
        yield from (told(finding.where, finding.message) for findings in found for finding in findings)

    def _column(self, dataset: DatasetV21, column: str, place: str) -> Iterator[Diagnostic]:
        kind = dataset.kinds[column]
        if problem := _no_numbers(kind):
            yield self.error(place, problem)
            return
        if not self._release.is_typed and holds_lists(dataset, column):
            yield self.error(place, f"holds lists of one number, on which {self._release.title} fails; {_MEND}")
            return
        lines = [line.get("task_index") for _, line in dataset.json_lines(dataset.tasks_path)]
        known = np.array([number for number in lines if type(number) is int], np.float64)
        faults = Repeated(self)
        for data in dataset.data_files():
            for first, batch in dataset.row_batches(data.path, (column,)):
                values = kind.values(batch[column], f"{data.path}, column {column}")[:, 0]
                if (wrong := np.flatnonzero(~np.isin(values, known))).size:
                    told = f"is {values[wrong[0]]!s}, which is not a task_index of tasks.jsonl"
                    where = f"{place}, {data.path}, row {first + wrong[0]}"
                    faults.note(column, where, f"{told}: {self._release.title} fails; {_MEND}")
                    break  # one per file
        yield from faults.findings()


def _no_numbers(kind: FeatureKind) -> str:
    """Say that an annotation holds no numbers of tasks; empty if it may."""
    is_number = kind.feature.shape == (1,) and kind.numpy_kind in ("i", "u", "f")
    return "" if is_number else f"is {kind.feature} instead of one whole number; {_MEND}"

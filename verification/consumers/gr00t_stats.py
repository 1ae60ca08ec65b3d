"""stats.json and relative_stats.json, as one release of GR00T reads them."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import UsageError
from ...formats.lerobot import paths_v30
from ...formats.lerobot.datasets.dataset import Dataset
from ...formats.lerobot.datasets.dataset_v21 import DatasetV21
from ...formats.lerobot.gr00t.gr00t_stats import GR00T_KEYS
from ...formats.lerobot.gr00t.modality import MODALITY, entries, slice_of
from ...formats.lerobot.gr00t.relative_actions import (
    RELATIVE_KEYS,
    RELATIVE_STATS,
    ActionPart,
    RelativeAction,
    relative_stats,
)
from ...formats.lerobot.stats.stats_comparison import beyond_float32
from ...formats.training.gr00t_training import kept_statistics
from ...manifests.robot import robots_of_type
from ..check import Check, Diagnostic
from ..dataset.gr00t_files import unusable_for
from .gr00t_release import Release

_AXES = 2  # offsets and values


class Gr00tStatsCheck(Check[DatasetV21]):
    """Statistics that the release uses as they are, recomputes, or refuses.

    N1 and N1.5 (`_get_metadata`, `calculate_dataset_statistics`): every entry of the file needs the
    six keys, else all columns are computed, which fails on pictures, on lists of lists and, in N1, on
    texts; then every statistic of a column in use is cut like the column, also one that is no vector
    of its length. N1.6 and N1.7 (`generate_stats`, `check_stats_validity`): every feature with a dtype that
    contains "float" needs the six keys, else these are computed; open-loop evaluation uses the loader
    alone, which needs the file.
    """

    name = "stats"

    def __init__(self, release: Release) -> None:
        self._release = release

    def run(self, dataset: DatasetV21, *, deep: bool) -> Iterator[Diagnostic]:
        """Yield what is wrong with the file."""
        if not (dataset.root / paths_v30.STATS).exists():
            yield self._computed(dataset, paths_v30.STATS, "does not exist")
            return
        content = dataset.json(paths_v30.STATS)
        if incomplete := next(self._incomplete(dataset, content), None):
            yield self._computed(dataset, *incomplete)
            return
        ends: dict[str, tuple[int, str]] = {}
        for entry, column, _ in self._release.columns(dataset, "state", "action"):
            _, end = slice_of(entry) or (0, 0)
            ends[column] = max(ends.get(column, (0, "")), (end, f"{entry.section}.{entry.key}"))
        for column, (end, name) in ends.items():
            place, found, fix = f"{paths_v30.STATS}, {column}", content.get(column), f"{with_stats(dataset)} writes it"
            if not isinstance(found, dict):
                yield self.error(place, f"is missing, and {self._release.title} needs it for {name}; {fix}")
                continue
            problems = [f"{key} is null" for key in GR00T_KEYS if found[key] is None]
            problems += unusable_for(dataset, column, {key: found[key] for key in GR00T_KEYS})
            problems += self._uncut(found, end, name)
            yield from (self.error(place, f"{problem}; {fix}") for problem in problems)

    def _incomplete(self, dataset: DatasetV21, content: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Yield (place, problem) of entries for which this release recomputes the file."""
        typed = self._release.is_typed
        keys = content if typed else [key for key, feature in dataset.features.items() if "float" in feature.dtype]
        for key in keys:
            entry = content.get(key)
            if not isinstance(entry, dict):
                yield f"{paths_v30.STATS}, {key}", "is not an object" if key in content else "is missing"
            elif missing := [name for name in GR00T_KEYS if name not in entry or (typed and entry[name] is None)]:
                yield f"{paths_v30.STATS}, {key}", f"has no {', '.join(missing)}"

    def _computed(self, dataset: DatasetV21, where: str, problem: str) -> Diagnostic:
        title, command = self._release.title, with_stats(dataset)
        in_use = {column for _, column, _ in self._release.columns(dataset, "state", "action")}
        hopeless = [key for key in dataset.row_features if self._cannot_compute(dataset, key, key in in_use)]
        if hopeless:
            told = f"{title} would recompute the file, but cannot for {', '.join(hopeless)}"
            return self.error(where, f"{problem}: {told}; {command} writes what it takes")
        when = "when it opens the dataset" if self._release.is_typed else "before training; open-loop evaluation fails"
        return self.warning(where, f"{problem}: {title} recomputes the file {when}; {command} does it now")

    def _cannot_compute(self, dataset: DatasetV21, key: str, is_in_use: bool) -> bool:
        feature = dataset.features[key]
        if not self._release.is_typed and "float" not in feature.dtype:
            return is_in_use
        return (key not in dataset.numeric_features and self._release == Release.N1) or len(feature.shape) > 1

    def _uncut(self, found: Mapping[str, Any], end: int, name: str) -> Iterator[str]:
        """Yield further statistics, such as LeRobot's count, that cannot be cut like the six."""
        for key, value in found.items():
            is_short = self._release.is_typed and isinstance(value, list) and len(value) < end
            if key not in GR00T_KEYS and (is_short or not isinstance(value, list)):
                told = f"{key} is {value!r}, and cut for {name} like the others, up to {end}"
                yield f"{told}: {self._release.title} fails"


class CheckpointStatsCheck(Check[DatasetV21]):
    """Statistics that N1.6 keeps from its checkpoint for the tag of the robot: those of the dataset have no effect.

    `set_statistics` of its processor, with `override_pretraining_statistics=False`.
    """

    name = "checkpoint_stats"

    def run(self, dataset: DatasetV21, *, deep: bool) -> Iterator[Diagnostic]:
        """Yield a warning for a robot with a tag of the pretraining."""
        for robot in robots_of_type(dataset.info.get("robot_type")):
            published = robot.gr00t.published("n1.6")
            if told := kept_statistics("n1.6", published.tag if published else robot.gr00t.tags.get("n1.6", "")):
                yield self.warning(f"{paths_v30.STATS}, robot {robot.name}", told)


class RelativeStatsCheck(Check[DatasetV21]):
    """Relative statistics that belong to the actions of modality.json and, as far as visible, to the rows.

    `generate_rel_stats` in gr00t/data/stats.py: an action that the file has is not computed. Which
    offsets and which state an action is relative to is the configuration's: the usual ones are tried.
    """

    name = "relative_stats"

    def __init__(self, release: Release) -> None:
        self._release = release

    def run(self, dataset: DatasetV21, *, deep: bool) -> Iterator[Diagnostic]:
        """Yield what is stale."""
        if not (dataset.root / RELATIVE_STATS).exists() or not (dataset.root / MODALITY).exists():
            return
        parts = {
            (entry.section, entry.key): ActionPart(column, *bounds)
            for entry in entries(dataset.json(MODALITY))
            if isinstance(column := self._release.column(entry), str) and (bounds := slice_of(entry))
        }
        fix = (
            f"{self._release.title} keeps it as it is; "
            f"`robotrove stats {shlex.quote(str(dataset.root))} --relative CONFIG` rewrites the file"
        )
        for key, found in dataset.json(RELATIVE_STATS).items():
            place, action = f"{RELATIVE_STATS}, {key}", parts.get(("action", key))
            if action is None:
                yield self.warning(place, f"is not an action of modality.json: {fix}")
                continue
            values = _values(found)
            shapes = {value.shape for value in values.values()}
            if len(values) < len(RELATIVE_KEYS) or len(shapes) != 1 or not _is_of(action, shape := shapes.pop()):
                told = f"is not {', '.join(RELATIVE_KEYS)} of {action.end - action.start} values for each offset"
                yield self.error(place, f"{told}, which the action has in modality.json: {fix}")
            elif (state := parts.get(("state", key))) and len(shape) == _AXES:
                usual = RelativeAction(key, action, state, tuple(range(shape[0])))
                if problem := _difference(dataset, usual, values):
                    yield self.warning(place, f"{problem}: stale, or of poses or other offsets. {fix}")


def _values(found: Any) -> dict[str, NDArray[np.float64]]:
    try:
        return {name: np.array(found[name], np.float64) for name in RELATIVE_KEYS}
    except (KeyError, TypeError, ValueError):
        return {}


def _is_of(action: ActionPart, shape: tuple[int, ...]) -> bool:
    """True for (H, D), and for (H, 4, 4), which poses have by default."""
    return (len(shape) == _AXES and shape[1] == action.end - action.start) or shape[1:] == (4, 4)


def _difference(dataset: DatasetV21, action: RelativeAction, found: Mapping[str, NDArray[np.float64]]) -> str:
    """Say how statistics differ from those of plain differences with the state of the same name."""
    if action.action.end - action.action.start != action.state.end - action.state.start:
        return ""
    files = [dataset.opened(dataset.data_file(number)) for number in dataset.numbers.tolist()]
    try:
        expected = relative_stats(files, [action])[action.key]
    except UsageError:
        return f"no episode has more than the {len(action.deltas)} frames that it has offsets"
    exact = {name: np.array(values) for name, values in expected.items()}
    for name in ("min", "max", "mean", "std"):
        wrong = beyond_float32(name, found[name], exact, int(dataset.starts[-1]))
        if wrong.any():
            at = tuple(np.argwhere(wrong)[0].tolist())
            own = exact[name][at]
            told = f"{name}{list(at)} is {found[name][at]:.6g}, but actions less state.{action.key} give {own:.6g}"
            return f"{told} for offsets 0 to {action.deltas[-1]}"
    return ""


def with_stats(dataset: Dataset) -> str:
    """Return the command that writes the statistics that GR00T reads."""
    return f"`robotrove stats {shlex.quote(str(dataset.root))} --gr00t`"

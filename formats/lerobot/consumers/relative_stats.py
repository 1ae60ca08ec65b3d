"""relative_stats.json: GR00T N1.6 and N1.7 keep what they find there, whatever it was computed from."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....core.errors import UsageError
from ..checks.base import Check, Finding
from ..datasets.dataset_v21 import DatasetViewV21
from ..gr00t.modality import MODALITY, entries, slice_of
from ..gr00t.relative_actions import RELATIVE_KEYS, RELATIVE_STATS, Part, RelativeAction, relative_stats
from .gr00t_release import Release

_AXES = 2  # offsets and values
_TOLERANCE = 1e-4  # of the largest value: statistics in float32


class RelativeStatsCheck(Check[DatasetViewV21]):
    """What is there belongs to the actions of modality.json and, where that can be seen, to the rows.

    `generate_rel_stats` in gr00t/data/stats.py: an action that the file has is not computed. Which
    offsets and which state an action is relative to is the configuration's: the usual ones are tried.
    """

    name = "relative_stats"

    def __init__(self, release: Release) -> None:
        self._release = release

    def run(self, dataset: DatasetViewV21, *, deep: bool) -> Iterator[Finding]:
        """Yield what is stale."""
        if not (dataset.root / RELATIVE_STATS).exists() or not (dataset.root / MODALITY).exists():
            return
        parts = {
            (entry.section, entry.key): Part(column, *bounds)
            for entry in entries(dataset.json(MODALITY))
            if isinstance(column := self._release.column(entry), str) and (bounds := slice_of(entry))
        }
        mend = (
            f"{self._release.title} keeps it as it is; "
            f"`robotrove stats {shlex.quote(str(dataset.root))} --relative CONFIG` writes the file anew"
        )
        for key, found in dataset.json(RELATIVE_STATS).items():
            place, action = f"{RELATIVE_STATS}, {key}", parts.get(("action", key))
            if action is None:
                yield self.warning(place, f"is no action of modality.json: {mend}")
                continue
            values = _values(found)
            shapes = {value.shape for value in values.values()}
            if len(values) < len(RELATIVE_KEYS) or len(shapes) != 1 or not _is_of(action, shape := shapes.pop()):
                told = f"is not {', '.join(RELATIVE_KEYS)} of {action.end - action.start} values for each offset"
                yield self.error(place, f"{told}, which the action has in modality.json: {mend}")
            elif (state := parts.get(("state", key))) and len(shape) == _AXES:
                usual = RelativeAction(key, action, state, tuple(range(shape[0])))
                if problem := _difference(dataset, usual, values):
                    yield self.warning(place, f"{problem}: stale, or of poses or other offsets. {mend}")


def _values(found: Any) -> dict[str, NDArray[np.float64]]:
    try:
        return {name: np.array(found[name], np.float64) for name in RELATIVE_KEYS}
    except (KeyError, TypeError, ValueError):
        return {}


def _is_of(action: Part, shape: tuple[int, ...]) -> bool:
    """True for (H, D), and for (H, 4, 4), which poses have by default."""
    return (len(shape) == _AXES and shape[1] == action.end - action.start) or shape[1:] == (4, 4)


def _difference(dataset: DatasetViewV21, action: RelativeAction, found: Mapping[str, NDArray[np.float64]]) -> str:
    """Say how statistics differ from those of plain differences with the state of the same name."""
    if action.action.end - action.action.start != action.state.end - action.state.start:
        return ""
    files = [dataset.opened(dataset.data_file(number)) for number in dataset.numbers.tolist()]
    try:
        expected = relative_stats(files, [action])[action.key]
    except UsageError:
        return f"no episode has more than the {len(action.deltas)} frames that it has offsets"
    for name in ("min", "max", "mean"):
        own = np.array(expected[name])
        wrong = ~(np.abs(found[name] - own) <= _TOLERANCE * max(np.abs(own).max(), 1))
        if wrong.any():
            at = tuple(np.argwhere(wrong)[0].tolist())
            told = f"{name}{list(at)} is {found[name][at]:.6g}, but actions less state.{action.key} give {own[at]:.6g}"
            return f"{told} for offsets 0 to {action.deltas[-1]}"
    return ""

"""meta/relative_stats.json as GR00T (NVIDIA Isaac-GR00T, N1.6 and N1.7) writes it: statistics of relative actions.

A sample is one frame: the actions at its offsets, each relative to the state at the first of them
(gr00t/data/stats.py; the offsets and what is relative are GR00T's modality configuration).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import Damaged, UsageError
from .float32_stats import Table, finite_float32, float32_stats
from .number_columns import column_batches
from .relative_actions import RelativeAction

RELATIVE_STATS = "meta/relative_stats.json"
RELATIVE_KEYS = ("max", "min", "q01", "q99", "mean", "std")

_FRAMES = 4096  # samples are some offsets times larger than the frames: those of long episodes are made in pieces


def relative_stats(files: Sequence[Path], actions: Sequence[RelativeAction]) -> dict[str, dict[str, Any]]:
    """Return the statistics of relative actions over all samples, as GR00T computes them.

    Differences are taken in float64 and cast to float32; then see `float32_stats`. Poses may differ
    from GR00T's by 1e-6 (see `relative_poses`). Memory holds the columns of one
    episode; the files are read some five times.

    Args:
        files: One per episode, in the order of episodes.jsonl.
        actions: What is relative to what.

    Returns:
        Keys, sorted, to RELATIVE_KEYS, in this order, to (H, D) as lists.

    Raises:
        Damaged: If a file cannot be read, lacks a column, or has rows that are no numbers or too short.
        UsageError: If no episode is long enough for a sample.
    """
    columns = sorted({part.column for action in actions for part in (action.action, action.state)})

    def batches() -> Iterator[dict[str, Table]]:
        for file in files:
            parts = list(column_batches(file, columns))
            if columns and parts:
                episode = {name: np.concatenate([part[name] for part in parts]) for name in columns}
                for first in range(0, len(episode[columns[0]]), _FRAMES):
                    yield {action.key: _samples(action, episode, first, file) for action in actions}

    by_key = {action.key: action for action in sorted(actions, key=lambda action: action.key)}
    found = float32_stats(batches, list(by_key))
    for key, action in by_key.items():
        if key not in found:
            raise UsageError(
                f"action {key}",
                f"none of {len(files)} episodes has more than {action.deltas[-1]} frames",
                f"episodes with a frame at each of the offsets {action.deltas[0]} to {action.deltas[-1]}",
                "take fewer offsets, or longer episodes",
            )
    return {
        key: {name: found[key][name].reshape(action.shape).tolist() for name in RELATIVE_KEYS}
        for key, action in by_key.items()
    }


def _samples(action: RelativeAction, episode: dict[str, NDArray[Any]], first: int, file: Path) -> Table:
    frames = slice(first, first + _FRAMES + action.deltas[-1])
    values = []
    for part in (action.action, action.state):
        rows = episode[part.column]
        if rows.shape[1] < part.end:
            where = f"{file.name}, column {part.column}"
            raise Damaged(where, f"rows have {rows.shape[1]} values; {action.key} needs {part.start} to {part.end}")
        values.append(rows[frames, part.start : part.end])
    return finite_float32(action.samples(*values), f"{file.name}, action {action.key}")

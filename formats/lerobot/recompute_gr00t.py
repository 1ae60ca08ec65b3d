"""The files of statistics that GR00T reads beside those of LeRobot v2.1: computed, compared, written aside."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .gr00t_stats import data_files, gr00t_columns, gr00t_stats
from .modality import MODALITY
from .paths import STATS
from .relative_config import read_actions
from .relative_stats import RELATIVE_STATS, relative_stats
from .stats_differences import Difference
from .view_v21 import DatasetViewV21

_POSES = 1e-6  # what GR00T's own statistics of relative poses may differ by


def gr00t_files(view: DatasetViewV21, *, gr00t: bool, relative: Path | None) -> dict[str, dict[str, Any]]:
    """Return the files that are asked for, with what should be in them.

    Args:
        view: The dataset.
        gr00t: True for meta/stats.json.
        relative: For meta/relative_stats.json: which actions are relative, see `relative_config.read_actions`.

    Raises:
        ConfigError, Damaged, UsageError: As `gr00t_stats` and `relative_stats`.
    """
    content: dict[str, dict[str, Any]] = {}
    if gr00t:
        content[STATS] = gr00t_stats(data_files(view.root), gr00t_columns(view.root))
    if relative is not None:
        files = [view.root / view.data_file(number) for number in view.numbers.tolist()]
        content[RELATIVE_STATS] = relative_stats(files, read_actions(view.root / MODALITY, relative))
    return content


def gr00t_differences(
    view: DatasetViewV21, path: str, content: Mapping[str, Mapping[str, Any]], *, check: bool
) -> Iterator[Difference]:
    """Yield how a file differs from what should be in it, bit for bit.

    Args:
        view: The dataset.
        path: The file.
        content: What should be in it.
        check: Accept relative statistics that are off by no more than GR00T's own may be.
    """
    there = view.json(path) if (view.root / path).exists() else {}
    for key, stats in content.items():
        entry = there.get(key)
        for name, expected in stats.items():
            found = entry.get(name) if isinstance(entry, dict) else None
            is_close = check and path == RELATIVE_STATS and _close(found, expected)
            if found != expected and not is_close:
                yield Difference(path, f"{key} (GR00T)", name, None, found, expected)
    for key in there.keys() - content.keys():
        yield Difference(path, f"{key} (GR00T)", "all", None, there[key], None)


def _close(found: Any, expected: Any) -> bool:
    try:
        values = np.array(found, np.float64)
    except (TypeError, ValueError):
        return False
    return values.shape == np.shape(expected) and bool(np.allclose(values, expected, rtol=0, atol=_POSES))

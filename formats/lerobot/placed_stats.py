"""Statistics of episodes in a new dataset: what is known is kept, what depends on the place or is missing is made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from ...core.features import DEFAULT_FEATURES, Features
from .arrow_rows import rows_of
from .episode_plan import PlacedEpisode
from .placed_rows import PlacedRows
from .schema import row_features
from .stats import STAT_KEYS, FeatureStats, constant_stats, index_stats, numeric_stats
from .tasks import TaskTable


class PlacedStats:
    """Completes statistics of episodes.

    Args:
        features: What the dataset holds, the default five aside.
        tasks: Every task of the dataset.
        rows: Reads the rows of an episode, for what can only be computed from them.
        keep_axes: Give a feature (A, B) statistics (A, B), as in v2.1, rather than (B,).
    """

    def __init__(self, features: Features, tasks: TaskTable, rows: PlacedRows, *, keep_axes: bool = False) -> None:
        self._features = features | DEFAULT_FEATURES
        self._columns = row_features(features)
        self._annotations = [key for key, feature in features.items() if feature.is_task_index]
        self._tasks = tasks
        self._rows = rows
        self._keep_axes = keep_axes

    def complete(self, placed: PlacedEpisode, known: Mapping[str, Any]) -> dict[str, Any]:
        """Return "stats/<feature>/<name>" to nested lists for every feature but strings.

        Those of a camera that are not known are None: they would take decoding its frames.

        Args:
            placed: The episode.
            known: Its statistics as far as its source has them.
        """
        made = self._placed(placed)
        missing = []
        stats: dict[str, Any] = {}
        for key, feature in self._features.items():
            if feature.dtype == "string":
                continue
            names = [f"stats/{key}/{name}" for name in STAT_KEYS]
            if key in made:
                stats |= {f"stats/{key}/{name}": value.tolist() for name, value in made[key].items()}
            elif feature.is_visual or (all(known.get(name) is not None for name in names) and not self._is_deep(key)):
                stats |= {name: known.get(name) for name in names}
            else:
                missing.append(key)
        if len(placed.files.tasks) > 1:
            missing += ["task_index", *self._annotations]
        return stats | self._computed(placed, missing)

    def _placed(self, placed: PlacedEpisode) -> dict[str, FeatureStats]:
        length = placed.files.length
        task = constant_stats(self._tasks.index(placed.files.tasks[0]), length)
        return {
            "frame_index": index_stats(0, length),
            "episode_index": constant_stats(placed.index, length),
            "index": index_stats(placed.first_index, length),
            "task_index": task,
            **dict.fromkeys(self._annotations, task),
        }

    def _computed(self, placed: PlacedEpisode, keys: list[str]) -> dict[str, Any]:
        if not keys:
            return {}
        table = pa.concat_tables([piece.select(keys) for piece in self._rows.tables(placed)])
        stats: dict[str, Any] = {}
        for key in keys:
            values = rows_of(table.column(key).combine_chunks(), self._columns[key], key)
            found = numeric_stats(values.reshape(len(values), -1) if self._is_deep(key) else values)
            for name, value in found.items():
                shaped = value.reshape(values.shape[1:]) if self._is_deep(key) and name != "count" else value
                stats[f"stats/{key}/{name}"] = shaped.tolist()
        return stats

    def _is_deep(self, key: str) -> bool:
        """True if statistics of a feature keep axes that are not in those of v3.0."""
        return self._keep_axes and len(self._features[key].shape) > 1

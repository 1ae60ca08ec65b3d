"""Statistics of episodes in a new dataset: copied where they are those of the rows; all others are computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ....core.features import DEFAULT_FEATURES, Features
from ..features.feature_kind import FeatureKind, with_stats
from ..stats.feature_stats import (
    MERGED_KEYS,
    STAT_KEYS,
    FeatureStats,
    Moments,
    constant_stats,
    index_stats,
    numeric_stats,
)
from ..stats.stats_comparison import EXACT, TOLERANCES, allowed
from ..stats.stored_stats import Floats, StatColumns, is_known
from .dataset_plan import PlacedEpisode, TaskTable
from .placed_rows import PlacedRows


class PlacedStats:
    """Completes statistics of episodes.

    Args:
        features: What the dataset holds, the default five aside.
        tasks: Every task of the dataset.
        rows: Reads the rows of an episode, for what can only be computed from them.
        keep_axes: Give a feature (A, B) statistics (A, B), as in v2.1, rather than (B,).

    Attributes:
        notes: Sentence about the episodes so far with statistics that were not those of their rows; empty for none.
    """

    def __init__(self, features: Features, tasks: TaskTable, rows: PlacedRows, *, keep_axes: bool = False) -> None:
        self._kinds = with_stats(features | DEFAULT_FEATURES)
        self._renumbered = [key for key, kind in self._kinds.items() if kind.feature.points_into]
        self._tasks = tasks
        self._rows = rows
        self._keep_axes = keep_axes
        self._wrong = 0
        self._first = ""

    @property
    def notes(self) -> list[str]:
        """See the class."""
        if not self._wrong:
            return []
        episodes = f"{self._wrong} episode{'s' if self._wrong > 1 else ''}"
        found = f"the statistics of {episodes} were not those of the rows (first: {self._first})"
        return [f"{found}: recomputed in float64 (LeRobot sums in float32)"]

    def complete(self, placed: Sequence[PlacedEpisode], known: StatColumns) -> dict[str, Floats]:
        """Return the statistics of consecutive episodes, of every feature that has any.

        Mean and std of numbers are those of the rows in float64. Where min, max or count are not, all are computed.
        Those of a camera that are not known stay so: they would take decoding its frames.

        Args:
            placed: The episodes.
            known: Their statistics as far as their source has them.
        """
        made = self._placed(placed)
        stats: dict[str, Floats] = {}
        missing: dict[str, NDArray[np.bool_]] = {}
        for key, kind in self._kinds.items():
            if key in made:
                stats |= {f"stats/{key}/{name}": column.astype(np.float64) for name, column in made[key].items()}
                continue
            is_deep, shape = self._is_deep(kind), kind.stats_shape(keep_axes=self._keep_axes) or ()
            for name in STAT_KEYS:
                column = known.get(f"stats/{key}/{name}")
                if column is None or is_deep:
                    column = np.full((len(placed), *((1,) if name == "count" else shape)), np.nan)
                stats[f"stats/{key}/{name}"] = column
            if kind.is_numeric:
                missing[key] = ~np.all([is_known(stats[f"stats/{key}/{name}"]) for name in STAT_KEYS], axis=0)
        missing |= dict.fromkeys(self._renumbered, np.full(len(placed), True))  # their numbers are of another list
        self._correct(placed, stats, missing)
        missing["task_index"] = np.array([len(episode.location.tasks) > 1 for episode in placed])
        self._compute(placed, stats, {key: where for key, where in missing.items() if where.any()})
        return stats

    def _placed(self, placed: Sequence[PlacedEpisode]) -> dict[str, FeatureStats]:
        lengths = np.array([episode.location.length for episode in placed])
        numbers = np.array([self._tasks.index(episode.location.tasks[0]) for episode in placed])
        return {
            "frame_index": index_stats(0, lengths),
            "episode_index": constant_stats(np.array([episode.index for episode in placed]), lengths),
            "index": index_stats(np.array([episode.first_index for episode in placed]), lengths),
            "task_index": constant_stats(numbers, lengths),
        }

    def _correct(
        self, placed: Sequence[PlacedEpisode], stats: dict[str, Floats], missing: dict[str, NDArray[np.bool_]]
    ) -> None:
        """Compare the known statistics with the rows; replace mean and std, mark as missing what is of other rows."""
        moments = {key: Moments(len(placed)) for key, where in missing.items() if not where.all()}
        for run, first, table in self._rows.pieces(placed) if moments else ():
            owners, starts = np.unique(run.owners(first, table.num_rows), return_index=True)
            for key, own in moments.items():
                values = self._kinds[key].values(table.column(key).combine_chunks(), key)
                own.add(values, owners + run.episodes[0].index - placed[0].index, starts)
        wrong: dict[int, str] = {}
        for key, own in moments.items():
            exact, known = own.result(), ~missing[key]
            found = {name: stats[f"stats/{key}/{name}"] for name in MERGED_KEYS}
            off = {name: known & _is_off(name, found, exact, TOLERANCES) for name in MERGED_KEYS}
            others = off["min"] | off["max"] | off["count"]
            missing[key] = missing[key] | others
            for at in np.flatnonzero(others | off["mean"] | off["std"]).tolist():
                wrong.setdefault(at, key)
            for name in ("mean", "std"):
                differs = known & _is_off(name, found, exact, EXACT)
                stats[f"stats/{key}/{name}"] = np.where(differs[:, None], exact[name], found[name])
        if wrong and not self._wrong:
            self._first = f"episode {placed[min(wrong)].index}, {wrong[min(wrong)]}"
        self._wrong += len(wrong)

    def _compute(
        self, placed: Sequence[PlacedEpisode], stats: dict[str, Floats], missing: Mapping[str, NDArray[np.bool_]]
    ) -> None:
        """Replace the statistics of the episodes in which a feature's are missing by those of their rows."""
        if not missing:
            return
        columns = [f"stats/{key}/{name}" for key in missing for name in STAT_KEYS]
        stats |= {name: stats[name].copy() for name in columns}
        for row in np.flatnonzero(np.any(list(missing.values()), axis=0)).tolist():
            keys = [key for key, where in missing.items() if where[row]]
            table = pa.concat_tables([piece.select(keys) for _, piece in self._rows.tables([placed[row]])])
            for key in keys:
                values = self._kinds[key].values(table.column(key).combine_chunks(), key)
                found = numeric_stats(values.reshape(len(values), -1) if self._is_deep(self._kinds[key]) else values)
                for name, value in found.items():
                    column = stats[f"stats/{key}/{name}"]
                    column[row] = value.reshape(column.shape[1:])

    def _is_deep(self, kind: FeatureKind) -> bool:
        """True if statistics keep axes that are not in those of v3.0."""
        return kind.stats_shape(keep_axes=self._keep_axes) != kind.stats_shape()


def _is_off(
    name: str, found: Mapping[str, Floats], exact: FeatureStats, tolerances: Mapping[str, float]
) -> NDArray[np.bool_]:
    """Return the episodes in which a statistic (episodes, D) is further off than allowed."""
    is_off: NDArray[np.bool_] = np.any(np.abs(found[name] - exact[name]) > allowed(name, exact, tolerances), axis=1)
    return is_off

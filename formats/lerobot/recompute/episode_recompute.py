"""Statistics of all episodes, recomputed one after the other and compared with the stored ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....core.columns import Array
from ....core.errors import Damaged
from ..datasets.dataset import Dataset
from ..features.feature_kind import FeatureKind
from ..stats.feature_stats import MERGED_KEYS, FeatureStats, StatsMerger, numeric_stats
from ..stats.image_stats import CHANNELS, LEVELS, ImageStats
from ..stats.stats_comparison import (
    Differences,
    Floats,
    differing,
    differing_of_camera,
    differing_of_episode,
    numbers_of,
)
from .camera_recompute import camera_stats
from .stats_store import Changes, StatsStore


class EpisodeRecompute:
    """Recomputes numbers, and the cameras that are named, of every episode.

    Args:
        dataset: The dataset.
        store: Its statistics.
        cameras: Cameras to compute from their frames.
        differences: Takes what differs.
        check: Accept what is within LeRobot's own rounding.
        keep_unusable: Leave out numbers of an episode that are NaN or infinite, rather than refuse them.

    Attributes:
        histograms: Camera to (3, 256) counts of its sampled pixels in the episodes so far.
    """

    def __init__(
        self,
        dataset: Dataset,
        store: StatsStore[Any],
        cameras: Sequence[str],
        differences: Differences,
        *,
        check: bool,
        keep_unusable: bool = False,
    ) -> None:
        self._dataset, self._store = dataset, store
        self._differences, self._check, self._keep_unusable = differences, check, keep_unusable
        self._kinds = dataset.stat_kinds
        self._filmed = set(dataset.video_keys)
        self._mergers = {key: StatsMerger() for key, kind in self._kinds.items() if not kind.is_numeric}
        self._keeps_axes: dict[str, bool] = {}
        self.histograms: dict[str, Array] = {key: np.zeros((CHANNELS, LEVELS), np.int64) for key in cameras}

    def changes(self) -> Iterator[Changes]:
        """Yield the new statistics of each episode in order, of features that have something missing or different.

        Raises:
            RobotroveError: If statistics, rows or frames cannot be read.
        """
        names = list(self._dataset.numeric_features)
        rows = _episode_rows(self._dataset, names, keep_unusable=self._keep_unusable)
        pictures = camera_stats(self._dataset, list(self.histograms))
        found = self._store.found(list(self._kinds))
        for episode, ((file, entries), tables, seen) in enumerate(zip(found, rows, pictures, strict=True)):
            changed = {}
            for key, kind in self._kinds.items():
                known = numbers_of(entries.get(key, {}))
                if key in tables:
                    exact, off = self._number(key, kind, known, tables[key])
                elif key in seen:
                    exact, off = self._camera(key, known, seen[key], int(self._dataset.lengths[episode]))
                    self._mergers[key].add(exact)
                else:
                    self._merge_known(key, kind, known)
                    continue
                if off:
                    self._differences.add_all(file, key, episode, off, known, exact)
                    changed[key] = exact
            yield changed

    def merged(self) -> dict[str, FeatureStats]:
        """Return min, max, mean, std and count of each camera after the last episode, as far as they are known."""
        return {key: merger.result() for key, merger in self._mergers.items()}

    def _number(
        self, key: str, kind: FeatureKind, found: Mapping[str, Floats], rows: NDArray[Any]
    ) -> tuple[FeatureStats, list[str]]:
        shape = kind.stats_shape(keep_axes=True) or ()
        has_axes = shape != kind.stats_shape() and "min" in found and found["min"].shape == shape
        # All episodes alike, like the first: LeRobot stacks them.
        if self._keeps_axes.setdefault(key, self._store.keeps_axes and has_axes):
            rows = rows.reshape(len(rows), -1)
            flat = numeric_stats(rows)
            exact = {name: v if name == "count" else v.reshape(shape) for name, v in flat.items()}
        else:
            exact = numeric_stats(rows)
        return exact, differing_of_episode(found, exact, rows) if self._check else differing(found, exact)

    def _camera(
        self, key: str, found: Mapping[str, Floats], seen: ImageStats, length: int
    ) -> tuple[FeatureStats, list[str]]:
        self.histograms[key] += seen.histogram
        exact = seen.result()
        if self._check:
            return exact, differing_of_camera(found, exact, length, lossy=key in self._filmed)
        return exact, differing(found, exact)

    def _merge_known(self, key: str, kind: FeatureKind, found: Mapping[str, Floats]) -> None:
        if key in self._mergers and _is_mergeable(found, kind):
            self._mergers[key].add(dict(found))
        else:
            self._mergers.pop(key, None)


def _episode_rows(dataset: Dataset, names: Sequence[str], *, keep_unusable: bool) -> Iterator[dict[str, Array]]:
    """Yield numeric features of each episode as (length, *shape), one episode in memory at a time.

    Raises:
        DatasetDamaged: As `Dataset.rows`.
        Damaged: If a number is NaN or infinite; its feature is left out with `keep_unusable`.
    """
    for at in dataset.episodes():
        batches = list(dataset.rows(names, at))
        rows = {key: np.concatenate([batch[key] for batch in batches]) for key in names}
        wrong = [key for key, values in rows.items() if values.dtype.kind == "f" and not np.isfinite(values).all()]
        if wrong and not keep_unusable:
            where = f"{at.rows.path.relative_to(dataset.root).as_posix()}, column {wrong[0]}"
            raise Damaged(
                where,
                f"episode {at.index} has NaN or infinite numbers, so it has no statistics: "
                "replace these numbers, or delete the episode",
            )
        yield {key: values for key, values in rows.items() if key not in wrong}


def _is_mergeable(found: Mapping[str, Floats], kind: FeatureKind) -> bool:
    """True if all that is merged is there, in the shape in which LeRobot since 0.4 writes it."""
    shape = kind.known_stats_shapes()[0]
    return all(name in found and found[name].shape == ((1,) if name == "count" else shape) for name in MERGED_KEYS)

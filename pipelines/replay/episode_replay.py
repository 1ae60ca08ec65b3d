"""Episode taken back to its recording, and compared with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from ...blocks.episode_step import EpisodeMap, EpisodeStep
from ...blocks.inverse import InverseEntry, WayBack
from ...core.episode import Episode
from ...core.errors import RobotroveError, UsageError
from ...core.features import DEFAULT_FEATURES, Feature, Features, cameras, vectors
from ...formats.lerobot.datasets.dataset import Dataset
from ...verification.source.episode_check import EpisodeDifference
from ...verification.source.recordings import Pair

ACTION = "action"


class Undo:
    """The way back through the steps of a pipeline.

    Follows names only, as each step's `inverse` gives them; no step is run. Where the joints are in the dataset, its
    own names say.

    Args:
        steps: Those of the pipeline, in order.
        stored: What the dataset holds; features with another name in the run aside.
        run_dir: The run that made it, for errors.

    Attributes:
        stored: As given.
        ways: Every way back that was asked for, by feature and what the reader gives for it.

    Raises:
        UsageError: If one of the steps does not say what it does to vectors.
    """

    def __init__(self, steps: Sequence[Any], stored: Features, run_dir: Path) -> None:
        self._run_dir = run_dir
        for index, step in enumerate(steps):
            if not isinstance(step, EpisodeStep) or not step.has_inverse:
                why = f"{type(step).__module__}:{type(step).__qualname__} has no inverse"
                columns = ", ".join(key for key in vectors(stored) if key not in DEFAULT_FEATURES)
                expected = "steps of robotrove, or your own that define `inverse` or set `keeps_vectors`"
                raise self._no_way(index, columns, why, expected)
        self._maps = [(index, step) for index, step in enumerate(steps) if isinstance(step, EpisodeMap)]
        self.stored = stored
        self.ways: dict[tuple[str, Feature], WayBack] = {}

    def way(self, key: str, recorded: Feature) -> WayBack:
        """Return the way back from a feature of the dataset to the column that the reader gives.

        Raises:
            UsageError: If a step cannot be undone, such as a product with 0 or a joint with an empty range.
        """
        if (key, recorded) not in self.ways:
            self.ways[key, recorded] = self._found(key, recorded)
        return self.ways[key, recorded]

    def _found(self, key: str, recorded: Feature) -> WayBack:
        names = list(recorded.names or (f"entry {index}" for index in range(prod(recorded.shape))))
        entries = [InverseEntry(name, column, dtype=recorded.dtype) for column, name in enumerate(names)]
        for index, step in self._maps:
            try:
                names, entries = step.inverse(key, names, entries)
            except UsageError as exc:
                raise self._no_way(index, key, f"{exc.where}: {exc.found}", exc.expected) from exc
        stored = self.stored[key].names or ()
        if sorted(stored) == sorted(set(names)):
            entries = [entry if entry.column is None else replace(entry, column=stored.index(names[entry.column]))
                       for entry in entries]  # fmt: skip
        return WayBack(tuple(entries))

    def _no_way(self, index: int, columns: str, why: str, expected: str) -> UsageError:
        return UsageError(
            f"{self._run_dir}, steps[{index}]",
            f"{why}, so {columns} cannot be taken back to the recording",
            expected,
            f"compare forward only: robotrove verify DATASET --source {self._run_dir}",
        )


class EpisodeReplay:
    """Compares episodes of a dataset, in order, with their recordings as the reader gives them.

    Args:
        dataset: The dataset.
        undo: The way back.

    Attributes:
        largest: Feature to the largest difference of its entries with changed units so far.
        added: Features that no recording has, or not under this name: steps added them, or an edit renamed them.
    """

    def __init__(self, dataset: Dataset, undo: Undo) -> None:
        self._dataset = dataset
        self._undo = undo
        self._keys: list[str] | None = None
        self.largest: dict[str, float] = {}
        self.added: tuple[str, ...] = ()

    def differences(self, ep: Episode, pair: Pair) -> Iterator[EpisodeDifference]:
        """Yield the first difference of each entry of each vector.

        Args:
            ep: The recording, no step applied.
            pair: The episode of the dataset, and where it says that it is from.
        """
        if ep.rejection is not None:
            yield EpisodeDifference.not_compared(ep.rejection)
            return
        if self._keys is None:  # compared in all episodes, or missing in them
            apart = DEFAULT_FEATURES | cameras(self._dataset.features)
            kept = [key for key in self._dataset.features if key not in apart]
            self._keys = [key for key in kept if key in ep.columns and key in self._undo.stored]
            self.added = tuple(key for key in kept if key not in self._keys)
        if missing := [key for key in (ACTION, *self._keys) if key not in ep.columns]:
            yield EpisodeDifference(missing[0], None, "is not in the recording")
            return
        rows = pair.origin.row_map
        if len(rows) != pair.stored.length or rows.first < 0 or rows.last >= ep.length:
            text = f"{pair.stored.length} rows of the dataset cannot be rows {rows} of {ep.length} recorded"
            yield EpisodeDifference("", None, f"{text}, as its provenance says")
            return
        ways = {key: self._undo.way(key, ep.columns[key].feature) for key in self._keys}
        for key, way in ways.items():
            if way.width > (width := prod(self._dataset.features[key].shape)):
                yield EpisodeDifference(key, None, f"has {width} entries, and at least {way.width} were recorded")
                return
        try:
            yield from self._values(ep.take(rows.rows), pair, ways)
        except RobotroveError as exc:
            yield EpisodeDifference.not_compared(exc)

    def _values(self, ep: Episode, pair: Pair, ways: Mapping[str, WayBack]) -> Iterator[EpisodeDifference]:
        found: dict[tuple[str, int], EpisodeDifference] = {}
        counts: Counter[tuple[str, int]] = Counter()
        row = 0
        for piece in self._dataset.rows(list(ways), pair.stored):
            count = len(piece[ACTION])
            for key, way in ways.items():
                recorded = ep.columns[key].read(row, row + count).reshape(count, -1)
                stored = piece[key].reshape(count, -1)
                for index, entry in enumerate(way.entries):
                    if entry.column is None:
                        continue
                    values, error = entry.back(stored)
                    if entry.changes:
                        apart = abs(values - recorded[:, index].astype(np.float64))
                        wrong = ~(apart <= error) | np.isinf(apart)  # NaN too, and infinity has an infinite error
                        largest = float(apart[np.isfinite(apart)].max(initial=0.0))
                        self.largest[key] = max(largest, self.largest.get(key, 0.0))
                    else:
                        wrong = np.asarray(values != recorded[:, index], bool)
                    if wrong.any():
                        at = int(np.argmax(wrong))
                        text = _message(entry, values[at], stored[at, entry.column], recorded[at, index], error[at])
                        source = ep.row_map[row + at]
                        source_row = f" (row {source} of the recording)" if source != row + at else ""
                        found.setdefault((key, index), EpisodeDifference(key, row + at, text + source_row))
                        counts[key, index] += int(wrong.sum())
            row += count
        for place, first_found in found.items():
            more = f" ({counts[place]} rows differ)" if counts[place] > 1 else ""
            yield first_found._replace(message=first_found.message + more)


def _message(entry: InverseEntry, value: Any, stored: Any, recorded: Any, error: float) -> str:
    value, stored, recorded = (one.item() if isinstance(one, np.generic) else one for one in (value, stored, recorded))
    taken = f"taken back from {stored!r}" if entry.changes else "in the dataset"
    explained_by = f"; rounding explains {error:.1e}" if entry.changes else ""
    return f"{entry.name} is {value!r} {taken}, {recorded!r} in the recording{explained_by}"

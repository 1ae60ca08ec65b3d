"""Does a dataset give back what was recorded? Its vectors are taken back to the recordings and compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..core.columns import Array
from ..core.episode import Episode
from ..core.errors import RobotroveError, UsageError, explained
from ..core.features import DEFAULT_FEATURES, Feature
from ..formats.lerobot.arrow_rows import Damaged
from ..formats.lerobot.stored import StoredStream
from ..formats.lerobot.view import DatasetView
from ..formats.lerobot.views import open_view
from .episode_check import Difference
from .source_check import Progress
from .source_episodes import Pair, Problems, SourceEpisodes, SourceProblem
from .undo import check_undoable, undone
from .way_back import Entry, WayBack

ACTION = "action"


@dataclass(frozen=True, slots=True)
class ReplayedColumn:
    """How a feature was compared.

    Attributes:
        exact: Entries that must be equal.
        rounded: Entries whose units were changed: they must agree within what rounding explains.
        not_compared: Entries of the recording that the dataset does not have.
    """

    exact: tuple[str, ...]
    rounded: tuple[str, ...]
    not_compared: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """What the comparison came to.

    Attributes:
        problems: The first 20.
        n_problems: Number of all; each is about one entry of one episode, or one file.
        episodes: Episodes compared.
        rows: Rows compared.
        columns: Feature to how it was compared.
        foreign: Episodes of the dataset that come from another run, which were not compared.
    """

    problems: tuple[SourceProblem, ...]
    n_problems: int
    episodes: int
    rows: int
    columns: Mapping[str, ReplayedColumn]
    foreign: int

    @property
    def ok(self) -> bool:
        """True if no difference was found."""
        return not self.n_problems


def check_replay(dataset: Path, run_dir: Path, *, progress: Progress = lambda done, total: None) -> ReplayReport:
    """Take the vectors of a dataset back to the order and the units of the recordings, and compare.

    Nothing of the forward way is run: order and selection are undone by joint name, units by the
    inverse formula, and the rows are those that the dataset's own provenance names. What was only
    ordered or passed through must be equal; where units were changed, the difference must be one that
    rounding explains (`MotorUnits` and `Scaled` give the bound). Texts that pass through must be equal
    too. Episodes that are missing in the dataset are for `check_source` to find.

    Args:
        dataset: Folder of the dataset, of either version.
        run_dir: The run directory.
        progress: Told after each episode.

    Raises:
        UsageError: If `run_dir` is no finished run, a step of its pipeline has no inverse, or the
            dataset has no action or does not come from the run.
    """
    problems = Problems()
    try:
        return _compared(open_view(dataset), run_dir, problems, progress)
    except Damaged as exc:  # of the tables that lead to the episodes
        problems.note(SourceProblem(None, exc.where, "", None, exc.message))
        return ReplayReport(tuple(problems.kept), problems.count, 0, 0, {}, 0)


def _compared(view: DatasetView, run_dir: Path, problems: Problems, progress: Progress) -> ReplayReport:
    sources = SourceEpisodes(view, run_dir)
    check_undoable(sources.steps, run_dir)
    if ACTION not in view.features:
        raise UsageError(str(view.root), f"has no feature {ACTION!r}", "a dataset of actions", "leave out --replay")
    pairs = sources.pairs(lambda problem: None)
    check = EpisodeReplay(view, sources.steps)
    episodes = rows = 0
    for ep, pair in sources.opened(pairs, problems.note):
        for feature, row, message in check.differences(ep, pair):
            problems.note(pair.problem(message, feature, row))
        episodes += 1
        rows += pair.stored.length
        progress(episodes, len(pairs))
    return ReplayReport(tuple(problems.kept), problems.count, episodes, rows, check.columns(), sources.foreign)


class EpisodeReplay:
    """Compares episodes of a dataset, in order, with their recordings as the reader gives them.

    Args:
        view: The dataset.
        steps: What the pipeline did.
    """

    def __init__(self, view: DatasetView, steps: Sequence[Any]) -> None:
        self._view = view
        self._steps = steps
        self._ways: dict[tuple[str, Feature], WayBack] = {}
        self._stream: StoredStream | None = None
        self._keys: list[str] = []

    def differences(self, ep: Episode, pair: Pair) -> Iterator[Difference]:
        """Yield the first difference of each entry of each vector.

        Args:
            ep: The recording, no step applied.
            pair: The episode of the dataset, and where it says that it is from.
        """
        if ep.rejection is not None:
            yield Difference("", None, f"cannot be compared: {ep.rejection.reason}: {ep.rejection.detail}")
            return
        if self._stream is None:
            self._keys = [key for key, feature in self._view.features.items() if self._is_compared(key, feature, ep)]
            self._stream = StoredStream(self._view, self._keys)
        if missing := [key for key in (ACTION, *self._keys) if key not in ep.columns]:
            yield Difference(missing[0], None, "is not in the recording")
            return
        first, last = pair.origin.first_row, pair.origin.last_row
        if first < 0 or last - first + 1 != pair.stored.length or last >= ep.length:
            text = f"{pair.stored.length} rows of the dataset cannot be rows {first}..{last} of {ep.length} recorded"
            yield Difference("", None, f"{text}, as its provenance says")
            return
        try:
            yield from self._values(ep, pair, first)
        except RobotroveError as exc:
            yield Difference("", None, f"its rows cannot be compared: {' '.join(explained(exc).split())}")

    def columns(self) -> dict[str, ReplayedColumn]:
        """Return how each feature was compared."""
        return {key: ReplayedColumn(way.exact, way.converted, way.missing) for (key, _), way in self._ways.items()}

    @staticmethod
    def _is_compared(key: str, feature: Feature, ep: Episode) -> bool:
        return key in ep.columns and key not in DEFAULT_FEATURES and not feature.is_visual

    def _way(self, key: str, recorded: Feature) -> WayBack:
        if (key, recorded) not in self._ways:
            self._ways[key, recorded] = undone(key, recorded, self._steps)
        return self._ways[key, recorded]

    def _values(self, ep: Episode, pair: Pair, first: int) -> Iterator[Difference]:
        assert self._stream is not None
        found: dict[tuple[str, str], Difference] = {}
        counts: Counter[tuple[str, str]] = Counter()
        row = 0
        for piece in self._stream.pieces(pair.stored):
            count = len(piece[ACTION])
            for key in self._keys:
                recorded = ep.columns[key].read(first + row, first + row + count).reshape(count, -1)
                stored = piece[key].reshape(count, -1)
                for index, entry in enumerate(self._way(key, ep.columns[key].feature).entries):
                    if entry.column is None:
                        continue
                    values, error = entry.back(stored)
                    wrong = _is_wrong(values, recorded[:, index], error if entry.changes else None)
                    if wrong.any():
                        at = int(np.argmax(wrong))
                        text = _message(entry, values[at], stored[at, entry.column], recorded[at, index], error[at])
                        source_row = f" (row {first + row + at} of the recording)" if first else ""
                        found.setdefault((key, entry.name), Difference(key, row + at, text + source_row))
                        counts[key, entry.name] += int(wrong.sum())
            row += count
        for place, entry_found in found.items():
            more = f" ({counts[place]} rows differ)" if counts[place] > 1 else ""
            yield entry_found._replace(message=entry_found.message + more)


def _is_wrong(values: Array, recorded: Array, error: Array | None) -> Array:
    if error is None:
        return np.asarray(values != recorded, bool)
    return ~(abs(values - recorded.astype(np.float64)) <= error)  # NaN is wrong too


def _message(entry: Entry, value: Any, stored: Any, recorded: Any, error: float) -> str:
    value, stored, recorded = (one.item() if isinstance(one, np.generic) else one for one in (value, stored, recorded))
    taken = f"taken back from {stored!r}" if entry.changes else "in the dataset"
    explained_by = f"; rounding explains {error:.1e}" if entry.changes else ""
    return f"{entry.name} is {value!r} {taken}, {recorded!r} in the recording{explained_by}"

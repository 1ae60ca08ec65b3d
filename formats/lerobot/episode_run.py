"""Episodes whose rows follow each other in one file: these are read, checked and written together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .episode_plan import PlacedEpisode
from .record import Rows

_MOST_ROWS = 1 << 14  # of an episode at least


@dataclass(frozen=True)
class EpisodeRun:
    """Consecutive rows of one file that are whole episodes of one source.

    Attributes:
        episodes: The episodes, at least one.
    """

    episodes: Sequence[PlacedEpisode]

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """First row of each episode in the run, and the number of all rows: (episodes + 1,)."""
        return np.cumsum([0, *(placed.files.length for placed in self.episodes)])

    @property
    def rows(self) -> Rows:
        """Where they are."""
        first = self.episodes[0].files.rows
        return Rows(first.path, first.first, int(self.starts[-1]))

    def owners(self, first: int, count: int) -> NDArray[np.int64]:
        """Return the place in `episodes` of the episode of each of `count` rows: (count,)."""
        return np.searchsorted(self.starts, np.arange(first, first + count), side="right") - 1

    def place(self, row: int) -> tuple[str, int]:
        """Return where the episode of a row of the run begins, for people, and how many rows later that row is."""
        number = int(self.owners(row, 1)[0])
        begin = self.episodes[number].files.rows
        return f"{begin.path}, row {begin.first}", row - int(self.starts[number])


def runs(episodes: Iterable[PlacedEpisode]) -> Iterator[EpisodeRun]:
    """Yield all episodes in order in runs as long as memory allows."""
    run: list[PlacedEpisode] = []
    count = 0
    for placed in episodes:
        if run and (not _follows(placed, run[-1]) or count + placed.files.length > _MOST_ROWS):
            yield EpisodeRun(run)
            run, count = [], 0
        run.append(placed)
        count += placed.files.length
    if run:
        yield EpisodeRun(run)


def _follows(placed: PlacedEpisode, last: PlacedEpisode) -> bool:
    rows, before = placed.files.rows, last.files.rows
    return (placed.source, rows.path, rows.first) == (last.source, before.path, before.first + before.count)

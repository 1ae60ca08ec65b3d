"""What meta says of finished episodes, by columns: most of it is the same in a new dataset."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import pyarrow as pa

from .stat_columns import StatColumns

GROUP_EPISODES = 1000

Placed = TypeVar("Placed")


@dataclass(frozen=True, slots=True)
class EpisodeMetas:
    """What meta says of some consecutive episodes.

    Attributes:
        stats: Those of placed columns may be there.
        provenance: ORIGIN_SCHEMA, a row per episode.
    """

    stats: StatColumns
    provenance: pa.Table

    def __len__(self) -> int:
        return int(self.provenance.num_rows)

    def part(self, first: int, last: int) -> EpisodeMetas:
        """Return what meta says of those from the first up to the last, which is not among them."""
        rows = slice(first, last)
        return EpisodeMetas({name: column[rows] for name, column in self.stats.items()}, self.provenance[rows])


def gathered(batches: Iterable[tuple[Sequence[Placed], EpisodeMetas]]) -> Iterator[tuple[list[Placed], EpisodeMetas]]:
    """Join small batches that follow each other and have the same statistics: of 1,000 episodes or more, but the last.

    Args:
        batches: Episodes, and what meta says of them.
    """
    held: list[tuple[Sequence[Placed], EpisodeMetas]] = []
    for batch in batches:
        is_full = sum(len(metas) for _, metas in held) >= GROUP_EPISODES
        if held and (is_full or held[-1][1].stats.keys() != batch[1].stats.keys()):
            yield _together(held)
            held = []
        held.append(batch)
    if held:
        yield _together(held)


def _together(held: Sequence[tuple[Sequence[Placed], EpisodeMetas]]) -> tuple[list[Placed], EpisodeMetas]:
    return [episode for episodes, _ in held for episode in episodes], joined([metas for _, metas in held])


def joined(parts: Sequence[EpisodeMetas]) -> EpisodeMetas:
    """Return those of all parts, at least one, with the statistics that all of them have."""
    names = [name for name in parts[0].stats if all(name in part.stats for part in parts)]
    stats = {name: np.concatenate([part.stats[name] for part in parts]) for name in names}
    return EpisodeMetas(stats, pa.concat_tables([part.provenance for part in parts]))

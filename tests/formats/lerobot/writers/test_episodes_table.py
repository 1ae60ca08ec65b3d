"""What meta says of episodes, in batches of any size."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from robotrove.formats.lerobot.datasets.episode_location import EpisodeMetadata
from robotrove.formats.lerobot.datasets.provenance import ORIGIN_SCHEMA
from robotrove.formats.lerobot.writers import episodes_table
from robotrove.formats.lerobot.writers.episodes_table import gathered


def batch(first: int, count: int, *names: str) -> tuple[list[int], EpisodeMetadata]:
    numbers = list(range(first, first + count))
    rows = [{"source_key": f"demo_{number}"} for number in numbers]
    stats = {name: np.array(numbers, np.float64)[:, None] for name in names}
    return numbers, EpisodeMetadata(stats, pa.Table.from_pylist(rows, schema=ORIGIN_SCHEMA))


def test_small_batches_become_large_ones_in_the_same_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(episodes_table, "GROUP_EPISODES", 5)
    counts = [1, 2, 3, 2, 9, 1]
    starts = np.cumsum([0, *counts]).tolist()
    found = list(gathered(batch(start, count, "a", "b") for start, count in zip(starts, counts, strict=False)))
    assert [len(episodes) for episodes, _ in found] == [6, 11, 1]
    assert [number for episodes, _ in found for number in episodes] == list(range(18))
    for episodes, metas in found:
        assert metas.provenance.column("source_key").to_pylist() == [f"demo_{number}" for number in episodes]
        assert metas.stats.keys() == {"a", "b"}
        assert all(column[:, 0].tolist() == episodes for column in metas.stats.values())


def test_batches_with_other_statistics_stay_apart() -> None:
    found = list(gathered([batch(0, 2, "a", "b"), batch(2, 2, "a"), batch(4, 2, "a"), batch(6, 1, "b", "a")]))
    assert [(episodes, sorted(metas.stats)) for episodes, metas in found] == [
        ([0, 1], ["a", "b"]),
        ([2, 3, 4, 5], ["a"]),
        ([6], ["a", "b"]),
    ]


def test_nothing_gives_nothing() -> None:
    assert list(gathered([])) == []

"""Changes of an edit: which episodes they drop."""

from __future__ import annotations

import numpy as np
import pytest

from robotrove.core.errors import UsageError
from robotrove.formats.lerobot.datasets.dataset_edit import DatasetEdit
from robotrove.manifests.run_info import InputDataset, Skipped

MILLION = InputDataset("/data/cubes", 1_000_000, 3_000_000, "digest", "info")


def test_few_of_a_million_are_a_few_entries() -> None:
    numbers, lengths = np.arange(1_000_000).tolist(), [3] * 1_000_000
    found = DatasetEdit(keep=[2, "500000-500001"]).applied(MILLION, numbers, lengths)
    assert found.skipped == (
        Skipped(0, 0, 6, count=2),
        Skipped(3, 3, 1_499_991, count=499_997),
        Skipped(500_002, 500_002, 1_499_994, count=499_998),
    )
    assert (found.kept, found.kept_frames) == (3, 9)


def test_numbers_with_gaps_are_runs_of_their_own() -> None:
    dataset = InputDataset("/data/cubes", 5, 31, "digest", "info")
    found = DatasetEdit(drop=["0-6"]).applied(dataset, [1, 2, 5, 6, 9], [1, 2, 4, 8, 16])
    assert found.skipped == (Skipped(0, 1, 3, count=2), Skipped(2, 5, 12, count=2))
    assert (found.kept, found.kept_frames) == (1, 16)
    with pytest.raises(UsageError, match="has no episode 3 to 4"):
        DatasetEdit(keep=[1, "3-4"]).applied(dataset, [1, 2, 5, 6, 9], [1, 2, 4, 8, 16])

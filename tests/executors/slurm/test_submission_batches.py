"""What becomes a job: arithmetic alone, no cluster."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robotrove.core.errors import UsageError
from robotrove.executors.slurm.submission import Batch, batches


@dataclass
class Unfinished:
    """What counts of a stage here, without files."""

    name: str
    ranks: Collection[int]
    is_light: bool = False

    def missing(self, *, fresh: bool = False) -> list[int]:
        return sorted(self.ranks)


def _run_of(**ranks: int) -> list[Unfinished]:
    return [Unfinished(name, range(count)) for name, count in ranks.items()]


def _batches(
    stages: list[Unfinished], *, ranks_per_job: int = 1, max_array: int = 1001, max_jobs: int | None = None
) -> list[Batch]:
    return batches(stages, ranks_per_job=ranks_per_job, max_array=max_array, max_jobs=max_jobs)


def _sizes(found: list[Batch]) -> list[list[int]]:
    """Return the number of ranks of each job of each batch."""
    return [[len(orders) for orders in batch.jobs] for batch in found]


def test_each_rank_is_a_job_and_stages_of_one_rank_go_together() -> None:
    found = _batches(_run_of(convert=3, plan=1, process=2, finish=1, commit=1, report=1))
    assert found == [
        Batch(("convert",), ((("convert", 0),), (("convert", 1),), (("convert", 2),))),
        Batch(("plan",), ((("plan", 0),),)),
        Batch(("process",), ((("process", 0),), (("process", 1),))),
        Batch(("finish", "commit", "report"), ((("finish", 0), ("commit", 0), ("report", 0)),)),
    ]


def test_a_run_of_single_ranks_is_one_job() -> None:
    [batch] = _batches(_run_of(convert=1, plan=1, process=1, finish=1))
    assert batch.jobs == ((("convert", 0), ("plan", 0), ("process", 0), ("finish", 0)),)


def test_light_stages_go_with_those_of_one_rank() -> None:
    stages = _run_of(process=3, finish=1, stats=4, write=1)
    stages[2] = Unfinished("stats", range(4), is_light=True)
    found = _batches(stages, ranks_per_job=2)
    assert _sizes(found) == [[2, 1], [6]]
    [orders] = found[1].jobs
    assert orders == (("finish", 0), *(("stats", rank) for rank in range(4)), ("write", 0))


def test_nothing_missing_is_nothing_to_submit() -> None:
    assert _batches(_run_of(convert=0, report=0), max_jobs=0) == []


def test_what_is_complete_is_left_out_and_a_last_rank_joins_the_chain() -> None:
    stages = [
        Unfinished("convert", [3]),
        Unfinished("plan", [0]),
        Unfinished("process", [0, 2, 3]),
        Unfinished("finish", [0]),
    ]
    assert _batches(stages) == [
        Batch(("convert", "plan"), ((("convert", 3), ("plan", 0)),)),
        Batch(("process",), ((("process", 0),), (("process", 2),), (("process", 3),))),
        Batch(("finish",), ((("finish", 0),),)),
    ]


@pytest.mark.parametrize(
    ("ranks", "ranks_per_job", "max_array", "sizes"),
    [
        (1001, 1, 1001, [1] * 1001),
        (1002, 1, 1001, [2] * 501),
        (3000, 1, 1001, [3] * 1000),
        (3001, 1, 1001, [3] * 1000 + [1]),
        (10, 4, 1001, [4, 4, 2]),
        (3000, 2, 1001, [3] * 1000),
        (10, 20, 1001, [10]),
        (7, 1, 1, [7]),
    ],
)
def test_jobs_get_more_ranks_where_an_array_would_be_too_long(
    ranks: int, ranks_per_job: int, max_array: int, sizes: list[int]
) -> None:
    found = _batches(_run_of(convert=ranks), ranks_per_job=ranks_per_job, max_array=max_array)
    assert _sizes(found) == [sizes]


@pytest.mark.parametrize(
    ("max_jobs", "sizes"),
    [
        (None, [[1] * 100, [1], [1] * 20, [2]]),
        (122, [[1] * 100, [1], [1] * 20, [2]]),
        (20, [[8] * 12 + [4], [1], [7, 7, 6], [2]]),
        (4, [[100], [1], [20], [2]]),
    ],
)
def test_a_limit_of_jobs_is_shared_out(max_jobs: int | None, sizes: list[list[int]]) -> None:
    stages = _run_of(convert=100, plan=1, process=20, finish=1, commit=1)
    assert _sizes(_batches(stages, max_jobs=max_jobs)) == sizes


def test_ranks_that_share_a_job_anyway_take_no_room_from_others() -> None:
    """100 and 4 ranks, 32 in a job: five jobs in all, so that a limit of five changes nothing."""
    stages = _run_of(convert=100, process=4)
    assert _sizes(_batches(stages, ranks_per_job=32, max_jobs=5)) == [[32, 32, 32, 4], [4]]


@pytest.mark.parametrize(("max_jobs", "told"), [(2, "2 more jobs"), (0, "0 more jobs"), (-7, "0 more jobs")])
def test_fewer_jobs_than_batches_is_an_error(max_jobs: int, told: str) -> None:
    with pytest.raises(UsageError, match=told) as caught:
        _batches(_run_of(convert=4, plan=1, process=2), max_jobs=max_jobs)
    assert "3 at least" in str(caught.value)
    assert "squeue --me" in str(caught.value)


@given(
    missing=st.lists(st.sets(st.integers(0, 40)), min_size=1, max_size=6),
    ranks_per_job=st.integers(1, 50),
    max_array=st.integers(1, 50),
    max_jobs=st.none() | st.integers(0, 60),
)
def test_every_missing_rank_once_in_order_and_within_the_limits(
    missing: list[set[int]], ranks_per_job: int, max_array: int, max_jobs: int | None
) -> None:
    stages = [Unfinished(f"stage-{number}", ranks) for number, ranks in enumerate(missing)]
    try:
        found = _batches(stages, ranks_per_job=ranks_per_job, max_array=max_array, max_jobs=max_jobs)
    except UsageError:
        assert max_jobs is not None
        assert max_jobs < sum(map(bool, missing)), "a batch is a stage at least"
        return
    wanted = [(stage.name, rank) for stage in stages for rank in stage.missing()]
    assert [order for batch in found for job in batch.jobs for order in job] == wanted
    assert all(1 <= len(batch.jobs) <= max_array for batch in found)
    assert max_jobs is None or sum(len(batch.jobs) for batch in found) <= max_jobs
    for batch in found:
        assert batch.stages == tuple(dict.fromkeys(stage for job in batch.jobs for stage, _ in job))
        # Ranks of one stage may run side by side; those of several only one after the other.
        assert len(batch.stages) == 1 or len(batch.jobs) == 1
    for before, after in pairwise(found):
        assert not set(before.stages) & set(after.stages)

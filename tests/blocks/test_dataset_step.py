"""What a rank does with its units: what is left of one is done beside the next, and never forgotten."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

import pytest

from robotrove.blocks.dataset_step import DatasetStep


class Filer(DatasetStep):
    """Files units; they are committed by the thread that asks for it.

    Args:
        units: Their numbers; -1 cannot be written, -2 not be committed.
    """

    name = "filer"

    def __init__(self, *units: int) -> None:
        self._units = list(units)
        self.written: list[int] = []
        self.committed: list[int] = []
        self.most_waiting = 0
        self.threads: set[int] = set()

    def units(self) -> list[int]:
        return self._units

    def process(self, unit: int) -> Callable[[], None] | None:
        if unit == -1:
            raise OSError("no space for it")
        self.written.append(unit)
        self.most_waiting = max(self.most_waiting, len(self.written) - len(self.committed))
        return None if unit == 0 else lambda: self._commit(unit)

    def _commit(self, unit: int) -> None:
        if unit == -2:
            raise OSError("no disk for it")
        self.threads.add(threading.get_ident())
        self.committed.append(unit)


def run(step: DatasetStep, rank: int = 0, world_size: int = 1) -> None:
    deque(step.stage("process")(None, rank, world_size) or (), maxlen=0)


def test_a_rank_commits_its_units_in_other_threads() -> None:
    step = Filer(*range(1, 31))
    run(step, 1, 3)
    assert step.written == list(range(2, 31, 3))
    assert sorted(step.committed) == step.written
    assert threading.get_ident() not in step.threads


def test_few_units_wait_at_a_time() -> None:
    step = Filer(*range(1, 200))
    run(step)
    assert step.most_waiting <= 3  # the one that was just written, and two whose commits were begun


def test_a_unit_that_leaves_nothing_is_done() -> None:
    step = Filer(0, 1, 0)
    run(step)
    assert (step.written, step.committed) == ([0, 1, 0], [1])


@pytest.mark.parametrize("bad", [0, 1, 5, 9])
def test_a_commit_that_fails_fails_the_rank(bad: int) -> None:
    units = list(range(1, 11))
    units[bad] = -2
    step = Filer(*units)
    with pytest.raises(OSError, match="no disk for it"):
        run(step)
    assert set(step.committed) == set(step.written) - {-2}


def test_what_was_written_is_committed_though_a_later_unit_fails() -> None:
    step = Filer(1, 2, 3, -1, 4)
    with pytest.raises(OSError, match="no space for it"):
        run(step)
    assert step.written == [1, 2, 3]
    assert sorted(step.committed) == [1, 2, 3]


def test_a_commit_that_failed_is_told_though_a_later_unit_fails() -> None:
    step = Filer(-2, -1)
    with pytest.raises(OSError, match="no disk for it") as caught:
        run(step)
    assert str(caught.value.__context__) == "no space for it"


def test_outside_of_a_run_every_unit_is_committed() -> None:
    step = Filer(0, 1, 2)
    step.run_here()
    assert step.committed == [1, 2]

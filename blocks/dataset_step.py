"""Dataset step: block that works on a whole dataset: plan (one task), process (many), finish (one task)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, TypeAlias

from datatrove.pipeline.base import PipelineStep

from ..core.features import Features

Phase = Literal["plan", "process", "finish"]
Commit: TypeAlias = Callable[[], object]
PHASES: tuple[Phase, ...] = ("plan", "process", "finish")

_COMMITS = 2  # at a time: what is written but not yet on the disk stays in memory


class DatasetStep(ABC):
    """Three stages over the units of a dataset; each rank of the middle one takes units[rank::ranks].

    Attributes:
        name: Name in a pipeline file; the stages are called `<name>.<phase>`.
        makes: LeRobot version of the dataset that the block makes, None if it works on one that is there.
        needs: LeRobot version of the run's dataset that it works on, which a block before it must make; None for any.
        has_one_unit: True if there is never more than one unit, for which one rank is enough.
        is_light: True if its ranks do too little for jobs of their own on a cluster.
    """

    name = "dataset_step"
    role = "dataset"
    makes: str | None = None
    needs: str | None = None
    has_one_unit = False
    is_light = False

    def check_features(self, features: Features) -> None:  # noqa: B027 - most blocks take all
        """Refuse, before the run begins, a dataset of these features."""

    def check_datasets(self, features: Features, datasets: Sequence[Path]) -> None:  # noqa: B027 - most lose nothing
        """Refuse, before the run begins, what the block would lose of other datasets.

        Args:
            features: Those of the dataset.
            datasets: Folders of the datasets that the episodes come from, or of the base that the run appends to.
        """

    def check_ready(self, output: Path, formats: Sequence[str]) -> None:  # noqa: B027 - most blocks need nothing
        """Refuse, before a run begins, what would stop a block under `publish` at its end.

        Args:
            output: Folder that the run's output gets.
            formats: LeRobot versions that it makes.

        Raises:
            UsageError: If the block could not work.
        """

    def check_replaced(self, formats: Sequence[str], digests: Set[str]) -> None:  # noqa: B027 - most replace nothing
        """Refuse, before a run begins, what a block under `publish` would replace elsewhere.

        Args:
            formats: LeRobot versions that the run makes.
            digests: Digests of the recordings of its episodes, as far as they are known.

        Raises:
            UsageError: If that is another dataset.
        """

    def plan(self) -> None:  # noqa: B027 - many have nothing to decide
        """Decide the units and write them down; by default they are known."""

    @abstractmethod
    def units(self) -> list[Any]:
        """Return the units as they were written down."""

    @abstractmethod
    def process(self, unit: Any) -> Commit | None:
        """Make one output file; doing it again, or twice at once, gives the same.

        Returns:
            What brings the file to the disk and gives it its name, if that is left: it is done while the rank goes on
            with its next unit, which must not need the file.
        """

    def finish(self) -> None:  # noqa: B027 - and nothing to add
        """Write what needs all units; by default nothing does."""

    def run_here(self) -> None:
        """Do all of it in this process, outside of a run."""
        self.plan()
        for unit in self.units():
            if commit := self.process(unit):
                commit()
        self.finish()

    def stage(self, phase: Phase) -> PipelineStep:
        """Return the phase as a step that an executor can run."""
        return _PhaseStep(self, phase)


class _PhaseStep(PipelineStep):
    type = "🧩 - DATASET"

    def __init__(self, step: DatasetStep, phase: Phase) -> None:
        self.name = f"{step.name}.{phase}"
        super().__init__()
        self._step = step
        self._phase = phase

    def run(self, data: Iterable[Any] | None = None, rank: int = 0, world_size: int = 1) -> Iterator[Any]:
        if self._phase == "plan":
            self._step.plan()
        elif self._phase == "finish":
            self._step.finish()
        else:
            self._process(self._share(rank, world_size))
        yield from ()

    def _process(self, units: Iterable[Any]) -> None:
        commits: deque[Future[object]] = deque()
        with ThreadPoolExecutor(_COMMITS) as pool:
            try:
                for unit in units:
                    if commit := self._step.process(unit):
                        commits.append(pool.submit(commit))
                    if len(commits) > _COMMITS:
                        commits.popleft().result()
                    self.stat_update("units")
            finally:  # those begun are ended, whatever becomes of a later unit; if both fail, both are told
                for written in commits:
                    written.result()

    def is_idle(self, rank: int, world_size: int) -> bool:
        """Return True if a rank has nothing to do; executors ask before they open its logs."""
        if self._phase == "process":
            return not self._share(rank, world_size)
        return getattr(type(self._step), self._phase) is getattr(DatasetStep, self._phase)

    def _share(self, rank: int, world_size: int) -> list[Any]:
        return self._step.units()[rank::world_size]

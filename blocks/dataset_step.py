"""A block that works on a whole dataset: plan (one task), process (many), finish (one task)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from datatrove.pipeline.base import PipelineStep

from ..core.features import Features

Phase = Literal["plan", "process", "finish"]
PHASES: tuple[Phase, ...] = ("plan", "process", "finish")


class DatasetStep(ABC):
    """Three stages over the units of a dataset; each rank of the middle one takes units[rank::ranks].

    Attributes:
        name: Name in a pipeline file; the stages are called `<name>.<phase>`.
        makes: LeRobot version of the dataset that the block makes, None if it works on one that is there.
        needs: LeRobot version of the run's dataset that it works on, which a block before it must make; None for any.
        has_one_unit: True if there is never more than one unit, for which one rank is enough.
    """

    name = "dataset_step"
    role = "dataset"
    makes: str | None = None
    needs: str | None = None
    has_one_unit = False

    def check_features(self, features: Features) -> None:  # noqa: B027 - most blocks take all
        """Refuse, before the run begins, a dataset of these features."""

    def check_ready(self, output: Path, formats: Sequence[str]) -> None:  # noqa: B027 - most blocks need nothing
        """Refuse, before a run begins, what would stop a block under `publish` at its end.

        Args:
            output: Folder that the run's output gets.
            formats: LeRobot versions that it makes.

        Raises:
            UsageError: If the block could not work.
        """

    def plan(self) -> None:  # noqa: B027 - many have nothing to decide
        """Decide the units and write them down; by default they are known."""

    @abstractmethod
    def units(self) -> list[Any]:
        """Return the units as they were written down."""

    @abstractmethod
    def process(self, unit: Any) -> None:
        """Make one output file; doing it again, or twice at once, gives the same."""

    def finish(self) -> None:  # noqa: B027 - and nothing to add
        """Write what needs all units; by default nothing does."""

    def run_here(self) -> None:
        """Do all of it in this process, outside of a run."""
        self.plan()
        for unit in self.units():
            self.process(unit)
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
            for unit in self._share(rank, world_size):
                self._step.process(unit)
                self.stat_update("units")
        yield from ()

    def is_idle(self, rank: int, world_size: int) -> bool:
        """Return True if a rank has nothing to do; executors ask before they open its logs."""
        if self._phase == "process":
            return not self._share(rank, world_size)
        return getattr(type(self._step), self._phase) is getattr(DatasetStep, self._phase)

    def _share(self, rank: int, world_size: int) -> list[Any]:
        return self._step.units()[rank::world_size]

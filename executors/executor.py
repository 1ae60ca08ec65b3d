"""Executor: runs the ranks of a stage that have no completion mark."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Self

from .stage import Stage


class Executor(ABC):
    """Somewhere to run ranks; used as a context for the stages of one run."""

    @property
    def useful_ranks(self) -> int:
        """Ranks from which on more of them would only cost their logs: those of a new run's dataset stages."""
        return 64

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def prepare(self, stages: Sequence[Stage]) -> None:  # noqa: B027 - most executors have nothing to prepare
        """Hear of all stages before the first of them is launched."""

    def close(self) -> None:  # noqa: B027 - most executors hold nothing between stages
        """Let go of what was kept for further stages."""

    def run(self, stages: Iterable[Stage], on_poll: Callable[[], None]) -> None:
        """Run stage after stage; returns when all is done.

        Args:
            stages: What to run, in order.
            on_poll: Called about twice a second while ranks run.

        Raises:
            RobotroveError: If it is not a stage's turn, or ranks failed; nothing after that has been begun.
        """
        chain = list(stages)
        self.prepare(chain)
        for stage in chain:
            stage.check()
            self.launch(stage, on_poll)

    @abstractmethod
    def launch(self, stage: Stage, on_poll: Callable[[], None]) -> None:
        """Run every rank of the stage that lacks a completion mark.

        Args:
            stage: What to run.
            on_poll: Called about twice a second while ranks run.

        Raises:
            RankFailed: If ranks failed; the others have been finished first.
        """

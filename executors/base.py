"""What an executor does: run the ranks of a stage that lack a completion mark."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from ..core.errors import RankFailed

if TYPE_CHECKING:
    from .submission import Submission

Step = Callable[..., Any]
Steps = list[Step]

WORKERS_LOG = "workers.log"  # what workers on this machine print, beside the logging folders of the stages


@dataclass(frozen=True, slots=True)
class Stage:
    """A number of ranks that all run the same steps.

    Attributes:
        name: Name of the stage and of its folder in the logs.
        ranks: World size; never changes once the run is created.
        logs: datatrove's logging folder: completions, stats, logs.
        build: Makes fresh steps; each rank gets its own.
        command: Program that runs ranks of the run: reads lines "STAGE RANK" on its standard input
            and answers each with a line of JSON, {"error": ""} if the rank is complete.
        resume: The command that resumes the run, for error texts.
        run_dir: Folder of everything about the run.
        stop_on_failure: Start no further rank once one has failed.
        is_light: Its ranks do too little for jobs of their own on a cluster.
        check: Raises if it is not this stage's turn: an earlier one is incomplete, or left nothing to go on with.
    """

    name: str
    ranks: int
    logs: Path
    build: Callable[[], Steps]
    command: Sequence[str]
    resume: str
    run_dir: Path
    stop_on_failure: bool = False
    is_light: bool = False
    check: Callable[[], None] = lambda: None

    def missing(self) -> list[int]:
        """Return the ranks without a completion mark."""
        folder = self.logs / "completions"
        done = {entry.name for entry in folder.iterdir()} if folder.exists() else set()
        return [rank for rank in range(self.ranks) if f"{rank:05d}" not in done]

    def forget(self, ranks: Iterable[int]) -> None:
        """Take back completion marks, so that the ranks run again."""
        for rank in ranks:
            (self.logs / "completions" / f"{rank:05d}").unlink(missing_ok=True)

    def failed(self, failures: dict[int, str]) -> RankFailed:
        """Return the error for ranks that failed."""
        places = f"{self.logs}/logs, and {self.logs.parent}/{WORKERS_LOG}"
        return RankFailed(self.name, failures, places, self.resume)


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


class Detached(Executor):
    """An executor that can be left alone with the stages of a run."""

    @property
    @abstractmethod
    def is_detached(self) -> bool:
        """False if this process has to stay all the same."""

    @abstractmethod
    def submit(self, stages: Sequence[Stage]) -> Submission:
        """Have every rank without a completion mark run, each stage when the one before is over; returns at once.

        Returns:
            What was submitted; it is in the run directory too, from the first job on.

        Raises:
            RobotroveError: If no jobs are taken; those that were taken before are cancelled.
        """

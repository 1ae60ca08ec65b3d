"""What an executor does: run the ranks of a stage that lack a completion mark."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datatrove.executor.base import DistributedEnvVars, PipelineExecutor

from ..core.errors import RankFailed

Steps = list[Callable[..., Any]]


@dataclass(frozen=True, slots=True)
class Stage:
    """A number of ranks that all run the same steps.

    Attributes:
        name: Name of the stage and of its folder in the logs.
        ranks: World size; never changes once the run is created.
        logs: datatrove's logging folder: completions, stats, logs.
        build: Makes fresh steps; each rank gets its own.
        command: Program that runs ranks of this stage: reads rank numbers on its standard input.
        resume: The command that resumes the run, for error texts.
        stop_on_failure: Start no further rank once one has failed.
    """

    name: str
    ranks: int
    logs: Path
    build: Callable[[], Steps]
    command: Sequence[str]
    resume: str
    stop_on_failure: bool = False

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
        return RankFailed(self.name, failures, str(self.logs / "logs"), self.resume)


class Executor(ABC):
    """Somewhere to run ranks."""

    @abstractmethod
    def launch(self, stage: Stage, on_poll: Callable[[], None]) -> None:
        """Run every rank of the stage that lacks a completion mark.

        Args:
            stage: What to run.
            on_poll: Called about twice a second while ranks run.

        Raises:
            RankFailed: If ranks failed; the others have been finished first.
        """


class RankRunner(PipelineExecutor):  # type: ignore[misc]  # datatrove is untyped
    """Runs single ranks under datatrove's contract: its logs, stats and completion marks."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage.build(), str(stage.logs), skip_completed=True)
        self._stage = stage

    def run(self) -> None:
        """Run every missing rank here and now."""
        for rank in self._stage.missing():
            self.run_rank(rank)

    def run_rank(self, rank: int) -> None:
        """Run one rank with fresh steps; raises what the rank raises."""
        self.pipeline = self._stage.build()
        self._run_for_rank(rank)

    @property
    def world_size(self) -> int:
        """Number of ranks."""
        return self._stage.ranks

    def get_distributed_env(self, node_rank: int = -1) -> DistributedEnvVars:
        """Say that there is one node."""
        return DistributedEnvVars(
            datatrove_node_ips="localhost",
            datatrove_cpus_per_task="-1",
            datatrove_mem_per_cpu="-1",
            datatrove_gpus_on_node="-1",
            datatrove_executor="ROBOTROVE",
        )

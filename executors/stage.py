"""Stage of a run: a number of ranks that all run the same steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.errors import RankFailed

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

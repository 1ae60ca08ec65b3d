"""Ranks of a run that is known by its run directory alone."""

from __future__ import annotations

from pathlib import Path

from ...executors.rank_runner import RankRunner
from .preflight import check_same_environment
from .stages import stage_of, stages, workspace_of


class RunRanks:
    """Runs ranks of one run; what a stage needs is built once.

    Args:
        run_dir: The run directory.

    Raises:
        RobotroveError: If this machine would make other bytes than the one on which the run was created.
    """

    def __init__(self, run_dir: Path) -> None:
        self._workspace = workspace_of(run_dir)
        self._runners: dict[str, RankRunner] = {}
        check_same_environment(self._workspace)

    def warm_up(self) -> None:
        """Import most of what ranks need, while there is nothing else to do."""
        stages(self._workspace)[0].build()

    def __call__(self, stage: str, rank: int) -> None:
        """Run a rank, if it is its stage's turn: a cluster starts jobs whatever became of those before."""
        if stage not in self._runners:
            found = stage_of(self._workspace, stage)
            found.check()
            self._runners[stage] = RankRunner(found)
        self._runners[stage].run_rank(rank)

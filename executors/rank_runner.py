"""Rank runner: one rank under datatrove's contract, with its logs, stats and completion mark."""

from __future__ import annotations

import ctypes
from typing import Any

from datatrove.executor.base import DistributedEnvVars, PipelineExecutor
from datatrove.utils.logging import logger

from ..core.errors import without_controls
from .stage import RankMarks, Stage

# malloc.h of glibc
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
_BATCH_SIZED = 3 << 20  # batches of frames are larger; what is smaller and more frequent is better kept


class RankRunner(PipelineExecutor):
    """Runs single ranks of a stage."""

    def __init__(self, stage: Stage) -> None:
        give_memory_back()
        logger.configure(patcher=_patch)
        self._stage = stage
        self._asked = stage.build()  # steps that never run, so that they can be asked about every rank
        super().__init__(self._asked, str(stage.logs), skip_completed=True)

    def run(self) -> None:
        """Run every missing rank here and now."""
        for rank in self._stage.missing(fresh=True):
            self.run_rank(rank)

    def run_rank(self, rank: int) -> None:
        """Run one rank with fresh steps; raises what it raises. Without anything to do, it is complete at once."""
        if not (self._stage.logs / "executor.json").exists():
            self.save_executor_as_json()  # datatrove's own tools read the number of ranks from it
        if any(getattr(step, "is_idle", _never)(rank, self.world_size) for step in self._asked):
            self.mark_rank_as_completed(rank)
            return
        self.pipeline = self._stage.build()
        with RankMarks(self._stage.logs).at_work(rank):
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


def _never(rank: int, world_size: int) -> bool:
    return False


def _patch(record: dict[str, Any]) -> None:
    """Make a line of the log one that terminals can show: names in files reach it."""
    record["message"] = without_controls(record["message"])


def give_memory_back() -> None:
    """Make glibc return large blocks to the system when they are freed; elsewhere do nothing.

    Left alone, it keeps freed batches of frames in an arena per thread, in case they are wanted
    again: with two cameras of 640x480 that is half as much again as everything else.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _BATCH_SIZED)
        mallopt(_M_ARENA_MAX, 2)

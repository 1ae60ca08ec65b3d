"""Waiting for jobs on a cluster until they have done what they were submitted for, or cannot."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from ..core.errors import RankFailed, RobotroveError, UsageError
from . import slurm_queue
from .base import Stage
from .job_states import JobStates
from .submission import job_name

_POLL_S = 1.0
_QUEUE_EVERY_S = 5.0


def wait(stages: Sequence[Stage], jobs: Path, on_poll: Callable[[], None]) -> None:
    """Wait until every rank is complete, or no job is left that could make it so.

    Args:
        stages: What was submitted.
        jobs: The run's folder for jobs.
        on_poll: Called about once a second.

    Raises:
        RankFailed: See `check_complete`.
        UsageError: If the cluster will never start what is left.
    """
    asked, is_over = 0.0, False
    live: Sequence[slurm_queue.Job] = ()
    while any(stage.missing() for stage in stages) and not is_over:
        on_poll()
        time.sleep(_POLL_S)
        if time.monotonic() - asked > _QUEUE_EVERY_S:
            asked = time.monotonic()
            with suppress(RobotroveError):  # a controller that is being restarted; the jobs go on
                live = slurm_queue.live_jobs(job_name(jobs))
                is_over = not live
            _check_can_start(live)
    check_complete(stages, jobs)


def check_complete(stages: Sequence[Stage], jobs: Path) -> None:
    """Refuse stages with ranks that are not complete; arguments as those of `wait`.

    Raises:
        RankFailed: With the ranks of the first such stage.
    """
    states = JobStates(jobs)
    for stage in stages:
        if missing := stage.missing():
            resume = f"{stage.resume} --executor slurm"
            raise RankFailed(stage.name, states.failures(stage, missing), str(jobs), resume)


def _check_can_start(live: Sequence[slurm_queue.Job]) -> None:
    stuck = [job for job in live if job.reason in slurm_queue.NEVER]
    if stuck and not any(job.is_running for job in live):
        raise UsageError(
            f"job {stuck[0].job_id}",
            f"cannot start: {stuck[0].reason}",
            "a time, memory and number of CPUs that the partition has",
            "robotrove cancel RUN_DIR, see `executor:` in the pipeline, then repeat the command",
        )

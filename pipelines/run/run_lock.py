"""Run lock: one command at a time on a run, and none while cluster jobs work on it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager

from ...core.errors import RobotroveError, RunLocked
from ...core.lease import lease
from ...core.workspace import Workspace
from ...executors.slurm.job_states import JobStates


@contextmanager
def exclusive(workspace: Workspace) -> Iterator[None]:
    """Hold the run while the block runs.

    Raises:
        RunLocked: If another command holds it, or jobs of it are not over.
        RobotroveError: If there may be such jobs, and this machine cannot tell.
    """
    with lease(workspace.lock):
        _check_no_jobs(workspace)
        yield


def _check_no_jobs(workspace: Workspace) -> None:
    states = JobStates(workspace.jobs)
    if states.submission is None or workspace.is_finished:
        return
    who = f"{states.submission.user}, submitted on {states.submission.host},"
    if states.live is None:
        raise RobotroveError(
            str(workspace.jobs),
            f"no cluster says whether the jobs {', '.join(states.numbers)} of {who} are over",
            "a machine where squeue works",
            f"rerun the command there; if they are known to be over, remove {workspace.jobs}",
        )
    run_dir = shlex.quote(str(workspace.run_dir))
    if states.live:
        raise RunLocked(
            str(workspace.run_dir),
            f"job {', '.join(states.numbers)} of {who}",
            f"robotrove status {run_dir} shows it, robotrove cancel {run_dir} ends it",
        )

"""Cancelling a run: its jobs, or the command that works on it."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import time

from ...core.errors import UsageError, printable
from ...core.lease import has_open, holder_of, is_held, is_here
from ...core.workspace import Workspace
from ...executors.slurm import slurm_queue
from ...executors.slurm.job_states import JobStates
from ...executors.slurm.submission import job_name

_PATIENCE_S = 15.0


def cancel(workspace: Workspace) -> list[str]:
    """End the jobs of a run and the command that works on it; returns what was ended, a sentence each.

    What the files of the run name is not believed: only jobs with a script of this run are cancelled, and only a
    process that has the run's lock open is interrupted.

    Raises:
        UsageError: If that command is on another machine, or is not known to work on this run.
        RobotroveError: If the cluster does not answer.
    """
    found = []
    states = JobStates(workspace.jobs)
    if states.submission is not None and states.live != {}:
        name = job_name(workspace.jobs)
        own = slurm_queue.cancel(name, workspace.jobs)
        if own:
            found.append(f"cancelled the jobs of {name}: {', '.join(own)}")
        if others := [job for job in states.numbers if job not in own]:
            found.append(f"left job {', '.join(others)} of that name: its script is in another folder")
    if is_held(workspace.lock):
        found.append(_ended(_holder(workspace), workspace))
    return found or ["nothing works on this run"]


def _holder(workspace: Workspace) -> int:
    """Return the process that works on a run, once it is known to do so."""
    holder, run_dir = holder_of(workspace.lock), shlex.quote(str(workspace.run_dir))
    pid, host = holder.get("pid"), holder.get("host")
    if not is_here(holder):
        place = "another container" if host == socket.gethostname() else printable(str(host))
        raise UsageError(
            str(workspace.run_dir),
            f"process {pid} on {place} works on it",
            f"a command on {place}",
            f"there: robotrove cancel {run_dir}",
        )
    if not has_open(int(str(pid)), workspace.lock):
        raise UsageError(
            str(workspace.lock),
            f"names process {pid}, which is not known to have this file open",
            "the lock of a command that works on this run",
            f"if process {pid} is that command: kill -INT {pid}",
        )
    return int(str(pid))


def _ended(pid: int, workspace: Workspace) -> str:
    """End the command that works on a run, and say how."""
    # As Ctrl-C does; what a script started in the background hears of no such thing.
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            break
        until = time.monotonic() + _PATIENCE_S
        while is_held(workspace.lock) and time.monotonic() < until:
            time.sleep(0.1)
        if not is_held(workspace.lock):
            break
    else:
        return f"process {pid} was told to end, and has not done so yet"
    return f"interrupted process {pid}"

"""Cancelling a run: its jobs, or the command that works on it."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import time

from ...core.errors import UsageError
from ...core.lease import holder_of, is_held
from ...core.workspace import Workspace
from ...executors.slurm import slurm_queue
from ...executors.slurm.job_states import JobStates

_PATIENCE_S = 15.0


def cancel(workspace: Workspace) -> list[str]:
    """End the jobs of a run and the command that works on it; returns what was ended, a sentence each.

    Raises:
        UsageError: If that command is on another machine.
        RobotroveError: If the cluster does not answer.
    """
    found = []
    states = JobStates(workspace.jobs)
    if states.submission is not None and states.live != {}:
        slurm_queue.cancel(states.submission.name)
        found.append(f"cancelled the jobs of {states.submission.name}: {', '.join(states.numbers)}")
    if is_held(workspace.lock):
        holder = holder_of(workspace.lock)
        if holder.get("host") != socket.gethostname():
            raise UsageError(
                str(workspace.run_dir),
                f"process {holder.get('pid')} on {holder.get('host')} works on it",
                f"a command on {holder.get('host')}",
                f"there: robotrove cancel {shlex.quote(str(workspace.run_dir))}",
            )
        found.append(_ended(int(str(holder["pid"])), workspace))
    return found or ["nothing works on this run"]


def _ended(pid: int, workspace: Workspace) -> str:
    """End the command that works on a run, and say how."""
    # As Ctrl-C does; what a script started in the background hears of no such thing.
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            break
        except PermissionError as exc:
            raise UsageError(str(workspace.run_dir), f"process {pid} is another user's", "one of your own") from exc
        until = time.monotonic() + _PATIENCE_S
        while is_held(workspace.lock) and time.monotonic() < until:
            time.sleep(0.1)
        if not is_held(workspace.lock):
            break
    else:
        return f"process {pid} was told to end, and has not done so yet"
    return f"interrupted process {pid}"

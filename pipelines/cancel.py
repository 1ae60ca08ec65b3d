"""Ending what works on a run."""

from __future__ import annotations

import os
import signal
import socket

from ..core.errors import UsageError
from ..core.lease import holder_of, is_held
from ..core.workspace import Workspace
from ..executors import slurm_queue
from ..executors.job_states import JobStates


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
                f"there: robotrove cancel {workspace.run_dir}",
            )
        os.kill(int(str(holder["pid"])), signal.SIGINT)  # as Ctrl-C does: it ends its workers
        found.append(f"interrupted process {holder['pid']}")
    return found or ["nothing works on this run"]

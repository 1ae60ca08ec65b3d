"""States of a run's ranks, from plain files and, where the cluster can be asked, from its queue."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ...core.errors import RobotroveError
from ..stage import RankMarks, Stage
from . import slurm_queue
from .slurm_queue import Job
from .submission import Submission, log_of

# What tells why a job ended, among what it printed last; what srun says of a task comes after the cause.
_TELLING = re.compile(
    r"^(?!srun: error: \S+: task).*([Ee]rror|CANCELLED|No module|No such file|not found|Killed|told to end)"
)
_TAIL_BYTES = 4096
_COMPLETED = "COMPLETED"
_READ_LOGS = 20  # of so many ranks the cause is looked up in what their job printed


@dataclass(frozen=True, slots=True)
class RankStates:
    """The ranks of a stage that are not complete.

    Attributes:
        running: A process works on them.
        pending: They wait for a job, or for their turn in one.
        failed: They ended otherwise, and wait for nothing.
    """

    running: Sequence[int] = ()
    pending: Sequence[int] = ()
    failed: Sequence[int] = ()


class JobStates:
    """The jobs of a run at one moment.

    Args:
        folder: The run's folder for jobs; need not exist.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.submission = Submission.read(folder) if folder.exists() else None

    @cached_property
    def live(self) -> Mapping[tuple[str, int], Job] | None:
        """(Job, task) of every job that is not over; None if this machine cannot tell."""
        if self.submission is None or self.submission.cluster != "slurm":
            return {}
        if slurm_queue.is_here():
            with suppress(RobotroveError):
                if self.submission.where and self.submission.where != slurm_queue.cluster_name():
                    return None  # another cluster that sees the same files
                return {(job.job_id, job.task): job for job in slurm_queue.live_jobs(self.submission.name)}
        return None

    @property
    def numbers(self) -> list[str]:
        """Jobs that are not over, also those that nobody noted; those noted where this machine cannot tell."""
        if self.live is None:
            return self.submission.job_ids if self.submission else []
        return sorted({job.job_id for job in self.live.values()}, key=int)

    def of(self, stage: Stage, *, is_held: bool) -> RankStates:
        """Return what the ranks of a stage are doing.

        Args:
            stage: The stage.
            is_held: Whether a command works on the run.
        """
        marks = RankMarks(stage.logs)
        at_work, noted = marks.running(), set(marks.failures())
        live, jobs = self.live or {}, self._jobs_of(stage) if self.live is not None else []
        missing = stage.missing(fresh=any((job_id, task) not in live for job_id, task, _ in jobs))
        rest = [rank for rank in missing if rank not in at_work]
        waiting, over = set(rest) - noted if is_held or self.live is None else set(), noted
        for job_id, task, ranks in jobs:
            job = live.get((job_id, task))
            if job is None:
                over |= set(ranks)
            else:  # one that waits runs all of them, also those that failed before it was queued again
                waiting |= set(ranks) - noted if job.is_running else set(ranks)
        return RankStates(
            [rank for rank in missing if rank in at_work],
            [rank for rank in rest if rank in waiting],
            [rank for rank in rest if rank in over - waiting],
        )

    def _jobs_of(self, stage: Stage) -> list[tuple[str, int, list[int]]]:
        """Return (job, task, ranks) of those that are on the cluster; elsewhere the command itself waits for them."""
        is_there = self.submission is not None and self.submission.cluster == "slurm"
        return list(self.submission.jobs_of(stage.name)) if self.submission and is_there else []

    def completed(self, stage: Stage, ranks: Sequence[int]) -> list[int]:
        """Return those ranks with jobs that ended well, as the accounting says."""
        return [rank for rank, (_, state) in self._ended(stage, ranks).items() if state == _COMPLETED]

    def failures(self, stage: Stage, ranks: Sequence[int]) -> dict[int, str]:
        """Return rank to why it is not complete, of ranks that are over."""
        noted = RankMarks(stage.logs).failures()
        found = {rank: noted.get(rank, "was not started") for rank in ranks}
        for number, (rank, (job, state)) in enumerate(self._ended(stage, ranks).items()):
            said = last_words(self.log(stage, rank)) if number < _READ_LOGS else ""
            if state == _COMPLETED:
                said = f"its mark is not visible on {socket.gethostname()}"
            found[rank] = f"job {job} is {state.lower()}" + (f": {said}" if said else "")
        return found

    def _ended(self, stage: Stage, ranks: Sequence[int]) -> dict[int, tuple[str, str]]:
        """Return rank to its job and how that ended, of ranks that nobody noted as failed."""
        noted = RankMarks(stage.logs).failures()
        jobs = {rank: (job, task) for job, task, own in self._jobs_of(stage) for rank in own}
        unknown = [rank for rank in ranks if rank not in noted and rank in jobs]
        ended = slurm_queue.ended_states(sorted({jobs[rank][0] for rank in unknown})) if unknown else {}
        found = {}
        for rank in unknown:
            rest = ended.get((jobs[rank][0], slurm_queue.REST), "over")
            found[rank] = "_".join(map(str, jobs[rank])), ended.get(jobs[rank], rest)
        return found

    def log(self, stage: Stage, rank: int) -> Path | None:
        """Return what the job of a rank prints into, None if it has no job."""
        for job_id, batch in self.submission.batches if self.submission else ():
            for task, orders in enumerate(batch.jobs):
                if (stage.name, rank) in orders:
                    return log_of(self._folder, job_id, task, is_array=len(batch.jobs) > 1)
        return None


def last_words(path: Path | None) -> str:
    """Return the last line of a log that says why a job ended, else its last line; empty if there is none."""
    lines = tail(path) if path else []
    return next((line for line in reversed(lines) if _TELLING.search(line)), lines[-1] if lines else "")


def tail(path: Path) -> list[str]:
    """Return the last lines of a log, without reading all of it; none if it is not there."""
    try:
        with open(path, "rb") as stream:
            stream.seek(max(0, os.fstat(stream.fileno()).st_size - _TAIL_BYTES))
            text = stream.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return []
    return [line.rstrip() for line in text.splitlines() if line.strip()]

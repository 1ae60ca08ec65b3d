"""Submission of a run's stages as batches of jobs, and the file that remembers it."""

from __future__ import annotations

import json
import re
import secrets
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from math import ceil
from pathlib import Path
from typing import Any, Self

from ...core.commit import exists_now, write_file
from ...core.errors import UsageError, printable
from ..executor import Executor
from ..stage import Stage

Order = tuple[str, int]  # stage and rank

FILE = "submission.json"
_NAME_FILE = "name"
_NAME = re.compile(r"robotrove-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Batch:
    """Jobs that are submitted together, and begin when those of the batch before are over.

    Attributes:
        stages: The stages that it runs.
        jobs: The orders of each job, run one after the other.
    """

    stages: tuple[str, ...]
    jobs: tuple[tuple[Order, ...], ...]


def batches(stages: Iterable[Stage], *, ranks_per_job: int, max_array: int, max_jobs: int | None) -> list[Batch]:
    """Return every missing rank of the stages in as few batches as their order allows.

    Stages of one rank, and light ones, share one job: on a busy cluster each job waits in the queue.

    Args:
        stages: Every stage of the run, in order.
        ranks_per_job: Ranks that a job gets at least.
        max_array: Jobs that one array may have.
        max_jobs: Jobs that may be submitted in all; None for any number.

    Raises:
        UsageError: If there are more batches than jobs that may be submitted.
    """
    runs: list[_Run] = []
    for stage in stages:
        orders = [(stage.name, rank) for rank in stage.missing(fresh=True)]
        if not orders:
            continue
        fits_one_job = stage.is_light or len(orders) == 1
        if fits_one_job and runs and runs[-1].is_one_job:
            runs[-1].orders.extend(orders)
        else:
            runs.append(_Run(orders, fits_one_job))
    if max_jobs is not None and max_jobs < len(runs):
        raise UsageError(
            "slurm",
            f"allows {max(0, max_jobs)} more jobs (MaxSubmitJobs)",
            f"{len(runs)} at least: one for each group of stages",
            "wait until your other jobs have ended (squeue --me), then rerun the command",
        )
    shares = _shares([1 if run.is_one_job else ceil(len(run.orders) / ranks_per_job) for run in runs], max_jobs)
    return [_batch(run, ranks_per_job, min(max_array, share)) for run, share in zip(runs, shares, strict=True)]


@dataclass(frozen=True, slots=True)
class _Run:
    orders: list[Order]
    is_one_job: bool


def _shares(wanted: Sequence[int], max_jobs: int | None) -> list[int]:
    """Share out jobs: one each, and of the rest in proportion to what is wanted beyond."""
    more, total = [count - 1 for count in wanted], sum(wanted)
    if max_jobs is None or total <= max_jobs:
        return list(wanted)
    return [1 + extra * (max_jobs - len(wanted)) // sum(more) for extra in more]


def _batch(run: _Run, ranks_per_job: int, max_count: int) -> Batch:
    orders = run.orders
    stages = tuple(dict.fromkeys(stage for stage, _ in orders))
    size = len(orders) if run.is_one_job else max(ranks_per_job, ceil(len(orders) / max_count))
    return Batch(stages, tuple(tuple(orders[first : first + size]) for first in range(0, len(orders), size)))


@dataclass(frozen=True, slots=True)
class Submission:
    """Jobs that the last command submitted.

    Attributes:
        name: Name of all its jobs; the run's own, for as long as it lives.
        cluster: "slurm", or where submitit ran it instead.
        user: Who submitted it.
        host: Where.
        batches: Each with the number that sbatch gave it.
        where: Name of the Slurm cluster that has them; "" where it is none.
    """

    name: str
    cluster: str
    user: str
    host: str
    batches: list[tuple[str, Batch]] = field(default_factory=list)
    where: str = ""

    def write(self, folder: Path) -> None:
        """Write it, whole or not at all."""
        write_file(folder / FILE, json.dumps(asdict(self)).encode())

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """Return what was submitted from a run, None if nothing was."""
        with suppress(FileNotFoundError):
            entry = json.loads((folder / FILE).read_text())
            return cls(**{**entry, "batches": [(job, _batch_of_entry(batch)) for job, batch in entry["batches"]]})
        return None

    def jobs_of(self, stage: str) -> Iterator[tuple[str, int, list[int]]]:
        """Yield (job, task, ranks) of every job that has ranks of a stage."""
        for job_id, batch in self.batches:
            if stage in batch.stages:
                for task, orders in enumerate(batch.jobs):
                    yield job_id, task, [rank for name, rank in orders if name == stage]

    @property
    def job_ids(self) -> list[str]:
        """The numbers that sbatch gave, in order."""
        return [job_id for job_id, _ in self.batches]


def _batch_of_entry(entry: dict[str, Any]) -> Batch:
    jobs = tuple(tuple((stage, rank) for stage, rank in job) for job in entry["jobs"])
    return Batch(tuple(entry["stages"]), jobs)


def job_name(folder: Path) -> str:
    """Return the name of all jobs of a run, made at the first call: by it they are found even if nobody noted them.

    Args:
        folder: The run's folder for jobs.

    Raises:
        UsageError: If the name is not one that robotrove gives.
    """
    path = folder / _NAME_FILE
    if not exists_now(path):
        folder.mkdir(parents=True, exist_ok=True)
        write_file(path, f"robotrove-{secrets.token_hex(6)}".encode())
    if not _NAME.fullmatch(name := path.read_text()):
        raise UsageError(
            str(path), f"{printable(name)} cannot be the name of jobs of a run", "robotrove-, 12 hex digits"
        )
    return name


def log_of(folder: Path, job_id: str, task: int, *, is_array: bool) -> Path:
    """Return where a job's output goes; submitit chooses the name."""
    return folder / f"{job_id}_{task}_0_log.out" if is_array else folder / f"{job_id}_0_log.out"


class Detached(Executor):
    """An executor that can be left alone with the stages of a run."""

    @property
    @abstractmethod
    def is_detached(self) -> bool:
        """False if this process has to stay all the same."""

    @abstractmethod
    def submit(self, stages: Sequence[Stage]) -> Submission:
        """Have every rank without a completion mark run, each stage when the one before is over; returns at once.

        Returns:
            What was submitted; it is in the run directory too, from the first job on.

        Raises:
            RobotroveError: If no jobs are taken; those that were taken before are cancelled.
        """

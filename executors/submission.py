"""submission.json: which job has which ranks, written down so that anybody can say later what became of them."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from ..core.commit import write_file
from .batches import Batch

FILE = "submission.json"
_NAME_FILE = "name"


@dataclass(frozen=True, slots=True)
class Submission:
    """What the last command submitted.

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
            return cls(**{**entry, "batches": [(job, _batch(batch)) for job, batch in entry["batches"]]})
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


def _batch(entry: dict[str, Any]) -> Batch:
    jobs = tuple(tuple((stage, rank) for stage, rank in job) for job in entry["jobs"])
    return Batch(tuple(entry["stages"]), jobs)


def job_name(folder: Path) -> str:
    """Return the name of all jobs of a run, made at the first call: by it they are found even if nobody noted them.

    Args:
        folder: The run's folder for jobs.
    """
    path = folder / _NAME_FILE
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_file(path, f"robotrove-{secrets.token_hex(6)}".encode())
    return path.read_text()


def log_of(folder: Path, job_id: str, task: int, *, is_array: bool) -> Path:
    """Return where a job's output goes; submitit chooses the name."""
    return folder / f"{job_id}_{task}_0_log.out" if is_array else folder / f"{job_id}_0_log.out"

"""How the ranks of a run's stages become jobs: what is submitted together, and how many ranks a job gets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil

from ..core.errors import UsageError
from .base import Stage

Order = tuple[str, int]  # stage and rank


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

    Stages of one rank, and those that are light, go into one job with their like: on a busy cluster each job waits
    anew.

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
        orders = [(stage.name, rank) for rank in stage.missing()]
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
            f"lets you submit {max(0, max_jobs)} more jobs (MaxSubmitJobs)",
            f"{len(runs)} at least: one for each group of stages",
            "wait until other jobs of yours are over (squeue --me), then repeat the command",
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

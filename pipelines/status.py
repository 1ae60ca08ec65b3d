"""How far a run is, read from its files alone: during the run, after it, or on another machine.

Where a cluster can be asked, its queue says which ranks wait; nothing else rests on it.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Literal

from ..core.lease import is_held
from ..core.workspace import Workspace
from ..executors.slurm.job_states import JobStates, RankStates, tail
from ..executors.stage import Stage
from .stages import stages

_QUEUE_EVERY_S = 5.0  # the controller of a cluster serves many
_SILENT_EVERY_S = 60.0  # one that is down is waited for 10 s each time
_SHOWN = 5  # failed ranks
_LAST_LINES = 3


@dataclass(frozen=True, slots=True)
class StageStatus:
    """Ranks of one stage: those that are neither done nor counted here have not been begun by anybody."""

    name: str
    done: int
    ranks: int
    running: int = 0
    pending: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What a run has made.

    Attributes:
        listed: Episodes in the manifest, or in the datasets that the run takes them from.
        kept: Episodes committed so far; of datasets all at once, at the end.
        rejected: Reason to number of episodes rejected so far, planning included.
        frames: Frames committed so far.
        total_frames: Frames of all episodes that planning kept.
        frames_per_s: Committed frames per second in the last two minutes.
        seconds_left: Estimate for the conversion, None if nothing is known.
        unit: What progress is counted in: "episodes", or "ranks" where datasets are made of datasets.
        done: How many of these are done.
        total: How many there are.
    """

    listed: int
    kept: int
    rejected: Mapping[str, int]
    frames: int
    total_frames: int
    frames_per_s: float
    seconds_left: float | None
    unit: Literal["episodes", "ranks"]
    done: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStatus(Counts):
    """A run at one moment.

    Attributes:
        state: planned, pending (jobs wait and none has begun), running, stopped or finished.
        stages: Each stage's ranks.
        jobs: Jobs on a cluster that are not over.
        waiting_for: What the cluster says they wait for, to number of jobs, or of tasks of arrays.
        logs: Folder of the logs of all stages.
    """

    state: str
    stages: Sequence[StageStatus]
    jobs: Sequence[str]
    waiting_for: Mapping[str, int]
    logs: str


@dataclass(frozen=True, slots=True)
class FailedRank:
    """A rank that ended before it was complete.

    Attributes:
        stage: Its stage.
        rank: Its number.
        why: What it, its worker or its job said.
        log: The file that says more.
        last_lines: How that ends.
    """

    stage: str
    rank: int
    why: str
    log: str
    last_lines: Sequence[str]


class StatusReader(ABC):
    """Reads the status of one run again and again."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._stages = stages(workspace)
        self._jobs: JobStates | None = None
        self._ask_again = 0.0

    @abstractmethod
    def _counts(self, done: Sequence[StageStatus]) -> Counts:
        """Return what is made now."""

    def read(self) -> RunStatus:
        """Return the status now."""
        ranks = [_stage_status(stage, states) for stage, states in self._states()]
        counts = self._counts(ranks)
        jobs = (self._job_states().live or {}).values()
        return RunStatus(
            **{field.name: getattr(counts, field.name) for field in fields(counts)},
            state=self._state(ranks),
            stages=ranks,
            jobs=sorted({job.job_id for job in jobs}, key=int),
            waiting_for=dict(Counter(job.reason for job in jobs if not job.is_running)),
            logs=str(self._workspace.logs("")),
        )

    def failures(self) -> list[FailedRank]:
        """Return the first ranks that failed, by stage and rank."""
        found: list[FailedRank] = []
        jobs = self._job_states()
        for stage, states in self._states():
            shown = states.failed[: _SHOWN - len(found)]
            for rank, why in jobs.failures(stage, shown).items():
                log = jobs.log(stage, rank) or stage.logs / "logs" / f"task_{rank:05d}.log"
                found.append(FailedRank(stage.name, rank, why, str(log), tail(log)[-_LAST_LINES:]))
        return found

    def _states(self) -> list[tuple[Stage, RankStates]]:
        held = is_held(self._workspace.lock)
        return [(stage, self._job_states().of(stage, is_held=held)) for stage in self._stages]

    def _job_states(self) -> JobStates:
        if self._jobs is None or time.monotonic() > self._ask_again:
            self._jobs = JobStates(self._workspace.jobs)
            rest = _QUEUE_EVERY_S if self._jobs.live is not None else _SILENT_EVERY_S
            self._ask_again = time.monotonic() + rest
        return self._jobs

    def _state(self, ranks: Sequence[StageStatus]) -> str:
        if self._workspace.is_finished:
            return "finished"
        if is_held(self._workspace.lock) or any(stage.running for stage in ranks):
            return "running"
        if live := self._job_states().live:
            return "running" if any(job.is_running for job in live.values()) else "pending"
        return "stopped" if any(stage.done for stage in ranks) or list(self._workspace.partials()) else "planned"


def _stage_status(stage: Stage, states: RankStates) -> StageStatus:
    done = stage.ranks - len(stage.missing())
    return StageStatus(stage.name, done, stage.ranks, len(states.running), len(states.pending), len(states.failed))

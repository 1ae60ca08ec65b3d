"""Status of a run, read from its files: stages, ranks, episodes, frames, failures; and listeners for its progress."""

from __future__ import annotations

import os
import time
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

from ...core.errors import RobotroveError
from ...core.lease import is_held
from ...core.version import __version__
from ...core.workspace import Workspace
from ...executors.slurm.job_states import JobStates, RankStates, tail
from ...executors.slurm.slurm_queue import held
from ...executors.stage import Stage
from ...manifests.events import Event, EventReader
from ...manifests.manifest import Manifest
from ...manifests.run_info import RunIdentity, RunInfo, read_json, skipped
from ...manifests.shard import Shard
from .stages import stages

_QUEUE_EVERY_S = 5.0  # the controller of a cluster serves many
_SILENT_EVERY_S = 60.0  # one that is down is waited for 10 s each time
_SHOWN = 5  # failed ranks
_LAST_LINES = 3

_RATE_WINDOW_S = 120.0


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
    """Progress of a run in numbers.

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
        state: planned, pending (jobs wait and none has begun), held (until a person releases a job), running, stopped
            or finished.
        stages: Each stage's ranks.
        jobs: Jobs on a cluster that are not over.
        held: Jobs that wait until a person releases them, to the reason.
        waiting_for: What the cluster says they wait for, to number of jobs, or of tasks of arrays.
        logs: Folder of the logs of all stages.
        version: The version of robotrove that made the run.
    """

    state: str
    stages: Sequence[StageStatus]
    jobs: Sequence[str]
    held: Mapping[str, str]
    waiting_for: Mapping[str, int]
    logs: str
    version: str


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
    """Reads the status of one run again and again.

    Args:
        workspace: The run.
        stages: Its stages, in order.
    """

    def __init__(self, workspace: Workspace, stages: Sequence[Stage]) -> None:
        self._workspace = workspace
        self._version = RunIdentity.read(workspace.run).version
        self._stages = stages
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
            held={job.job_id: job.reason for job in jobs if job.is_held},
            waiting_for=dict(Counter(job.reason for job in jobs if not job.is_running and not job.is_held)),
            logs=str(self._workspace.logs("")),
            version=self._version,
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
            if held(live.values()):
                return "held"
            return "running" if any(job.is_running for job in live.values()) else "pending"
        return "stopped" if any(stage.done for stage in ranks) or list(self._workspace.partials()) else "planned"


def _stage_status(stage: Stage, states: RankStates) -> StageStatus:
    done = stage.ranks - len(stage.missing())
    return StageStatus(stage.name, done, stage.ranks, len(states.running), len(states.pending), len(states.failed))


class ConversionStatusReader(StatusReader):
    """Reads the status of a run that converts recordings; remembers shards that are finished."""

    def __init__(self, workspace: Workspace, stages: Sequence[Stage]) -> None:
        super().__init__(workspace, stages)
        self._lengths, reasons = Manifest.columns(workspace.manifest, "length", "reason")
        self._planned = Counter(filter(None, reasons))
        kept = zip(self._lengths, reasons, strict=True)
        self._total_frames = sum(length for length, reason in kept if not reason)
        self._shards: dict[int, Shard] = {}
        self._events = EventReader(workspace.events)
        self._recent: deque[Event] = deque()

    def _counts(self, done: Sequence[StageStatus]) -> Counts:
        lengths = self._lengths
        rejected = self._planned.copy()
        kept = frames = skipped = 0
        for shard in self._committed():
            kept += len(shard.kept)
            frames += shard.frames
            rejected.update(entry.reason for entry in shard.rejected)
            skipped += sum(lengths[entry.index] for entry in shard.rejected)
        for folder in self._workspace.partials():
            try:
                names = os.listdir(folder)
            except FileNotFoundError:  # its shard has just been finished
                continue
            committed = [int(name[1:]) for name in names if name[1:].isdigit()]
            refused = [int(name[1:8]) for name in names if name.endswith(".rejected.json")]
            kept += len(committed)
            frames += sum(lengths[index] for index in committed)
            skipped += sum(lengths[index] for index in refused)
            if refused:
                rejected["in shards in progress"] += len(refused)
        rate = self._rate()
        left = max(0, self._total_frames - frames - skipped)
        return Counts(
            listed=len(lengths),
            kept=kept,
            rejected=dict(rejected),
            frames=frames,
            total_frames=self._total_frames,
            frames_per_s=rate,
            seconds_left=left / rate if rate else None,
            unit="episodes",
            done=kept + rejected.total(),
            total=len(lengths),
        )

    def _committed(self) -> list[Shard]:
        """Return the finished shards by rank; each is read once."""
        names = os.listdir(self._workspace.shards) if self._workspace.shards.exists() else []
        for rank in (int(name) for name in names if name.isdigit()):
            if rank not in self._shards:
                folder, is_sealed = self._workspace.shard(rank), self._version == __version__
                self._shards[rank] = Shard.read(folder, pixels=False, is_sealed=is_sealed)
        return [self._shards[rank] for rank in sorted(self._shards)]

    def _rate(self) -> float:
        now = time.time()
        self._recent.extend(self._events.read(since=now - _RATE_WINDOW_S))
        while self._recent and self._recent[0].time < now - _RATE_WINDOW_S:
            self._recent.popleft()
        if not self._recent:
            return 0.0
        span = now - min(event.time for event in self._recent)
        frames: int = sum(self._lengths[event.episode] for event in self._recent if event.kind == "committed")
        return frames / max(span, 1e-3)


class DatasetStatusReader(StatusReader):
    """Reads the status of a run that has no source."""

    def __init__(self, workspace: Workspace, stages: Sequence[Stage]) -> None:
        super().__init__(workspace, stages)
        inputs = RunInfo.read(workspace.run).inputs
        self._episodes = sum(dataset.episodes for dataset in inputs)
        self._kept = sum(dataset.kept for dataset in inputs)
        self._skipped = skipped(inputs)
        self._frames = sum(dataset.kept_frames for dataset in inputs)

    def _counts(self, done: Sequence[StageStatus]) -> Counts:
        made, total = sum(stage.done for stage in done), sum(stage.ranks for stage in done)
        is_complete = made == total
        return Counts(
            listed=self._episodes,
            kept=self._kept if is_complete else 0,
            rejected=dict(self._skipped),
            frames=self._frames if is_complete else 0,
            total_frames=self._frames,
            frames_per_s=0.0,
            seconds_left=None,
            unit="ranks",
            done=made,
            total=total,
        )


class LogStatusReader(StatusReader):
    """Reads the status of a run directory in an unknown format: the ranks of its stages only."""

    def _counts(self, done: Sequence[StageStatus]) -> Counts:
        return Counts(
            listed=0,
            kept=0,
            rejected={},
            frames=0,
            total_frames=0,
            frames_per_s=0.0,
            seconds_left=None,
            unit="ranks",
            done=sum(stage.done for stage in done),
            total=sum(stage.ranks for stage in done),
        )


def status_reader(workspace: Workspace) -> StatusReader:
    """Return a reader for the status of a run, whichever version made it."""
    if RunIdentity.read(workspace.run).version == __version__:
        return status_of_stages(workspace, stages(workspace))
    known = begun = _begun_stages(workspace)
    with suppress(RobotroveError, OSError):  # its pipeline has another format, or a block that cannot be imported now
        # Started stages keep the rank count of their executor.json; this version may compute another.
        known = {stage.name: stage for stage in stages(workspace)} | begun
    try:
        reader = status_of_stages(workspace, list(known.values()))
        reader.read()
    except (RobotroveError, OSError):  # its files have another format
        return LogStatusReader(workspace, list(begun.values()))
    return reader


def status_of_stages(workspace: Workspace, known: Sequence[Stage]) -> StatusReader:
    """Return a reader for the status of a run with known stages."""
    kind = DatasetStatusReader if RunInfo.read(workspace.run).inputs else ConversionStatusReader
    return kind(workspace, known)


def _begun_stages(workspace: Workspace) -> dict[str, Stage]:
    """Return the started stages by name, oldest first, from datatrove's executor.json."""
    begun = {}
    for path in sorted(workspace.logs("").glob("*/executor.json"), key=lambda path: path.stat().st_mtime_ns):
        logs = path.parent
        with suppress(OSError, ValueError, KeyError, TypeError):  # it may be half written
            begun[logs.name] = Stage(
                logs.name, int(read_json(path)["world_size"]), logs, list, (), "", workspace.run_dir
            )
    return begun


class Watcher(ABC):
    """Told what happens while a run is planned and executed."""

    @abstractmethod
    def planning(self, done: int, total: int) -> None:
        """Files read so far, and in all."""

    @abstractmethod
    def started(self, status: RunStatus) -> None:
        """The stages begin."""

    @abstractmethod
    def progress(self, status: RunStatus) -> None:
        """About twice a second while ranks run."""

    def moved_aside(self, folder: Path, target: Path, count: int) -> None:  # noqa: B027 - others say nothing
        """A folder of the run before, of so many bytes, got another name; this one begins."""


class Silent(Watcher):
    """Tells nobody."""

    def planning(self, done: int, total: int) -> None:
        """Say nothing."""

    def started(self, status: RunStatus) -> None:
        """Say nothing."""

    def progress(self, status: RunStatus) -> None:
        """Say nothing."""

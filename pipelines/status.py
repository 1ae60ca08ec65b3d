"""How far a run is, read from its files alone: during the run, after it, or on another machine."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ..core.lease import is_held
from ..core.workspace import Workspace
from ..manifests.report import RejectedLine
from .stages import stages


@dataclass(frozen=True, slots=True)
class StageStatus:
    """Ranks of one stage."""

    name: str
    done: int
    ranks: int


@dataclass(frozen=True, slots=True)
class RunStatus:
    """A run at one moment.

    Attributes:
        state: planned, running, stopped or finished.
        stages: Each stage's ranks.
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

    state: str
    stages: Sequence[StageStatus]
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


class StatusReader(ABC):
    """Reads the status of one run again and again."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._stages = stages(workspace)

    @abstractmethod
    def read(self) -> RunStatus:
        """Return the status now."""

    @abstractmethod
    def rejections(self) -> list[RejectedLine]:
        """Return every rejection of planning and of finished shards, in manifest order."""

    def _ranks(self) -> list[StageStatus]:
        return [StageStatus(stage.name, stage.ranks - len(stage.missing()), stage.ranks) for stage in self._stages]

    def _state(self, done: Sequence[StageStatus]) -> str:
        if self._workspace.report.exists():
            return "finished"
        if is_held(self._workspace.lock):
            return "running"
        return "stopped" if any(stage.done for stage in done) or list(self._workspace.partials()) else "planned"

"""How far a run is that makes datasets of datasets: episodes are decided all at once, so ranks are counted."""

from __future__ import annotations

from collections.abc import Sequence

from ..core.workspace import Workspace
from ..manifests.run_info import RunInfo
from .status import Counts, StageStatus, StatusReader


class DatasetStatus(StatusReader):
    """Reads the status of a run that has no source."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        inputs = RunInfo.read(workspace.run).inputs
        self._episodes = sum(dataset.episodes for dataset in inputs)
        self._frames = sum(dataset.frames for dataset in inputs)

    def _counts(self, done: Sequence[StageStatus]) -> Counts:
        made, total = sum(stage.done for stage in done), sum(stage.ranks for stage in done)
        is_complete = made == total
        return Counts(
            listed=self._episodes,
            kept=self._episodes if is_complete else 0,
            rejected={},
            frames=self._frames if is_complete else 0,
            total_frames=self._frames,
            frames_per_s=0.0,
            seconds_left=None,
            unit="ranks",
            done=made,
            total=total,
        )

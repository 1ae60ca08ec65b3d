"""How far a run is that makes datasets of datasets: episodes are decided all at once, so ranks are counted."""

from __future__ import annotations

from ..core.workspace import Workspace
from ..manifests.report import RejectedLine
from ..manifests.run_info import RunInfo
from .status import RunStatus, StatusReader


class DatasetStatus(StatusReader):
    """Reads the status of a run that has no source."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        inputs = RunInfo.read(workspace.run).inputs
        self._episodes = sum(dataset.episodes for dataset in inputs)
        self._frames = sum(dataset.frames for dataset in inputs)

    def read(self) -> RunStatus:
        """Return the status now."""
        ranks = self._ranks()
        done, total = sum(stage.done for stage in ranks), sum(stage.ranks for stage in ranks)
        is_complete = done == total
        return RunStatus(
            state=self._state(ranks),
            stages=ranks,
            listed=self._episodes,
            kept=self._episodes if is_complete else 0,
            rejected={},
            frames=self._frames if is_complete else 0,
            total_frames=self._frames,
            frames_per_s=0.0,
            seconds_left=None,
            unit="ranks",
            done=done,
            total=total,
        )

    def rejections(self) -> list[RejectedLine]:
        """Return nothing: every episode of a dataset is kept."""
        return []

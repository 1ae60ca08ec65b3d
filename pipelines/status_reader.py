"""Which status a run has."""

from __future__ import annotations

from ..core.workspace import Workspace
from ..manifests.run_info import RunInfo
from .conversion_status import ConversionStatus
from .dataset_status import DatasetStatus
from .status import StatusReader


def status_reader(workspace: Workspace) -> StatusReader:
    """Return a reader for the status of a run."""
    return DatasetStatus(workspace) if RunInfo.read(workspace.run).inputs else ConversionStatus(workspace)

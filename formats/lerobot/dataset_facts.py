"""From a run's identity to the facts about its dataset."""

from __future__ import annotations

from ...manifests.run_info import RunInfo
from .source import DatasetFacts


def dataset_facts(run: RunInfo) -> DatasetFacts:
    """Return what every writer of the run's dataset has to know."""
    identity = {"run_digest": run.digest, "robotrove_version": run.version, "encoder_version": run.encoder}
    return DatasetFacts(run.features, run.fps, run.robot_type, identity)

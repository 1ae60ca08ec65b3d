"""Finished run: the recordings that a dataset was made from."""

from __future__ import annotations

import json
from pathlib import Path

from ...core.errors import UsageError
from ...manifests.manifest import Manifest
from ...manifests.run_info import RunInfo
from ...verification.source.recordings import Recordings
from ..spec.resolved_pipeline import load_frozen
from .preflight import check_same_version
from .stages import workspace_of


def finished_run(run_dir: Path) -> Recordings:
    """Return the recordings that a finished run kept.

    Raises:
        UsageError: If `run_dir` is no finished run that read recordings, or another version made it.
    """
    workspace = workspace_of(run_dir)
    check_same_version(workspace, "run the pipeline again into another --output, or leave out --source")
    if not workspace.report.exists():
        raise UsageError(
            str(run_dir),
            "this run is not finished",
            "the run directory of a complete dataset",
            f"robotrove run {workspace.pipeline} --run-dir {run_dir}",
        )
    if not workspace.manifest.exists():
        raise UsageError(
            str(run_dir),
            "this run took its episodes from datasets, so there is no recording to compare with",
            "the run directory of a conversion",
            "leave out --source",
        )
    pipeline = load_frozen(workspace)
    lines = workspace.rejected.read_text(encoding="utf-8").splitlines()
    rejected = {(line["source"], line["key"]) for line in map(json.loads, lines)}
    manifest = Manifest.read(workspace.manifest).rows
    return Recordings(
        run_dir=workspace.run_dir,
        run_digest=RunInfo.read(workspace.run).digest,
        rows=[row for row in manifest if (row.source, row.key) not in rejected],
        episodes=pipeline.reader.read,
        steps=pipeline.steps,
        video=pipeline.video,
    )

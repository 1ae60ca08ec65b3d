"""The stages of a run, rebuilt from the run directory alone."""

from __future__ import annotations

import shlex
import sys
from functools import partial
from pathlib import Path

from ..blocks.aggregator import Aggregator
from ..blocks.binding import Binding, Bound
from ..blocks.dataset_step import PHASES, DatasetStep
from ..core.errors import UsageError
from ..core.workspace import Workspace
from ..executors.base import Stage, Steps
from ..manifests.manifest import Manifest
from ..manifests.run_info import RunInfo
from .arguments import build
from .spec import PipelineSpec

CONVERT = "convert"


def workspace_of(run_dir: Path) -> Workspace:
    """Return the workspace of an existing run directory.

    Raises:
        UsageError: If the folder is not one.
    """
    workspace = Workspace(run_dir.expanduser().absolute(), Path())
    if not workspace.run.exists():
        raise UsageError(str(run_dir), "is not a run directory", "a folder with run.json", "robotrove run PIPELINE")
    return Workspace(workspace.run_dir, Path(RunInfo.read(workspace.run).output))


def stages(workspace: Workspace) -> list[Stage]:
    """Return every stage of a run in order."""
    run = RunInfo.read(workspace.run)
    ranks = {f"{Aggregator.name}.{phase}": 1 for phase in PHASES} | {f"{Aggregator.name}.process": run.aggregate_ranks}
    ranks = {CONVERT: Manifest.read(workspace.manifest).n_shards} | ranks
    return [_stage(workspace, name, count, run) for name, count in ranks.items()]


def stage_of(workspace: Workspace, name: str) -> Stage:
    """Return one stage by name."""
    return next(stage for stage in stages(workspace) if stage.name == name)


def _stage(workspace: Workspace, name: str, ranks: int, run: RunInfo) -> Stage:
    return Stage(
        name=name,
        ranks=ranks,
        logs=workspace.logs(name),
        build=partial(stage_steps, workspace, name),
        command=[sys.executable, "-m", f"{__package__}.worker", str(workspace.run_dir)],
        resume=f"robotrove run {shlex.quote(str(workspace.pipeline))} --run-dir {shlex.quote(str(workspace.run_dir))}",
        stop_on_failure=run.on_error == "stop",
    )


def stage_steps(workspace: Workspace, name: str) -> Steps:
    """Build the steps of a stage from the frozen pipeline."""
    binding = Binding(workspace, RunInfo.read(workspace.run))
    if name == CONVERT:
        spec = PipelineSpec.from_yaml(workspace.pipeline.read_text(encoding="utf-8"), str(workspace.pipeline))
        blocks = [build(block) for block in spec.blocks()]
        for block in blocks:
            if isinstance(block, Bound):
                block.bind(binding)
        return blocks
    step: DatasetStep = Aggregator()
    step.bind(binding)  # type: ignore[attr-defined]  # Aggregator is Bound
    phase = next(phase for phase in PHASES if name.endswith(f".{phase}"))
    return [step.stage(phase)]

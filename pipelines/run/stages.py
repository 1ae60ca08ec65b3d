"""Stages of a run, rebuilt from the run directory alone."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from ...blocks.binding import Binding
from ...blocks.dataset.committer import Committer
from ...blocks.dataset_step import PHASES, DatasetStep
from ...core.errors import RobotroveError, UsageError
from ...core.workspace import Workspace
from ...executors.stage import Stage, Step, Steps
from ...executors.worker import command
from ...manifests.manifest import Manifest
from ...manifests.run_info import RunIdentity, RunInfo
from ..plan.append_base import check_same_base
from ..plan.input_datasets import check_same_inputs
from ..spec.resolved_pipeline import CONVERT, ResolvedPipeline, block_stage, load_frozen
from .reporting import check_books, check_kept, write_report

StageSizes = Sequence[tuple[str, int, bool]]

COMMIT = "commit"
REPORT = "report"


def workspace_of(run_dir: Path) -> Workspace:
    """Return the workspace of an existing run directory, whichever version made it.

    Raises:
        UsageError: If the folder is not one.
    """
    workspace = Workspace(run_dir.expanduser().absolute(), Path())
    if not workspace.run.exists():
        raise UsageError(str(run_dir), "is not a run directory", "a folder with run.json", "robotrove run PIPELINE")
    return Workspace(workspace.run_dir, Path(RunIdentity.read(workspace.run).output))


def stages(workspace: Workspace) -> list[Stage]:
    """Return every stage of a run in order; no block is imported for that.

    Raises:
        UsageError: If an earlier version made the run, and only blocks of the user know its stages.
    """
    run = RunInfo.read(workspace.run)
    sizes = run.stages or _stages_of_earlier(workspace, run)
    found: list[Stage] = []
    for name, ranks, is_light in sizes:
        found.append(_stage(workspace, name, ranks, is_light, run, found[-1] if found else None))
    return found


def _stages_of_earlier(workspace: Workspace, run: RunInfo) -> StageSizes:
    pipeline = load_frozen(workspace)
    if any(":" in block.use for block in (*pipeline.spec.dataset, *pipeline.spec.publish)):
        raise UsageError(str(workspace.pipeline), "names blocks from outside", "blocks of robotrove")
    return stage_sizes(pipeline, run, Manifest.shards(workspace.manifest) if pipeline.spec.source else 0)


def stage_sizes(pipeline: ResolvedPipeline, run: RunInfo, shards: int) -> StageSizes:
    """Return the stages of a run in order, each its name, its ranks and whether a rank takes little time."""
    sizes = {CONVERT: (shards, False)} if pipeline.spec.source else {}
    kinds = pipeline.kinds("dataset"), pipeline.kinds("publish")
    sizes |= _block_stages(kinds[0], 0, run) | {COMMIT: (1, False)}
    sizes |= _block_stages(kinds[1], len(kinds[0]), run) | {REPORT: (1, False)}
    return [(name, *size) for name, size in sizes.items()]


def _block_stages(
    kinds: Sequence[tuple[str, type[DatasetStep]]], first: int, run: RunInfo
) -> dict[str, tuple[int, bool]]:
    """Return the stages of blocks, each its name and its class; the first one has this number."""
    sizes: dict[str, tuple[int, bool]] = {}
    for number, (use, kind) in enumerate(kinds, first):
        sizes |= {block_stage(number, use, phase): (1, False) for phase in PHASES}
        if not kind.has_one_unit:
            sizes[block_stage(number, use, "process")] = (run.dataset_ranks, kind.is_light)
    return sizes


def stage_of(workspace: Workspace, name: str) -> Stage:
    """Return one stage by name."""
    return next(stage for stage in stages(workspace) if stage.name == name)


def _stage(workspace: Workspace, name: str, ranks: int, is_light: bool, run: RunInfo, earlier: Stage | None) -> Stage:
    return Stage(
        name=name,
        ranks=ranks,
        logs=workspace.logs(name),
        build=partial(stage_steps, workspace, name),
        command=command(workspace.run_dir),
        resume=workspace.resume,
        run_dir=workspace.run_dir,
        stop_on_failure=run.on_error == "stop",
        is_light=is_light,
        check=partial(_check_turn, workspace, name, earlier),
    )


def _check_turn(workspace: Workspace, name: str, earlier: Stage | None) -> None:
    """Refuse to begin a stage before the one before it is complete, or where that left nothing to go on with."""
    if earlier is None:
        return
    if missing := earlier.missing(fresh=True):
        ranks = ", ".join(map(str, missing[:5])) + (", …" if len(missing) > 5 else "")
        raise RobotroveError(
            f"stage {name}",
            f"does not begin: {len(missing)} of {earlier.ranks} ranks of stage {earlier.name} are incomplete ({ranks})",
            todo=f"see why with robotrove status {_quoted(workspace.run_dir)}, then resume with: {earlier.resume}",
        )
    if earlier.name == CONVERT:
        check_kept(workspace)
    if name == COMMIT:
        run = RunInfo.read(workspace.run)
        if run.inputs:
            check_same_inputs(load_frozen(workspace).spec, run.inputs, workspace, is_finished=workspace.output.exists())
        if not (binding := Binding(workspace, run)).has_output:
            check_same_base(binding)
        check_books(binding)


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))


def stage_steps(workspace: Workspace, name: str) -> Steps:
    """Build the steps of a stage from the frozen pipeline."""
    binding = Binding(workspace, RunInfo.read(workspace.run))
    pipeline = load_frozen(workspace)
    if name == COMMIT:
        committer = Committer()
        committer.bind(binding)
        return [committer.stage("finish")]
    if name == REPORT:
        return [_report(binding, pipeline)]
    return pipeline.fresh_steps(name, binding)


def _report(binding: Binding, pipeline: ResolvedPipeline) -> Step:
    def step(data: object, rank: int = 0, world_size: int = 1) -> Iterator[object]:
        write_report(binding, pipeline)
        yield from ()

    return step

"""Creation of a run: plan it, and write down what it starts from."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import astuple, replace
from typing import TYPE_CHECKING, Any

from ...core.commit import write_file
from ...core.errors import RobotroveError, UsageError
from ...core.features import Features
from ...core.version import __version__
from ...core.workspace import Workspace
from ...manifests.run_info import RunInfo
from ...manifests.run_report import RunReport
from ..plan.append_base import ALREADY_THERE, check_base, read_base
from ..plan.input_datasets import read_inputs
from ..spec.arguments import BlockSpec, build
from ..spec.pipeline_spec import PipelineSpec
from ..spec.resolved_pipeline import spec_digest, video_of
from .watcher import Watcher

if TYPE_CHECKING:
    from ..plan.planner import Plan


def plan_of(spec: PipelineSpec, on_file: Callable[[int, int], None] = lambda done, total: None) -> Plan:
    """Plan a pipeline that has a source, without writing anything."""
    from ...blocks.reader import Reader
    from ..plan.planner import make_plan

    reader, *steps = [build(block) for block in (_source(spec), *spec.steps)]
    if not isinstance(reader, Reader):
        raise UsageError("source", f"{_source(spec).use} cannot list episodes", "a block derived from Reader")
    makers = [build(block) for block in spec.dataset]
    # Whether to keep what LeRobot 0.3.3 cannot load is an argument of the block that makes version 2.1.
    for_v21 = any(maker.makes == "v2.1" and not getattr(maker, "allow_long", False) for maker in makers)
    base = read_base(spec)
    plan = make_plan(reader, steps, video_of(spec), on_file, for_v21=for_v21, datasets=len(spec.formats), base=base)
    if plan.features:
        _check_features(makers, plan.features)
    return plan


def _check_features(makers: Iterable[Any], features: Features) -> None:
    for maker in makers:
        maker.check_features(features)


def _source(spec: PipelineSpec) -> BlockSpec:
    if spec.source is None:
        raise UsageError("pipeline", "takes episodes from datasets", "a pipeline with a `source`")
    return spec.source


def create(spec: PipelineSpec, workspace: Workspace, encoder: str, watcher: Watcher, *, most_ranks: int) -> RunInfo:
    """Write down a new run, with at most so many ranks for each stage of a dataset block.

    Raises:
        NothingNew: If the dataset that is appended to has all episodes; nothing was written.
        UsageError: If there is nothing to make a dataset of, or the episodes cannot join the one that is there.
        RobotroveError: If an episode is bad and the pipeline says `on_error: stop`.
    """
    if spec.source is None:
        plan = None
        run = _of_datasets(spec, workspace, encoder, watcher)
    else:
        plan = plan_of(spec, watcher.planning)
        _check_new(plan, workspace)
        _check_usable(plan, spec)
        if plan.base is not None:
            check_base(plan.base, spec, video_of(spec))
        run = _of_source(spec, workspace, encoder, plan)
    run = replace(run, dataset_ranks=min(run.dataset_ranks, most_ranks))
    workspace.shards.mkdir(parents=True, exist_ok=True)
    with suppress(FileNotFoundError):  # of a run with the same name whose run directory was removed
        shutil.rmtree(workspace.output_partial(run.run_id))
    write_file(workspace.pipeline, spec.to_yaml().encode())
    if plan is not None:
        plan.manifest.write(workspace.manifest)
    run.write(workspace.run)  # last: its presence says that the run exists
    return run


class NothingNew(Exception):
    """The dataset that is appended to has all episodes.

    Attributes:
        report: What was found.
    """

    def __init__(self, report: RunReport) -> None:
        self.report = report
        super().__init__(report.output)


def _check_new(plan: Plan, workspace: Workspace) -> None:
    rows = plan.manifest.rows
    reasons = Counter(row.reason for row in rows)
    if plan.base is None or not reasons[ALREADY_THERE] or reasons[""] or any(row.error for row in rows):
        return
    raise NothingNew(
        RunReport(
            output=str(workspace.output),
            run_dir=str(workspace.run_dir),
            listed=len(rows),
            kept=0,
            frames=0,
            rejected=dict(reasons),
            errors=0,
            notes=plan.notes,
            base=plan.base.dataset,
        )
    )


def _check_usable(plan: Plan, spec: PipelineSpec) -> None:
    if not any(True for _ in plan.manifest.kept):
        reasons = Counter(f"{row.reason}: {row.detail}" for row in plan.manifest.rows)
        listed = "\n    ".join(f"{count} × {text}" for text, count in reasons.most_common(10))
        raise UsageError(
            "source",
            f"none of {len(plan.manifest.rows)} episodes can be kept\n    {listed}",
            "at least one episode",
            "robotrove inspect FILE shows what is in a file; robotrove plan PIPELINE what would happen",
        )
    bad = next((row for row in plan.manifest.rows if row.error), None)
    if bad is not None and spec.on_error == "stop":
        raise RobotroveError(
            bad.label, f"{bad.reason}: {bad.detail}", "no bad episode (on_error: stop)", "mend it, or on_error: reject"
        )


def _of_source(spec: PipelineSpec, workspace: Workspace, encoder: str, plan: Plan) -> RunInfo:
    sources = [[row.source, row.key, row.digest, row.length, row.reason] for row in plan.manifest.rows]
    base = plan.base.dataset if plan.base is not None else None
    return RunInfo(
        digest=_digest(spec, encoder, sources if base is None else [*sources, [base.digest]]),
        version=__version__,
        encoder=encoder,
        output=str(workspace.output),
        features=plan.features,
        fps=plan.fps,
        robot_type=getattr(build(spec.writer), "robot_type", None) if spec.writer else None,
        dataset_ranks=plan.manifest.n_shards + (base.files if base is not None else 0),
        on_error=spec.on_error,
        spec_digest=spec_digest(spec, __version__),
        notes=plan.notes,
        formats=list(spec.formats),
        inputs=[],
        base=base,
    )


def _of_datasets(spec: PipelineSpec, workspace: Workspace, encoder: str, watcher: Watcher) -> RunInfo:
    inputs = read_inputs(spec.datasets, watcher.planning)
    if not inputs.episodes:
        raise UsageError(", ".join(spec.datasets), "no episode is in them", "at least one episode")
    _check_features(map(build, spec.dataset), inputs.features)
    return RunInfo(
        # Where they are does not count, so that the dataset does not depend on it; how they were given is in the spec.
        digest=_digest(spec, encoder, [list(astuple(dataset)[1:]) for dataset in inputs.datasets]),
        version=__version__,
        encoder=encoder,
        output=str(workspace.output),
        features=inputs.features,
        fps=inputs.fps,
        robot_type=inputs.robot_type,
        dataset_ranks=max(1, inputs.files),
        on_error=spec.on_error,
        spec_digest=spec_digest(spec, __version__),
        notes=[],
        formats=list(spec.formats),
        inputs=inputs.datasets,
    )


def _digest(spec: PipelineSpec, encoder: str, sources: list[list[Any]]) -> str:
    return hashlib.sha256(json.dumps([spec_digest(spec, __version__), encoder, sources]).encode()).hexdigest()

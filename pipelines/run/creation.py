"""Creation of a run: plan it, and write down what it starts from."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import astuple, replace
from itertools import chain
from typing import Any

from ...core.commit import write_file
from ...core.errors import RobotroveError, UsageError
from ...core.version import __version__
from ...core.workspace import Workspace
from ...formats.lerobot.datasets.open_dataset import open_dataset
from ...formats.lerobot.datasets.provenance import known_digests
from ...manifests.run_info import RunInfo
from ...manifests.run_report import RunReport
from ..plan.append_base import ALREADY_THERE, check_base
from ..plan.input_datasets import read_inputs
from ..plan.planner import Plan, make_plan
from ..spec.resolved_pipeline import ResolvedPipeline
from .stages import stage_sizes


def create(
    pipeline: ResolvedPipeline,
    workspace: Workspace,
    encoder: str,
    on_file: Callable[[int, int], None] = lambda done, total: None,
    *,
    most_ranks: int,
) -> RunInfo:
    """Write down a new run, with at most so many ranks for each stage of a dataset block.

    Raises:
        NothingNew: If the dataset that is appended to has all episodes; nothing was written.
        UsageError: If there is nothing to make a dataset of, or the episodes cannot join the one that is there.
        RobotroveError: If an episode is bad and the pipeline says `on_error: stop`.
    """
    if pipeline.spec.source is None:
        plan = None
        run = _of_datasets(pipeline, workspace, encoder, on_file)
    else:
        plan = make_plan(pipeline, on_file)
        _check_new(plan, workspace)
        _check_usable(plan, pipeline.spec.on_error)
        if plan.base is not None:
            check_base(plan.base, pipeline)
        known = plan.base.episodes if plan.base is not None else ()
        _check_replaced(pipeline, chain((digest for digest, _ in known), (row.digest for row in plan.manifest.kept)))
        run = _of_source(pipeline, workspace, encoder, plan)
    run = replace(run, dataset_ranks=min(run.dataset_ranks, most_ranks))
    run = replace(run, stages=stage_sizes(pipeline, run, plan.manifest.n_shards if plan else 0))
    workspace.shards.mkdir(parents=True, exist_ok=True)
    with suppress(FileNotFoundError):  # of a run with the same name and a removed run directory
        shutil.rmtree(workspace.output_partial(run.run_id))
    write_file(workspace.pipeline, pipeline.spec.to_yaml().encode())
    if plan is not None:
        plan.manifest.write(workspace.manifest)
    run.write(workspace.run)  # last: its presence says that the run exists
    return run


def _check_replaced(pipeline: ResolvedPipeline, digests: Iterable[str]) -> None:
    known = frozenset(digests) if pipeline.publish else frozenset()
    for block in pipeline.publish:
        block.check_replaced(pipeline.formats, known)


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


def _check_usable(plan: Plan, on_error: str) -> None:
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
    if bad is not None and on_error == "stop":
        raise RobotroveError(
            bad.label,
            f"{bad.reason}: {bad.detail}",
            "no damaged episode (on_error: stop)",
            "fix it, or on_error: reject",
        )


def _of_source(pipeline: ResolvedPipeline, workspace: Workspace, encoder: str, plan: Plan) -> RunInfo:
    sources = [[row.source, row.key, row.digest, row.length, row.reason] for row in plan.manifest.rows]
    base = plan.base.dataset if plan.base is not None else None
    return RunInfo(
        digest=_digest(pipeline, encoder, sources if base is None else [*sources, [base.digest]]),
        version=__version__,
        encoder=encoder,
        output=str(workspace.output),
        features=plan.features,
        fps=plan.fps,
        robot_type=pipeline.robot_type,
        dataset_ranks=plan.manifest.n_shards + (base.files if base is not None else 0),
        on_error=pipeline.spec.on_error,
        spec_digest=pipeline.digest,
        notes=plan.notes,
        formats=list(pipeline.formats),
        inputs=[],
        base=base,
        may_drop=pipeline.may_drop,
        annotations=plan.annotations,
        edits=plan.base.info.run.get("edits", []) if plan.base is not None else [],
    )


def _of_datasets(
    pipeline: ResolvedPipeline, workspace: Workspace, encoder: str, on_dataset: Callable[[int, int], None]
) -> RunInfo:
    inputs = read_inputs(pipeline.spec.datasets, pipeline.annotations, on_dataset, pipeline.on_duplicate, pipeline.edit)
    if not inputs.episodes:
        raise UsageError(", ".join(pipeline.spec.datasets), "no episode is in them", "at least one episode")
    paths = [dataset.path for dataset in inputs.datasets]
    pipeline.check_blocks(inputs.features, paths)
    _check_replaced(pipeline, chain.from_iterable(known_digests(open_dataset(path)) for path in paths))
    return RunInfo(
        # Where they are does not count, so that the dataset does not depend on it; how they were given is in the spec.
        digest=_digest(pipeline, encoder, [list(astuple(dataset)[1:]) for dataset in inputs.datasets]),
        version=__version__,
        encoder=encoder,
        output=str(workspace.output),
        features=inputs.features,
        fps=inputs.fps,
        robot_type=inputs.robot_type,
        dataset_ranks=max(1, inputs.files),
        on_error=pipeline.spec.on_error,
        spec_digest=pipeline.digest,
        notes=inputs.notes,
        formats=list(pipeline.formats),
        inputs=inputs.datasets,
        annotations=inputs.annotations,
        edits=inputs.edits,
    )


def _digest(pipeline: ResolvedPipeline, encoder: str, sources: list[list[Any]]) -> str:
    return hashlib.sha256(json.dumps([pipeline.digest, encoder, sources]).encode()).hexdigest()

"""Running a pipeline: create or resume the run, launch its stages, count what came of it."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from .. import __version__
from ..blocks.hdf5_reader import Hdf5Reader
from ..blocks.shard_writer import ShardWriter
from ..core.commit import write_file
from ..core.errors import RobotroveError, UsageError
from ..core.lease import lease
from ..core.workspace import Workspace
from ..executors.base import Executor
from ..formats.lerobot import paths
from ..manifests.report import RunReport, write_rejected
from ..manifests.run_info import RunInfo
from ..media.encoder import check_available, encoder_version
from ..media.settings import VideoSettings
from .arguments import build
from .fresh import forget_lost, move_aside
from .planner import Plan, make_plan
from .preflight import check_output_free, check_same_pipeline, check_same_sources, check_writable, in_words
from .retry import prepare_retry
from .spec import PipelineSpec, spec_digest
from .stages import CONVERT, stages
from .status import StatusReader
from .watcher import Silent, Watcher

MAX_DATASET_RANKS = 64


def plan_of(spec: PipelineSpec, on_file: Callable[[int, int], None] = lambda done, total: None) -> Plan:
    """Plan a pipeline without writing anything."""
    reader, *steps = [build(block) for block in (spec.source, *spec.steps)]
    if not isinstance(reader, Hdf5Reader):
        raise UsageError("source", f"{spec.source.use} cannot list episodes", "hdf5_reader")
    return make_plan(reader, steps, _video(build(spec.writer)), on_file)


def _video(writer: object) -> VideoSettings:
    return (writer.video if isinstance(writer, ShardWriter) else None) or VideoSettings()


def execute(
    spec: PipelineSpec,
    workspace: Workspace,
    executor: Executor,
    *,
    fresh: bool = False,
    retry_rejected: bool = False,
    watcher: Watcher | None = None,
) -> RunReport:
    """Run a pipeline to its end, or go on with a run that was interrupted.

    Args:
        spec: The pipeline.
        workspace: Run directory and output.
        executor: Where ranks run.
        fresh: Move an earlier run and its output aside and start over.
        retry_rejected: Try episodes again that a finished or unfinished run rejected for bad data.
        watcher: Told about the progress.

    Raises:
        UsageError: For an output that is not ours, a run that was started with something else, or
            nothing to convert.
        RankFailed: If ranks failed; the same command resumes the run.
    """
    watcher = watcher or Silent()
    started = time.monotonic()
    video = _video(build(spec.writer))
    check_available(video)
    check_writable(workspace)
    if fresh:
        move_aside(workspace)
    with in_words(workspace), lease(workspace.lock):
        workspace.sweep()
        encoder = encoder_version(video)
        if workspace.run.exists():
            run = RunInfo.read(workspace.run)
            check_same_pipeline(spec, run, workspace, encoder)
            is_finished = workspace.report.exists() and workspace.output.exists()
            check_same_sources(spec, workspace, is_finished=is_finished and not retry_rejected)
            check_output_free(workspace, run)
            reopened = retry_rejected and prepare_retry(workspace, run)
            if is_finished and not reopened:
                report = RunReport.read(workspace.report)
                return replace(report, was_finished=True)
            forget_lost(workspace, run)
        else:
            check_output_free(workspace, None)
            run = _create(spec, workspace, encoder, watcher)
        status = StatusReader(workspace)
        watcher.started(status.read())
        with executor:
            for stage in stages(workspace):
                executor.launch(stage, lambda: watcher.progress(status.read()))
                if stage.name == CONVERT:
                    _check_kept(workspace, status)
        report = _report(workspace, run, status, time.monotonic() - started)
        watcher.progress(status.read())
    return report


def _check_kept(workspace: Workspace, status: StatusReader) -> None:
    if status.read().kept == 0:
        lines = status.rejections()
        write_rejected(workspace.rejected, lines)
        raise UsageError(
            str(workspace.output),
            f"none of {len(lines)} episodes was kept, so there is no dataset to write",
            "at least one episode",
            f"see why in {workspace.rejected}",
        )


def _create(spec: PipelineSpec, workspace: Workspace, encoder: str, watcher: Watcher) -> RunInfo:
    plan = plan_of(spec, watcher.planning)
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
    sources = [[row.source, row.key, row.digest, row.length, row.reason] for row in plan.manifest.rows]
    identity = json.dumps([spec_digest(spec, __version__), encoder, sources])
    writer = build(spec.writer)
    run = RunInfo(
        digest=hashlib.sha256(identity.encode()).hexdigest(),
        version=__version__,
        encoder=encoder,
        output=str(workspace.output),
        features=plan.features,
        fps=plan.fps,
        robot_type=writer.robot_type,
        dataset_ranks=min(MAX_DATASET_RANKS, plan.manifest.n_shards),
        on_error=spec.on_error,
        spec_digest=spec_digest(spec, __version__),
        notes=plan.notes,
    )
    workspace.shards.mkdir(parents=True, exist_ok=True)
    with suppress(FileNotFoundError):  # of a run with the same name whose run directory was removed
        shutil.rmtree(workspace.output_partial(run.run_id))
    write_file(workspace.pipeline, spec.to_yaml().encode())
    plan.manifest.write(workspace.manifest)
    run.write(workspace.run)  # last: its presence says that the run exists
    return run


def _report(workspace: Workspace, run: RunInfo, status: StatusReader, seconds: float) -> RunReport:
    now = status.read()
    lines = status.rejections()
    info = json.loads((workspace.output / paths.INFO).read_text())
    if (info["total_episodes"], info["total_frames"]) != (now.kept, now.frames) or now.kept + len(lines) != now.listed:
        raise RobotroveError(
            str(workspace.output),
            f"the books do not balance: listed {now.listed}, kept {now.kept} ({now.frames} frames), rejected "
            f"{len(lines)}, in the dataset {info['total_episodes']} ({info['total_frames']} frames)",
            "listed = kept + rejected, and the dataset holds what was kept",
            "please report this with the run directory; do not use the dataset",
        )
    report = RunReport(
        str(workspace.output),
        str(workspace.run_dir),
        now.listed,
        now.kept,
        now.frames,
        dict(Counter(line.reason for line in lines)),
        sum(line.error for line in lines),
        list(run.notes),
        round(seconds, 3),
    )
    write_rejected(workspace.rejected, lines)
    report.write(workspace.report)
    return report

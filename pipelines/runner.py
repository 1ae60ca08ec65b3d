"""Running a pipeline: create or resume the run, launch its stages, count what came of it."""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import replace

from ..core.errors import RobotroveError, UsageError
from ..core.lease import lease
from ..core.workspace import Workspace
from ..executors.base import Executor
from ..formats.lerobot import paths
from ..formats.lerobot.episode_plan import PLAN_FILE, DatasetPlan
from ..manifests.report import RunReport, write_rejected
from ..manifests.run_info import RunInfo
from ..media.encoder import check_available, encoder_version
from .arguments import build
from .creation import create, video_of
from .fresh import forget_lost, move_aside
from .inputs import check_apart, check_same_inputs
from .preflight import check_output_free, check_same_pipeline, check_same_sources, check_writable, in_words, taken_back
from .retry import prepare_retry
from .spec import PipelineSpec
from .stages import COMMIT, CONVERT, stages
from .status import StatusReader
from .status_reader import status_reader
from .watcher import Silent, Watcher


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
    if retry_rejected and spec.source is None:
        raise UsageError(
            "--retry-rejected", "this run takes all episodes of datasets and rejects none", action="leave it out"
        )
    check_apart(spec, workspace)
    video = video_of(spec)
    check_available(video)
    if fresh:
        move_aside(workspace)
    made = check_writable(workspace)
    with taken_back(made), in_words(workspace), lease(workspace.lock):
        workspace.sweep()
        encoder = encoder_version(video)
        if workspace.run.exists():
            run = RunInfo.read(workspace.run)
            check_same_pipeline(spec, run, workspace, encoder)
            is_finished = workspace.report.exists() and workspace.output.exists()
            if spec.source is None:
                check_same_inputs(spec, run.inputs, workspace, is_finished=is_finished)
            else:
                check_same_sources(spec.source, workspace, is_finished=is_finished and not retry_rejected)
            check_output_free(workspace, run)
            reopened = retry_rejected and prepare_retry(workspace, run)
            if is_finished and not reopened:
                report = RunReport.read(workspace.report)
                return replace(report, was_finished=True)
            forget_lost(workspace, run)
        else:
            check_output_free(workspace, None)
            run = create(spec, workspace, encoder, watcher)
        status = status_reader(workspace)
        watcher.started(status.read())
        with executor:
            executor.prepare(chain := stages(workspace))
            for stage in chain:
                if stage.name == COMMIT and spec.source is None:
                    check_same_inputs(spec, run.inputs, workspace, is_finished=workspace.output.exists())
                executor.launch(stage, lambda: watcher.progress(status.read()))
                if stage.name == CONVERT:
                    _check_kept(workspace, status)
        report = _report(spec, workspace, run, status, time.monotonic() - started)
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


def _report(spec: PipelineSpec, workspace: Workspace, run: RunInfo, status: StatusReader, seconds: float) -> RunReport:
    now = status.read()
    lines = status.rejections()
    folders = run.dataset_folders(workspace.output).values()
    for folder in folders:
        info = json.loads((folder / paths.INFO).read_text())
        made = (info["total_episodes"], info["total_frames"])
        if made != (now.kept, now.frames) or now.kept + len(lines) != now.listed:
            raise RobotroveError(
                str(folder),
                f"the books do not balance: listed {now.listed}, kept {now.kept} ({now.frames} frames), rejected "
                f"{len(lines)}, in the dataset {made[0]} ({made[1]} frames)",
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
        [*run.notes, *_plan_notes(spec, workspace)],
        round(seconds, 3),
        datasets=[str(folder) for folder in folders],
        inputs=[dataset.path for dataset in run.inputs],
    )
    write_rejected(workspace.rejected, lines)
    report.write(workspace.report)
    return report


def _plan_notes(spec: PipelineSpec, workspace: Workspace) -> list[str]:
    """Return what dataset blocks found worth saying when they planned; what several of them say, once."""
    folders = [workspace.plan(build(block).name) for block in spec.dataset]
    notes = [note for folder in folders if (folder / PLAN_FILE).exists() for note in DatasetPlan.read(folder).notes]
    return list(dict.fromkeys(notes))

"""robotrove run."""

from __future__ import annotations

import shlex
import sys
from contextlib import redirect_stdout
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from ...core.errors import UsageError
from ...core.rejections import reason_lines
from ...core.workspace import Workspace
from ...executors import EXECUTORS
from ...executors.slurm.submission import Detached, Submission
from ...manifests.run_report import RunReport
from ...pipelines.plan.append_base import workspace_of_append
from ...pipelines.run.runner import execute, submit
from ...pipelines.spec.executor_spec import build_executor
from ...pipelines.spec.resolved_pipeline import load_pipeline
from ..display import Display, duration
from ..output import counted, echo, echo_json


@click.command()
@click.argument("pipeline", type=click.Path(path_type=Path))
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]…")
@click.option("--output", type=click.Path(path_type=Path), help="Folder of the finished dataset.")
@click.option(
    "--run-dir", type=click.Path(path_type=Path), help="Folder for plan, shards and logs; OUTPUT.run by default."
)
@click.option("--executor", help="Executor of the ranks: " + ", ".join(EXECUTORS) + ".")
@click.option("--workers", type=click.IntRange(min=1), help="Parallel processes or jobs; one per CPU by default.")
@click.option("--wait", is_flag=True, help="Wait for the cluster jobs and return the run's exit code.")
@click.option("--fresh", is_flag=True, help="Move the existing run aside and start over.")
@click.option("--retry-rejected", is_flag=True, help="Retry episodes that were rejected for damage.")
@click.option("--accept-code", is_flag=True, help="Continue the run although the code of your blocks changed.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on standard output.")
@click.pass_context
def command(
    ctx: click.Context,
    pipeline: Path,
    overrides: tuple[str, ...],
    output: Path | None,
    run_dir: Path | None,
    executor: str | None,
    workers: int | None,
    wait: bool,
    fresh: bool,
    retry_rejected: bool,
    accept_code: bool,
    as_json: bool,
) -> None:
    """Run a pipeline, or resume an interrupted run.

    PIPELINE is a file or the name of a shipped pipeline. Rerun the same command to resume. With --executor slurm
    the command submits the jobs and exits; with --wait it waits for them.
    """
    resolved = load_pipeline(pipeline, overrides, executor=executor)
    for text in resolved.warnings:
        echo(f"warning: {text}", err=True)
    spec = resolved.spec
    chosen = output or (Path(spec.output) if spec.output else None)
    if chosen is None:
        raise UsageError(str(pipeline), "has no output", "output: FOLDER in the file, or --output FOLDER")
    workspace = workspace_of_append(spec, chosen, run_dir)
    where = build_executor(spec.executor, workers or spec.workers)
    try:
        with redirect_stdout(sys.stderr), Display() as display:  # blocks from outside may print
            options: dict[str, Any] = {"fresh": fresh, "retry_rejected": retry_rejected, "accept_code": accept_code}
            options["watcher"] = display
            if isinstance(where, Detached) and where.is_detached and not wait:
                found = submit(resolved, workspace, where, **options)
            else:
                found = execute(resolved, workspace, where, **options)
    except KeyboardInterrupt:
        if isinstance(where, Detached) and where.is_detached:
            echo(f"the jobs continue; robotrove cancel {shlex.quote(str(workspace.run_dir))} cancels them", err=True)
        else:
            echo("rerun the same command to resume", err=True)
        raise
    if isinstance(found, Submission):
        echo_json(_submitted(found, workspace)) if as_json else echo(_told(found, workspace))
        return
    if as_json:
        echo_json(asdict(found))
    else:
        echo(summary(found))
    ctx.exit(found.exit_code)


def _submitted(submission: Submission, workspace: Workspace) -> dict[str, Any]:
    jobs = [{"job": job, "stages": batch.stages, "tasks": len(batch.jobs)} for job, batch in submission.batches]
    return {"run_dir": str(workspace.run_dir), "name": submission.name, "jobs": jobs}


def _told(submission: Submission, workspace: Workspace) -> str:
    total = sum(len(batch.jobs) for _, batch in submission.batches)
    lines = [f"submitted {counted(total, 'job')} as {submission.name}"]
    for job, batch in submission.batches:
        lines.append(f"  {job}: {', '.join(batch.stages)} ({counted(len(batch.jobs), 'job')})")
    where = shlex.quote(str(workspace.run_dir))
    lines += [f"  watch: robotrove status {where} --watch", f"  cancel: robotrove cancel {where}"]
    return "\n".join(lines)


def summary(report: RunReport) -> str:
    """Return a finished run in a few lines."""
    head = "already finished" if report.was_finished else f"done in {duration(report.seconds)}"
    base = report.base
    if base is not None and not report.kept:
        return "\n".join([f"no new episodes for {base.path}, nothing written", *_listed(report)])
    episodes, frames = report.kept + (base.episodes if base else 0), report.frames + (base.frames if base else 0)
    lines = [f"{report.output}: {episodes} episodes, {frames} frames ({head})"]
    if base is not None:
        lines.append(f"  {counted(base.episodes, 'episode')} of {base.path}, and {report.kept} appended")
    if report.inputs and not report.rejected:
        lines.append(f"  all episodes of {counted(len(report.inputs), 'dataset')}")
    else:
        lines += _listed(report)
    lines += [f"  note: {note}" for note in report.notes]
    if report.rejected:
        lines.append(f"  reasons: {report.run_dir}/rejected.jsonl")
    source = "" if report.inputs else f" --source {shlex.quote(report.run_dir)}"
    lines += [f"  check: robotrove verify {shlex.quote(folder)}{source}" for folder in report.datasets]
    return "\n".join(lines)


def _listed(report: RunReport) -> list[str]:
    head = f"  listed {report.listed} = kept {report.kept} + rejected {sum(report.rejected.values())}"
    return [head, *(f"    {line}" for line in reason_lines(report.rejected))]

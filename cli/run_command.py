"""robotrove run."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from dataclasses import asdict
from pathlib import Path

import click

from ..core.errors import UsageError
from ..core.workspace import Workspace
from ..executors import EXECUTORS
from ..manifests.report import RunReport
from ..pipelines.runner import execute
from ..pipelines.spec import load_spec
from .display import Display, duration
from .output import counted, echo, echo_json


@click.command()
@click.argument("pipeline", type=click.Path(path_type=Path))
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]…")
@click.option("--output", type=click.Path(path_type=Path), help="Folder of the finished dataset.")
@click.option("--run-dir", type=click.Path(path_type=Path), help="Folder for everything else; OUTPUT.run by default.")
@click.option("--executor", help="Where ranks run: " + ", ".join(EXECUTORS) + ".")
@click.option("--workers", type=click.IntRange(min=1), help="Processes at a time; one per CPU by default.")
@click.option("--fresh", is_flag=True, help="Move an earlier run aside and start over.")
@click.option("--retry-rejected", is_flag=True, help="Try episodes again that were rejected for bad data.")
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
    fresh: bool,
    retry_rejected: bool,
    as_json: bool,
) -> None:
    """Convert, or go on with a conversion: the same command again resumes it."""
    spec = load_spec(pipeline, overrides)
    chosen = output or (Path(spec.output) if spec.output else None)
    if chosen is None:
        raise UsageError(str(pipeline), "says no output", "output: FOLDER in the file, or --output FOLDER")
    try:
        with redirect_stdout(sys.stderr), Display() as display:  # blocks from outside may print
            report = execute(
                spec,
                Workspace.for_output(chosen, run_dir),
                EXECUTORS[executor or spec.executor](workers=workers or spec.workers),
                fresh=fresh,
                retry_rejected=retry_rejected,
                watcher=display,
            )
    except KeyboardInterrupt:
        click.echo("the same command goes on with this run", err=True)
        raise
    if as_json:
        echo_json(asdict(report))
    else:
        echo(summary(report))
    ctx.exit(report.exit_code)


def summary(report: RunReport) -> str:
    """Return a finished run in a few lines."""
    head = "was finished before" if report.was_finished else f"done in {duration(report.seconds)}"
    lines = [f"{report.output}: {report.kept} episodes, {report.frames} frames ({head})"]
    if report.inputs:
        lines.append(f"  all episodes of {counted(len(report.inputs), 'dataset')}")
    else:
        lines.append(f"  listed {report.listed} = kept {report.kept} + rejected {sum(report.rejected.values())}")
    lines += [f"    {count} {reason}" for reason, count in sorted(report.rejected.items())]
    lines += [f"  note: {note}" for note in report.notes]
    if report.rejected:
        lines.append(f"  each with its reason in {report.run_dir}/rejected.jsonl")
    source = "" if report.inputs else f" --source {report.run_dir}"
    lines += [f"  check it: robotrove verify {folder}{source}" for folder in report.datasets]
    return "\n".join(lines)

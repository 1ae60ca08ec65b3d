"""Runs of dataset blocks: options, run and report that `aggregate` and `convert` share."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

from ...core.workspace import Workspace
from ...executors import worker
from ...executors.local import LocalExecutor
from ...executors.stage import WORKERS_LOG
from ...manifests.run_report import RunReport
from ..output import echo, echo_json

Command = TypeVar("Command", bound=Callable[..., Any])

_OPTIONS = (
    click.option("--run-dir", type=click.Path(path_type=Path), help="Folder for plan and logs; OUTPUT.run by default."),
    click.option("--workers", type=click.IntRange(min=1), help="Parallel processes; one per CPU by default."),
    click.option("--fresh", is_flag=True, help="Move the existing run aside and start over."),
    click.option("--json", "as_json", is_flag=True, help="Print one JSON document on standard output."),
)


annotation_option = click.option(
    "--annotation",
    "annotations",
    metavar="COLUMN=tasks|values",
    multiple=True,
    callback=lambda ctx, option, texts: dict(_annotation(option, text) for text in texts),
    help="Renumber an integer column with the tasks, or copy its numbers.",
)


times_option = click.option(
    "--times",
    type=click.Choice(["refuse", "index"]),
    default="refuse",
    help="Refuse times other than frame_index / fps, or replace them.",
)


def _annotation(option: click.Parameter, text: str) -> tuple[str, str]:
    column, _, what = text.rpartition("=")
    if not column or what not in ("tasks", "values"):
        raise click.BadParameter(f"{text!r} is not COLUMN=tasks or COLUMN=values", param=option)
    return column, what


def run_options(command: Command, *, needs_output: bool = True) -> Command:
    """Add the options that `run_blocks` takes."""
    kind = click.Path(path_type=Path)
    output = click.option("--output", "-o", type=kind, required=needs_output, help="Folder of the new dataset.")
    for option in reversed((output, *_OPTIONS)):
        command = option(command)
    return command


def run_blocks(
    blocks: Mapping[str, Mapping[str, Any]],
    *,
    output: Path,
    run_dir: Path | None,
    workers: int | None,
    fresh: bool,
    as_json: bool,
    finish: Callable[[Workspace], RunReport] | None = None,
) -> NoReturn:
    """Run dataset blocks as a run of their own, print what came of it and end the command.

    Args:
        blocks: Their names and arguments.
        output: See the options.
        run_dir: See the options.
        workers: See the options.
        fresh: See the options.
        as_json: See the options.
        finish: Called after a run that left nothing to do, before its result is printed; returns the report.
    """
    workspace = Workspace.for_output(output, run_dir)
    with LocalExecutor(workers=workers) as executor:
        executor.start_early(worker.command(workspace.run_dir, str(workspace.logs(WORKERS_LOG)), *blocks))
        # Only now, so that the worker imports at the same time.
        from ...pipelines.run.runner import execute
        from ...pipelines.spec.resolved_pipeline import pipeline_of_content
        from ..display import Display

        pipeline = pipeline_of_content({"dataset": [{"use": use, **values} for use, values in blocks.items()]})
        with redirect_stdout(sys.stderr), Display() as display:
            report = execute(pipeline, workspace, executor, fresh=fresh, watcher=display)
            if finish is not None:
                report = finish(workspace)
    show_report(report, as_json=as_json)


def show_report(report: RunReport, *, as_json: bool) -> NoReturn:
    """Print what came of a run, and end the command."""
    from ..runs.run import summary  # only now, as above

    if as_json:
        echo_json(asdict(report))
    else:
        echo(summary(report))
    click.get_current_context().exit(report.exit_code)

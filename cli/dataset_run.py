"""What commands share that make a dataset of finished ones: options, the run, its report."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import click

from ..pipelines.pipeline import Pipeline
from .display import Display
from .output import echo, echo_json
from .run_command import summary

Command = TypeVar("Command", bound=Callable[..., Any])

_OPTIONS = (
    click.option("--output", "-o", type=click.Path(path_type=Path), required=True, help="Folder of the new dataset."),
    click.option("--run-dir", type=click.Path(path_type=Path), help="Folder for plan and logs; OUTPUT.run by default."),
    click.option("--workers", type=click.IntRange(min=1), help="Processes at a time; one per CPU by default."),
    click.option("--fresh", is_flag=True, help="Move an earlier run aside and start over."),
    click.option("--json", "as_json", is_flag=True, help="Print one JSON document on standard output."),
)


def run_options(command: Command) -> Command:
    """Add the options that `run_blocks` takes."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def run_blocks(
    blocks: Sequence[Any], *, output: Path, run_dir: Path | None, workers: int | None, fresh: bool, as_json: bool
) -> int:
    """Run dataset blocks as a run of their own, print what came of it and return the exit code."""
    with redirect_stdout(sys.stderr), Display() as display:
        report = Pipeline(dataset=blocks).run(
            output=output, run_dir=run_dir, workers=workers, fresh=fresh, watcher=display
        )
    if as_json:
        echo_json(asdict(report))
    else:
        echo(summary(report))
    return report.exit_code

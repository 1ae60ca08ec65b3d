"""robotrove cancel."""

from __future__ import annotations

from pathlib import Path

import click

from ...pipelines.run.cancel import cancel
from ...pipelines.run.stages import workspace_of
from ..output import echo


@click.command()
@click.argument("run_dir", type=click.Path(path_type=Path))
def command(run_dir: Path) -> None:
    """End the jobs of a run, or the command that works on it; what is committed stays, and the run can go on."""
    echo("\n".join(cancel(workspace_of(run_dir))))

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
    """Cancel the jobs of a run, or its command.

    Committed episodes stay. Rerun the command of the run to resume.
    """
    echo("\n".join(cancel(workspace_of(run_dir))))

"""robotrove status."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path

import click

from ..pipelines.stages import workspace_of
from ..pipelines.status import RunStatus
from ..pipelines.status_reader import status_reader
from .display import duration
from .output import echo, echo_json


@click.command()
@click.argument("run_dir", type=click.Path(path_type=Path))
@click.option("--watch", is_flag=True, help="Show it again every two seconds while the run works.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on standard output.")
def command(run_dir: Path, watch: bool, as_json: bool) -> None:
    """Show how far a run is; reads plain files only.

    With --watch and --json nothing is printed before the run is finished: one document, not many.
    """
    reader = status_reader(workspace_of(run_dir))
    status = reader.read()
    while watch and status.state == "running":
        if not as_json:
            click.clear()
            echo(_text(status))
        time.sleep(2)
        status = reader.read()
    if as_json:
        echo_json(asdict(status))
    else:
        echo(_text(status))


def _text(status: RunStatus) -> str:
    head = f"{status.state}: {status.done} of {status.total} {status.unit}"
    if status.unit == "episodes":
        head += (
            f" decided, {status.kept} kept, {sum(status.rejected.values())} rejected; {status.frames} of "
            f"{status.total_frames} frames, {status.frames_per_s:.0f} frames/s, {duration(status.seconds_left)} left"
        )
    else:
        head += f" done, for {status.listed} episodes with {status.total_frames} frames"
    lines = [head]
    lines += [f"  {stage.name}: {stage.done} of {stage.ranks} ranks" for stage in status.stages]
    lines += [f"  rejected: {count} {reason}" for reason, count in sorted(status.rejected.items())]
    return "\n".join(lines)

"""robotrove status."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click

from ...core.rejections import counted_reason
from ...core.version import __version__
from ...pipelines.run.stages import workspace_of
from ...pipelines.run.status import FailedRank, RunStatus, StageStatus, status_reader
from ..display import duration
from ..output import counted, echo, echo_json


@click.command()
@click.argument("run_dir", type=click.Path(path_type=Path))
@click.option("--watch", is_flag=True, help="Refresh every two seconds until the run ends.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on standard output.")
def command(run_dir: Path, watch: bool, as_json: bool) -> None:
    """Show the progress and failures of a run.

    It reads the files of the run directory, and the queue of the cluster. With --watch and --json it prints one
    document, when the run ends.
    """
    reader = status_reader(workspace_of(run_dir))
    status = reader.read()
    while watch and status.state in ("running", "pending", "held"):
        if not as_json:
            click.clear()
            echo(_text(status, reader.failures()))
        time.sleep(2)
        status = reader.read()
    if as_json:
        echo_json(asdict(status) | {"failures": [asdict(failure) for failure in reader.failures()]})
    else:
        echo(_text(status, reader.failures()))


def _text(status: RunStatus, failures: Sequence[FailedRank]) -> str:
    head = f"{status.state}: {status.done} of {status.total} {status.unit}"
    if status.unit == "episodes":
        head += (
            f" decided, {status.kept} kept, {sum(status.rejected.values())} rejected; {status.frames} of "
            f"{status.total_frames} frames, {status.frames_per_s:.0f} frames/s, {duration(status.seconds_left)} left"
        )
    else:
        head += " done" + (f", for {status.listed} episodes with {status.total_frames} frames" if status.listed else "")
    lines = [head, *map(_stage, status.stages)]
    if status.version != __version__:
        lines.append(f"  created by robotrove {status.version}, this is robotrove {__version__}")
    lines += [f"  rejected: {counted_reason(reason, count)}" for reason, count in sorted(status.rejected.items())]
    if status.jobs:
        lines.append(f"  on the cluster: job {', '.join(status.jobs)}")
    lines += [f"  held: job {job} ({why}); scontrol release {job}" for job, why in sorted(status.held.items())]
    lines += [f"  waiting: {counted(count, 'job')} ({reason})" for reason, count in sorted(status.waiting_for.items())]
    for failure in failures:
        lines.append(f"  failed: {failure.stage}, rank {failure.rank}: {failure.why}")
        lines += [f"      | {line}" for line in failure.last_lines]
        lines.append(f"      {failure.log}")
    if more := sum(stage.failed for stage in status.stages) - len(failures):
        lines.append(f"  and {counted(more, 'failed rank')} more")
    return "\n".join([*lines, f"  logs: {status.logs}"])


def _stage(stage: StageStatus) -> str:
    doing = {"running": stage.running, "pending": stage.pending, "failed": stage.failed}
    more = "".join(f", {count} {what}" for what, count in doing.items() if count)
    return f"  {stage.name}: {stage.done} of {stage.ranks} ranks{more}"

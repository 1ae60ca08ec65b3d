"""robotrove plan."""

from __future__ import annotations

import sys
from collections import Counter
from contextlib import redirect_stdout
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from ..core.errors import UsageError
from ..pipelines.runner import plan_of
from ..pipelines.spec import load_spec
from .display import Display, duration
from .output import echo, echo_json

MAX_SHOWN = 20


@click.command()
@click.argument("pipeline", type=click.Path(path_type=Path))
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]…")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on standard output.")
@click.pass_context
def command(ctx: click.Context, pipeline: Path, overrides: tuple[str, ...], as_json: bool) -> None:
    """Say what a run would do: episodes kept and rejected, frames, shards, tasks. Touches nothing."""
    spec = load_spec(pipeline, overrides)
    with redirect_stdout(sys.stderr), Display() as display:  # blocks from outside may print
        plan = plan_of(spec, display.planning)
    rows = plan.manifest.rows
    kept = list(plan.manifest.kept)
    facts: dict[str, Any] = {
        "listed": len(rows),
        "kept": len(kept),
        "rejected": dict(Counter(row.reason for row in rows if row.reason)),
        "frames": sum(row.length for row in kept),
        "shards": plan.manifest.n_shards,
        "fps": plan.fps,
        "tasks": dict(Counter(row.task for row in kept)),
        "features": {key: str(feature) for key, feature in plan.features.items()},
        "estimate": asdict(plan.estimate),
        "notes": plan.notes,
    }
    refused = [row for row in rows if row.reason]
    if as_json:
        listed = [
            {"episode": row.label, "reason": row.reason, "detail": row.detail, "error": row.error} for row in refused
        ]
        echo_json(facts | {"rejections": listed})
        ctx.exit(0 if kept else UsageError.exit_code)
    echo(f"{facts['listed']} episodes listed: {facts['kept']} kept, {facts['listed'] - facts['kept']} rejected")
    for row in refused[:MAX_SHOWN]:
        echo(f"  {row.label}: {row.reason}: {row.detail}")
    if len(refused) > MAX_SHOWN:
        echo(f"  and {len(refused) - MAX_SHOWN} more (--json lists them)")
    echo(f"{facts['frames']} frames at {plan.fps} fps in {facts['shards']} shard(s)")
    for key, feature in facts["features"].items():
        echo(f"  {key}: {feature}")
    for task, count in facts["tasks"].items():
        echo(f"  task {task!r}: {count} episodes")
    room, left = plan.estimate.disk_bytes / 2**20, duration(plan.estimate.seconds)
    echo(f"roughly {room:,.0f} MB of disk and {left} with one worker per CPU")
    for note in plan.notes:
        echo(f"note: {note}")
    ctx.exit(0 if kept else UsageError.exit_code)

"""robotrove plan."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from ...core.errors import UsageError
from ...core.features import Features
from ...core.rejections import REASONS, reason_lines
from ...manifests.run_info import why_skipped
from ...pipelines.plan.input_datasets import DatasetInputs, read_inputs
from ...pipelines.plan.planner import Plan, make_plan
from ...pipelines.spec.resolved_pipeline import load_pipeline
from ..display import Display, duration
from ..output import counted, echo, echo_json

MAX_SHOWN = 20


@click.command()
@click.argument("pipeline", type=click.Path(path_type=Path))
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]…")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on standard output.")
@click.pass_context
def command(ctx: click.Context, pipeline: Path, overrides: tuple[str, ...], as_json: bool) -> None:
    """Show what a run would do, and change nothing.

    It lists kept and rejected episodes, frames, shards and tasks.
    """
    resolved = load_pipeline(pipeline, overrides)
    for text in resolved.warnings:
        echo(f"warning: {text}", err=True)
    with redirect_stdout(sys.stderr), Display() as display:  # blocks from outside may print
        if resolved.spec.source is None:
            plan: DatasetInputs | Plan
            plan = inputs = read_inputs(
                resolved.spec.datasets, resolved.annotations, display.planning, resolved.on_duplicate, resolved.edit
            )
            if inputs.features:
                resolved.check_blocks(inputs.features, [dataset.path for dataset in inputs.datasets])
        else:
            plan = make_plan(resolved, display.planning)
    if isinstance(plan, DatasetInputs):
        _show_inputs(plan, as_json)
    else:
        _show_plan(plan, as_json)
    has_episodes = plan.episodes > 0 if isinstance(plan, DatasetInputs) else any(True for _ in plan.manifest.kept)
    ctx.exit(0 if has_episodes else UsageError.exit_code)


def _show_inputs(inputs: DatasetInputs, as_json: bool) -> None:
    if as_json:
        listed = [{"path": d.path, "episodes": d.episodes, "frames": d.frames} for d in inputs.datasets]
        facts = {
            "listed": inputs.episodes,
            "kept": inputs.kept,
            "rejected": dict(inputs.skipped),
            "frames": inputs.frames,
            "fps": inputs.fps,
        }
        echo_json({"inputs": listed, **facts, "features": _texts(inputs.features), "notes": inputs.notes})
        return
    reasons = [f"{count} {reason}" for reason, count in inputs.skipped.items()]
    kept = ", ".join([f"{inputs.kept} kept", *reasons]) if reasons else "all kept"
    echo(f"{counted(inputs.episodes, 'episode')} of {counted(len(inputs.datasets), 'dataset')}, {kept}")
    folders = [dataset.path for dataset in inputs.datasets]
    for dataset in inputs.datasets:
        echo(f"  {dataset.path}: {counted(dataset.episodes, 'episode')}, {counted(dataset.frames, 'frame')}")
        for episode in dataset.skipped[:MAX_SHOWN]:
            first, last = episode.numbers[0], episode.numbers[-1]
            name = f"episode {first}" if first == last else f"episodes {first} to {last}"
            echo(f"    {name}: {why_skipped(episode, folders)}")
        if more := sum(episode.count for episode in dataset.skipped[MAX_SHOWN:]):
            echo(f"    and {more} more")
    echo(f"{inputs.frames} frames at {inputs.fps} fps")
    _echo_features(inputs.features)
    _echo_notes(inputs.notes)


def _show_plan(plan: Plan, as_json: bool) -> None:
    rows = plan.manifest.rows
    kept = list(plan.manifest.kept)
    facts: dict[str, Any] = {
        "listed": len(rows),
        "kept": len(kept),
        "rejected": dict(Counter(row.reason for row in rows if row.reason)),
        "frames": sum(row.length for row in kept),
        **({"append_to": asdict(plan.base.dataset)} if plan.base else {}),
        "shards": plan.manifest.n_shards,
        "fps": plan.fps,
        "tasks": dict(Counter(row.task for row in kept)),
        "features": _texts(plan.features),
        "estimate": asdict(plan.estimate),
        "notes": plan.notes,
    }
    refused = [row for row in rows if row.reason]
    if as_json:
        listed = [
            {
                **{"episode": row.label, "reason": row.reason, "detail": row.detail, "error": row.error},
                "remedy": REASONS[row.reason].remedy if row.reason in REASONS else "",
            }
            for row in refused
        ]
        echo_json(facts | {"rejections": listed})
        return
    echo(f"{facts['listed']} episodes listed: {facts['kept']} kept, {facts['listed'] - facts['kept']} rejected")
    for row in refused[:MAX_SHOWN]:
        echo(f"  {row.label}: {row.reason}: {row.detail}")
    if len(refused) > MAX_SHOWN:
        echo(f"  and {len(refused) - MAX_SHOWN} more (--json lists them)")
    for line in reason_lines(facts["rejected"]):
        echo(f"  {line}")
    if plan.base is not None:
        base = plan.base.dataset
        echo(f"appends to {base.path}: {counted(base.episodes, 'episode')}, {counted(base.frames, 'frame')}")
    echo(f"{facts['frames']} frames at {plan.fps} fps in {facts['shards']} shard(s)")
    _echo_features(plan.features)
    for task, count in facts["tasks"].items():
        echo(f"  task {task!r}: {count} episodes")
    room, left = plan.estimate.disk_bytes / 2**20, duration(plan.estimate.seconds)
    echo(f"roughly {room:,.0f} MB of disk and {left} with one worker per CPU")
    _echo_notes(plan.notes)


def _echo_notes(notes: Sequence[str]) -> None:
    for note in notes:
        echo(f"note: {note}")


def _texts(features: Features) -> dict[str, str]:
    return {key: str(feature) for key, feature in features.items()}


def _echo_features(features: Features) -> None:
    for key, text in _texts(features).items():
        echo(f"  {key}: {text}")

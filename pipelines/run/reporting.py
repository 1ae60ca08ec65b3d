"""Reporting: result of a run, counted from what was written and compared with what was listed."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...blocks.binding import Binding
from ...core.errors import RobotroveError, UsageError
from ...core.workspace import Workspace
from ...formats.lerobot import paths_v30
from ...formats.lerobot.gr00t.relative_actions import RELATIVE_STATS
from ...formats.lerobot.writers.dataset_plan import PLAN_FILE, DatasetPlan, unusable_notes
from ...manifests.manifest import Manifest
from ...manifests.run_info import RunInfo, Started, why_skipped
from ...manifests.run_report import RejectedLine, RunReport, rejected_lines, write_rejected
from ...manifests.shard import Shard
from ...manifests.shard_progress import damaged_shards
from ..spec.resolved_pipeline import ResolvedPipeline


@dataclass(frozen=True, slots=True)
class _Totals:
    listed: int
    kept: int
    frames: int
    rejected: list[RejectedLine]


def check_kept(workspace: Workspace) -> None:
    """Refuse to make a dataset of nothing.

    Raises:
        UsageError: If no shard holds an episode.
    """
    if not any(shard.kept for shard in _shards(workspace)):
        lines = _of_shards(workspace).rejected
        write_rejected(workspace.rejected, lines)
        raise UsageError(
            str(workspace.output),
            f"all {len(lines)} episodes were rejected, so no dataset is written",
            "at least one episode",
            f"see why in {workspace.rejected}",
        )


def check_books(binding: Binding) -> None:
    """Refuse to give a dataset its name that is not all of what was listed, less what was rejected.

    Raises:
        RobotroveError: If what was listed is not what was kept and rejected, or not what is in the dataset.
    """
    totals = _totals(binding)
    for folder, info in (_made(binding, version) for version in binding.run.formats):
        made = (info["total_episodes"], info["total_frames"])
        if (base := binding.run.base) is not None:
            made = (made[0] - base.episodes, made[1] - base.frames)
        if made != (totals.kept, totals.frames) or totals.kept + len(totals.rejected) != totals.listed:
            raise RobotroveError(
                str(folder),
                f"the books do not balance: listed {totals.listed}, kept {totals.kept} ({totals.frames} frames), "
                f"rejected {len(totals.rejected)}, in the dataset {made[0]} ({made[1]} frames)",
                "listed = kept + rejected, and the dataset holds what was kept",
                "please report this with the run directory",
            )


def write_report(binding: Binding, pipeline: ResolvedPipeline) -> None:
    """Write report.json and rejected.jsonl of a run after its output is committed."""
    workspace, run = binding.workspace, binding.run
    totals = _totals(binding)
    write_rejected(workspace.rejected, totals.rejected)
    RunReport(
        str(workspace.output),
        str(workspace.run_dir),
        totals.listed,
        totals.kept,
        totals.frames,
        dict(Counter(line.reason for line in totals.rejected)),
        sum(line.error for line in totals.rejected),
        [*run.notes, *_plan_notes(pipeline, workspace), *_base_notes(binding), *_damage_notes(workspace)],
        round(time.time() - Started.read(workspace.command).time, 3),
        datasets=[str(folder) for folder in run.dataset_folders(workspace.output).values()],
        inputs=[dataset.path for dataset in run.inputs],
        base=run.base,
    ).write(workspace.report)


def _made(binding: Binding, version: str) -> tuple[Path, dict[str, Any]]:
    """Return where a dataset is and its info.json."""
    for _ in range(2):  # a second process may give it its name in between
        folder = binding.finished_root(version)
        with suppress(FileNotFoundError):
            return folder, json.loads((folder / paths_v30.INFO).read_text())
    raise RobotroveError(
        str(folder),
        f"no block made a dataset of version {version}",
        "a block under `dataset:` for each of `formats:`",
        "add it to the pipeline",
    )


def _totals(binding: Binding) -> _Totals:
    return _of_datasets(binding.run) if binding.run.inputs else _of_shards(binding.workspace)


def _of_shards(workspace: Workspace) -> _Totals:
    rows = Manifest.read(workspace.manifest).rows
    shards = list(_shards(workspace))
    kept = sum(len(shard.kept) for shard in shards)
    return _Totals(len(rows), kept, sum(shard.frames for shard in shards), rejected_lines(rows, shards))


def _shards(workspace: Workspace) -> Iterator[Shard]:
    """Yield the shards by rank, each read when it is asked for."""
    ranks = range(Manifest.shards(workspace.manifest))
    return (Shard.read(workspace.shard(rank), pixels=False) for rank in ranks)


def _of_datasets(run: RunInfo) -> _Totals:
    """Return the totals of a run of datasets; it takes all episodes but those that planning skipped."""
    listed, kept, frames = (sum(getattr(d, name) for d in run.inputs) for name in ("episodes", "kept", "kept_frames"))
    rejected = [
        RejectedLine(
            dataset.path,
            f"episode {number}",
            episode.reason,
            why_skipped(episode, [dataset.path for dataset in run.inputs]),
            error=False,
        )
        for dataset in run.inputs
        for episode in dataset.skipped
        for number in episode.numbers
    ]
    return _Totals(listed, kept, frames, rejected)


def _damage_notes(workspace: Workspace) -> Iterator[str]:
    for folder, found in damaged_shards(workspace):
        rank = folder.name.partition(".")[0]
        yield f"shard {rank} was damaged ({found}) and was recreated; the damaged one is {folder}"


def _base_notes(binding: Binding) -> Iterator[str]:
    if (base := binding.base_root) is None:
        return
    if binding.replaces_base:
        yield f"the dataset as it was before is {base}"
    for path in (paths_v30.STATS, RELATIVE_STATS):  # of the episodes before alone, so they are not carried over
        if (base / path).exists() and not (binding.finished_root(binding.run.formats[0]) / path).exists():
            yield f"{path} is not in the output: recompute it with `robotrove stats`"


def _plan_notes(pipeline: ResolvedPipeline, workspace: Workspace) -> list[str]:
    """Return what dataset blocks found worth saying when they planned; what several of them say, once."""
    folders = [workspace.plan(block.name) for block in pipeline.dataset]
    notes = [note for folder in folders if (folder / PLAN_FILE).exists() for note in DatasetPlan.read(folder).notes]
    notes += [note for folder in folders for note in unusable_notes(folder)]
    return list(dict.fromkeys(notes))

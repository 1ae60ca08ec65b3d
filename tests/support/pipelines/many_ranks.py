"""Runs of thousands of ranks without the days that it takes to convert so much."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from pathlib import Path

from robotrove.core.features import video_cameras
from robotrove.core.workspace import Workspace
from robotrove.executors.stage import RankMarks
from robotrove.manifests.manifest import Manifest
from robotrove.manifests.run_info import RunInfo
from robotrove.manifests.shard import KeptEpisode, Shard
from robotrove.media.encode.encoder import encoder_version
from robotrove.pipelines.run.creation import create
from robotrove.pipelines.run.stages import stage_sizes
from robotrove.pipelines.spec.resolved_pipeline import CONVERT, load_pipeline

DATASET_RANKS = 64


def create_run(pipeline: Path, output: Path, ranks: int, *, episodes: int = 1) -> Workspace:
    """Create a run of so many ranks: the first episode of the source again and again.

    Args:
        pipeline: Any with a source of at least one episode.
        output: Output of the run.
        ranks: Shards.
        episodes: Episodes of each.
    """
    resolved, workspace = load_pipeline(pipeline), Workspace.for_output(output)
    run = create(resolved, workspace, encoder_version(resolved.video), most_ranks=DATASET_RANKS)
    run = replace(run, dataset_ranks=DATASET_RANKS)
    replace(run, stages=stage_sizes(resolved, run, ranks)).write(workspace.run)
    first = Manifest.read(workspace.manifest).rows[0]
    rows = [replace(first, index=index, shard=index // episodes) for index in range(ranks * episodes)]
    Manifest(rows).write(workspace.manifest)
    return workspace


def pretend_done(workspace: Workspace, ranks: int) -> None:
    """Leave what the first ranks of the conversion would have left, but for pictures and rows."""
    rows = Manifest.read(workspace.manifest).rows
    cameras = video_cameras(RunInfo.read(workspace.run).features)
    histograms = {camera: [[12_345] * 256] * 3 for camera in cameras}
    completions = workspace.logs(CONVERT) / "completions"
    for folder in (completions, workspace.events):
        folder.mkdir(parents=True, exist_ok=True)
    kept: dict[int, list[KeptEpisode]] = {}
    for row in rows:
        sizes = dict.fromkeys(cameras, 123_456)
        kept.setdefault(row.shard, []).append(KeptEpisode(row.index, row.length, 12_345, sizes))
    began = time.time() - 10 * ranks
    for rank in range(ranks):
        workspace.shard(rank).mkdir()
        Shard(rank, kept[rank], [], histograms).write(workspace.shard(rank))
        (completions / f"{rank:05d}").touch()
        lines = [
            json.dumps({"time": began + 10 * rank, "kind": kind, "episode": episode.index, "frames": episode.length})
            for episode in kept[rank]
            for kind in ("started", "committed")
        ]
        journal = workspace.events / f"node-{rank}.jsonl"
        journal.write_text("\n".join([*lines, ""]))
        os.utime(journal, (began + 10 * rank, began + 10 * rank))


def pretend_failed(workspace: Workspace, ranks: range) -> None:
    """Leave what ranks of the conversion leave that failed."""
    marks = RankMarks(workspace.logs(CONVERT))
    for rank in ranks:
        marks.fail(rank, "OSError: [Errno 5] Input/output error")

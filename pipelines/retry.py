"""--retry-rejected: open the shards again that miss episodes for bad data; what they hold is kept."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress

from ..blocks.binding import Binding
from ..core.commit import sync_file
from ..core.workspace import Workspace
from ..manifests.manifest import Manifest
from ..manifests.run_info import RunInfo
from ..manifests.shard import Shard
from ..manifests.shard_progress import PREVIOUS, ShardProgress
from .stages import CONVERT, stages


def prepare_retry(workspace: Workspace, run: RunInfo) -> bool:
    """Open every shard with episodes that were rejected for bad data, and undo what followed from it.

    The shard becomes `previous` of a shard in progress, from which the kept episodes' packets are
    copied; the dataset is moved aside until its successor has its name. Killed half-way, this
    leaves a run that the plain command finishes.

    Returns:
        True if there is now something to do that had been done.
    """
    ranks = [
        rank
        for rank in range(Manifest.shards(workspace.manifest))
        if workspace.shard(rank).exists() and any(entry.error for entry in Shard.read(workspace.shard(rank)).rejected)
    ]
    for rank in range(Manifest.shards(workspace.manifest)):
        if not workspace.shard(rank).exists():
            ShardProgress(workspace, rank).reopen()
    if not ranks:
        return False
    workspace.report.unlink(missing_ok=True)
    for stage in stages(workspace):
        if stage.name != CONVERT:
            stage.forget(range(stage.ranks))
    with suppress(FileNotFoundError):
        shutil.rmtree(workspace.output_partial(run.run_id))  # made from the shards as they were
    if Binding(workspace, run).has_output:
        with suppress(FileNotFoundError):  # an earlier retry was killed when it was all but done
            shutil.rmtree(workspace.output_replaced(run.run_id))
        os.rename(workspace.output, workspace.output_replaced(run.run_id))
    convert = next(stage for stage in stages(workspace) if stage.name == CONVERT)
    for rank in ranks:
        convert.forget([rank])
        ShardProgress(workspace, rank).clear()  # left by a process that was killed once the shard was finished
        partial = workspace.partial(rank)
        partial.mkdir()
        os.rename(workspace.shard(rank), partial / PREVIOUS)
        sync_file(workspace.shards)
    return True

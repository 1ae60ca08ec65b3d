"""Reopening a run: afresh, for episodes that were rejected or lost, or to read its recordings again."""

from __future__ import annotations

import itertools
import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ...blocks.binding import Binding
from ...core.commit import exists_now, look_again, sync_file
from ...core.errors import RobotroveError, UsageError, option
from ...core.workspace import Workspace
from ...manifests.manifest import Manifest
from ...manifests.run_info import RunInfo
from ...manifests.shard import Shard, ShardDamaged
from ...manifests.shard_progress import PREVIOUS, ShardProgress
from ...verification.source.recordings import Recordings
from ..spec.resolved_pipeline import CONVERT, load_frozen
from .preflight import check_output_free, check_same_version, exclusive, in_words
from .stages import REPORT, stages, workspace_of


def move_aside(workspace: Workspace, moved: Callable[[Path, Path, int], None]) -> None:
    """Rename an earlier run, and the output that it made, to names that are free.

    Args:
        workspace: The run.
        moved: Told of each folder: its name before, its name now and its bytes.
    """
    if not workspace.run.exists():
        return
    try:
        run = RunInfo.read(workspace.run)
    except RobotroveError:  # damaged, which may be the very reason for starting over
        _move_damaged(workspace, moved)
        return
    with in_words(workspace), exclusive(workspace):
        check_output_free(workspace, run)
        names = (
            Workspace(_aside(workspace.run_dir, number), _aside(workspace.output, number))
            for number in itertools.count(1)
        )
        old = next(name for name in names if not name.run_dir.exists() and not name.output.exists())
        moves = [
            *([] if Binding(workspace, run).replaces_base else [(workspace.output, old.output)]),
            (workspace.output_partial(run.run_id), old.output_partial(run.run_id)),
            (workspace.output_replaced(run.run_id), old.output_replaced(run.run_id)),
            (workspace.run_dir, old.run_dir),
        ]
        for folder, target in moves:
            if folder.exists():
                _rename(folder, target, moved)
    old.lock.unlink(missing_ok=True)


def _move_damaged(workspace: Workspace, moved: Callable[[Path, Path, int], None]) -> None:
    check_output_free(workspace, None)
    with in_words(workspace), exclusive(workspace):
        names = (_aside(workspace.run_dir, number) for number in itertools.count(1))
        old = next(name for name in names if not name.exists())
        _rename(workspace.run_dir, old, moved)
    (old / workspace.lock.name).unlink(missing_ok=True)


def _rename(folder: Path, target: Path, moved: Callable[[Path, Path, int], None]) -> None:
    size = sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())
    folder.rename(target)
    moved(folder, target, size)


def _aside(folder: Path, number: int) -> Path:
    return folder.with_name(f"{folder.name}.old-{number}")


def forget_lost(workspace: Workspace, run: RunInfo) -> None:
    """Take back the marks of what is not there any more, so that it is made again."""
    has_output = Binding(workspace, run).has_output
    if has_output and workspace.report.exists():
        return
    workspace.report.unlink(missing_ok=True)
    is_begun = has_output or exists_now(workspace.output_partial(run.run_id))
    for stage in stages(workspace):
        if stage.name == CONVERT:
            set_damaged_aside(workspace)
            stage.forget(rank for rank in range(stage.ranks) if not workspace.shard(rank).exists())
        elif not is_begun or stage.name == REPORT:
            stage.forget(range(stage.ranks))


def set_damaged_aside(workspace: Workspace) -> bool:
    """Set aside shards with a damaged record, or with files that are missing or have another size; reads nothing else.

    Returns:
        True if there was one.
    """
    found = False
    look_again(workspace.shards)
    for folder in sorted(folder for folder in workspace.shards.glob("*") if folder.name.isdigit()):
        try:
            Shard.read(folder, pixels=False).check(folder, size_only=True)
        except ShardDamaged as exc:
            ShardProgress(workspace, int(folder.name)).set_aside(exc)
            found = True
    return found


def prepare_retry(workspace: Workspace, run: RunInfo) -> bool:
    """Open every shard with episodes that were rejected for bad data, and undo what followed from it.

    The shard becomes `previous` of a shard in progress, from which the kept episodes' packets are
    copied; the dataset is moved aside until its successor has its name. Killed half-way, this
    leaves a run that the plain command finishes.

    Returns:
        True if there is now something to do that had been done.
    """
    known = range(Manifest.shards(workspace.manifest))
    is_damaged = set_damaged_aside(workspace)
    ranks = [
        rank
        for rank in known
        if workspace.shard(rank).exists() and any(entry.error for entry in Shard.read(workspace.shard(rank)).rejected)
    ]
    for rank in known:
        if not workspace.shard(rank).exists():
            ShardProgress(workspace, rank).reopen()
    if not ranks and not is_damaged:
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


def finished_run(run_dir: Path) -> Recordings:
    """Return the recordings that a finished run kept.

    Raises:
        UsageError: If `run_dir` is no finished run that read recordings, or another version made it.
    """
    workspace = workspace_of(run_dir)
    instead = f"rerun the pipeline into another {option('output', 'DIR')}, or remove --source"
    check_same_version(workspace, lambda: instead)
    if not workspace.report.exists():
        raise UsageError(
            str(run_dir),
            "this run is not finished",
            "the run directory of a complete dataset",
            workspace.resume,
        )
    if not workspace.manifest.exists():
        raise UsageError(
            str(run_dir),
            "this run took its episodes from datasets, so it has no recordings to compare with",
            "the run directory of a conversion",
            "remove --source",
        )
    pipeline = load_frozen(workspace)
    lines = workspace.rejected.read_text(encoding="utf-8").splitlines()
    rejected = {(line["source"], line["key"]) for line in map(json.loads, lines)}
    manifest = Manifest.read(workspace.manifest).rows
    return Recordings(
        run_dir=workspace.run_dir,
        run_digest=RunInfo.read(workspace.run).digest,
        rows=[row for row in manifest if (row.source, row.key) not in rejected],
        episodes=pipeline.reader.read,
        steps=pipeline.steps,
        video=pipeline.video,
    )

"""Swap: a converted dataset takes the name of the dataset that it was made of, which is kept under another."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from ...blocks.binding import Binding
from ...core.commit import rename_new, sync_file
from ...core.errors import exists_already
from ...core.workspace import Workspace
from ...formats.lerobot import paths_v30
from ...manifests.run_info import RunInfo, kept_names
from ...manifests.run_report import RunReport
from .preflight import exclusive, in_words


def kept_name(dataset: Path, version: str) -> Path:
    """Return the free name under which a dataset of a version is kept.

    Raises:
        UsageError: If it is taken.
    """
    [kept] = kept_names(str(dataset), version)
    if os.path.lexists(kept):
        raise exists_already(Path(kept), "folder", f"move it away: the dataset of {version} is kept under this name")
    return Path(kept)


def swap(dataset: Path, kept: Path, workspace: Workspace) -> RunReport:
    """Give a dataset its other name, and the finished output of a run the dataset's.

    Args:
        dataset: Absolute folder that the run took its episodes from.
        kept: Name that it gets, from `kept_name`.
        workspace: The run, with its output beside the dataset.

    Returns:
        The report of the run, with the output where it is now.
    """
    with in_words(workspace), exclusive(workspace):
        dataset.rename(kept)
        sync_file(kept.parent)
    report = swapped(dataset, workspace)
    assert report is not None, f"{kept} is the dataset of {workspace.run}"
    return replace(report, was_finished=False)


def swapped(dataset: Path, workspace: Workspace) -> RunReport | None:
    """Finish a swap that was interrupted after its first rename; all may be done already.

    Returns:
        The report of the run; None if its swap has not begun.
    """
    if not workspace.report.exists():
        return None
    run = RunInfo.read(workspace.run)
    kept = next((folder for folder in kept_names(str(dataset)) if _is_input(folder, run)), None)
    if kept is None:
        return None
    with in_words(workspace), exclusive(workspace):
        if not os.path.lexists(dataset) and Binding(workspace, run).made_output:
            rename_new(workspace.output, dataset)
        if not Binding(replace(workspace, output=dataset), run).made_output:
            return None
        report = replace(RunReport.read(workspace.report), was_finished=run.output == str(dataset))
        if not report.was_finished:
            note = f"{kept} is the dataset before the conversion"
            report = replace(report, output=str(dataset), datasets=[str(dataset)], inputs=[kept])
            report = replace(report, notes=[*(other for other in report.notes if other != note), note])
            report.write(workspace.report)
            # Digests do not depend on paths. Last: with it, nothing is left to do.
            replace(run, output=str(dataset), inputs=[replace(run.inputs[0], path=kept)]).write(workspace.run)
    return report


def _is_input(folder: str, run: RunInfo) -> bool:
    """Return True if a folder is the dataset that a run took its episodes from."""
    with suppress(OSError):
        info = Path(folder, paths_v30.INFO).read_bytes()
        return [dataset.info_digest for dataset in run.inputs] == [hashlib.sha256(info).hexdigest()]
    return False

"""robotrove edit."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import fields
from typing import Any

import click

from ...core.workspace import Workspace
from ...formats.lerobot.datasets.dataset_edit import ALL, DatasetEdit
from ...formats.lerobot.datasets.open_dataset import open_current
from ...hub.source_files import local_dataset
from ...manifests.run_info import RunInfo
from ..arguments import force_option, given
from .dataset_run import annotation_option, run_blocks, run_options, times_option

_EPISODES = re.compile(rf"({ALL}|[\d\s,-]*\d[\d\s,-]*)=(.*)", re.DOTALL)


def _tasks(texts: Iterable[str]) -> dict[str, str]:
    """Return episodes, or "all", to their new task, in the order in which they decide."""
    tasks: dict[str, str] = {}
    for text in texts:
        found = _EPISODES.fullmatch(text)
        episodes, task = (found[1], found[2]) if found else (ALL, text)
        tasks.pop(episodes, None)
        tasks[episodes] = task
    return tasks


def _names(ctx: click.Context, option: click.Parameter, texts: Iterable[str]) -> dict[str, str]:
    names: dict[str, str] = {}
    for text in texts:
        old, _, new = text.partition("=")
        if not old or not new:
            raise click.BadParameter(f"{text!r} is not OLD=NEW", param=option)
        if names.setdefault(old, new) != new:
            raise click.BadParameter(f"{old!r} has two new names, {names[old]!r} and {new!r}", param=option)
    return names


def _entries(ctx: click.Context, option: click.Parameter, text: str | None) -> list[str]:
    return [] if text is None else text.split(",")


@click.command()
@click.argument("dataset", type=click.Path())
@click.option("--drop", metavar="EPISODES", callback=_entries, help="Drop these episodes, such as 0,3,7-9.")
@click.option("--keep", metavar="EPISODES", callback=_entries, help="Keep only these episodes.")
@click.option(
    "--task",
    "tasks",
    metavar="[EPISODES=]TEXT",
    multiple=True,
    callback=lambda ctx, option, texts: _tasks(texts),
    help="Give all or some episodes a new task; repeatable.",
)
@click.option(
    "--rename-feature",
    "rename_features",
    metavar="OLD=NEW",
    multiple=True,
    callback=_names,
    help="Rename a feature; repeatable.",
)
@click.option("--drop-feature", "drop_features", metavar="NAME", multiple=True, help="Drop a feature; repeatable.")
@click.option("--robot-type", help="Set robot_type.")
@annotation_option
@times_option
@force_option
@run_options
def command(
    dataset: str,
    drop: list[str],
    keep: list[str],
    tasks: dict[str, str],
    rename_features: dict[str, str],
    drop_features: tuple[str, ...],
    robot_type: str | None,
    annotations: dict[str, str],
    times: str,
    force: bool,
    **run: Any,
) -> None:
    """Edit episodes, tasks and features in a new dataset.

    The output is a new dataset of the same version; the input stays as it is. DATASET is a folder or
    hf://datasets/OWNER/NAME[@REVISION]. Packets are copied, not re-encoded. Rerun the same command to resume.
    """
    # Refused here: there is no pipeline file to fix.
    edit = DatasetEdit([*drop], [*keep] or None, tasks, rename_features, [*drop_features], robot_type).entry
    if not edit:
        options = ", ".join("--" + one.name.replace("_", "-").removesuffix("s") for one in fields(DatasetEdit))
        raise click.UsageError(f"no change is given; expected one of {options}")
    source = given(dataset, force=force)
    folder, finished = local_dataset(source), Workspace.for_output(run["output"], run["run_dir"]).run
    # A missing dataset may be that of a finished run, which no longer needs it.
    is_missing = finished.exists() and not os.path.lexists(folder)
    version = RunInfo.read(finished).formats[0] if is_missing else open_current(folder).version
    decided = {"annotations": annotations} if annotations else {}
    taken = {"datasets": [source], "edit": edit, "times": times, **decided}
    if version == "v3.0":
        run_blocks({"aggregator": {**taken, "on_mismatch": "reencode"}, "dataset_stats": {}}, **run)
    run_blocks({"downgrader": {**taken, "allow_long": True}}, **run)

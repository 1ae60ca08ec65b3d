"""robotrove convert."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import click

from ...core.errors import UsageError
from ...core.workspace import Workspace
from ...formats.lerobot.datasets.open_dataset import open_dataset
from ...hub.address import is_on_hub
from ...hub.source_files import local_dataset
from ...manifests.run_report import RunReport
from ..arguments import force_option, given
from .dataset_run import annotation_option, run_blocks, run_options, show_report, times_option


@click.command()
@click.argument("dataset", type=click.Path())
@click.option("--to", "version", type=click.Choice(["v2.1", "v3.0"]), required=True, help="Version of the output.")
@click.option("--gr00t", "robot", metavar="ROBOT", help="v2.1: also write GR00T's modality.json and stats.json.")
@click.option("--modality", metavar="FILE", help="v2.1: as --gr00t, with your own modality.json instead of a robot's.")
@click.option("--replace", is_flag=True, help="With --gr00t or --modality: replace a modality.json that differs.")
@click.option("--allow-long", is_flag=True, help="v2.1: keep episodes that are too long for LeRobot 0.3.3.")
@annotation_option
@times_option
@force_option
@click.option("--in-place", is_flag=True, help="Replace DATASET, which is kept as NAME_v30 (or _v21).")
@partial(run_options, needs_output=False)
def command(
    dataset: str,
    version: str,
    robot: str | None,
    modality: str | None,
    replace: bool,
    allow_long: bool,
    annotations: dict[str, str],
    times: str,
    force: bool,
    in_place: bool,
    **run: Any,
) -> None:
    """Convert a dataset to v2.1 or v3.0.

    DATASET is a folder or hf://datasets/OWNER/NAME[@REVISION]. Every clip contains exactly the frames of its
    episode. Packets are copied if the episode begins at a keyframe, other clips are re-encoded. Rerun the same
    command to resume. With --in-place instead of --output, DATASET.to-v2.1 is made and checked before the names change.
    """
    if in_place == (run["output"] is not None):
        found = "has both --in-place and --output" if in_place else "has neither --output nor --in-place"
        raise UsageError("robotrove convert", found, "-o OUT, or --in-place")
    if in_place:
        run |= _in_place(dataset, version, run)
    source = given(dataset, force=force)
    folder = local_dataset(source)
    asked = {"robot": robot, "modality": modality, "replace": replace or None}
    files = {key: value for key, value in asked.items() if value is not None}
    # One that is gone may be that of a finished run, which needs it no more.
    if os.path.lexists(folder) and open_dataset(folder).version == version and not files:
        raise _same_version(dataset, version)
    taken = {"datasets": [source], "times": times, **({"annotations": annotations} if annotations else {})}
    if version == "v3.0":
        if files or allow_long:
            raise UsageError("--gr00t, --modality and --allow-long", "need --to v2.1", todo="remove them")
        run_blocks({"aggregator": {**taken, "on_mismatch": "reencode"}, "dataset_stats": {}}, **run)
    gr00t = {"gr00t_files": files} if files else {}
    run_blocks({"downgrader": {**taken, "allow_long": allow_long}, **gr00t}, **run)


def _in_place(dataset: str, version: str, run: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a run beside a dataset that takes its name in the end; finish one that is doing so.

    Raises:
        UsageError: If the dataset has this version and no run gave it its name, or the name for it is taken.
    """
    if is_on_hub(dataset):
        raise UsageError(dataset, "is on the Hub, and --in-place changes a folder", "-o OUT")
    from ...blocks.dataset.verifier import check
    from ...pipelines.run.swap import kept_name, swap, swapped

    folder = Path(os.path.abspath(dataset))
    output = folder.with_name(f"{folder.name}.to-{version}")
    report = swapped(folder, Workspace.for_output(output, run["run_dir"]))
    if report is not None:
        show_report(report, as_json=run["as_json"])
    existing = open_dataset(folder).version
    if existing == version:
        raise _same_version(dataset, version)
    kept = kept_name(folder, existing)

    def finish(workspace: Workspace) -> RunReport:
        check(workspace.output)
        return swap(folder, kept, workspace)

    return {"output": output, "finish": finish}


def _same_version(dataset: str, version: str) -> UsageError:
    return UsageError(dataset, f"already has version {version}", "a dataset of another version")

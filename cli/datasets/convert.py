"""robotrove convert."""

from __future__ import annotations

import os
from typing import Any

import click

from ...core.errors import UsageError
from ...formats.lerobot.datasets.open_dataset import open_dataset
from ...hub.source_files import local_dataset
from ..arguments import force_option, given
from .dataset_run import annotation_option, run_blocks, run_options, times_option


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
@run_options
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
    **run: Any,
) -> None:
    """Convert a dataset to v2.1 or v3.0.

    DATASET is a folder or hf://datasets/OWNER/NAME[@REVISION]. Every clip contains exactly the frames of its
    episode. Packets are copied if the episode begins at a keyframe, other clips are re-encoded. Rerun the same
    command to resume.
    """
    source = given(dataset, force=force)
    folder = local_dataset(source)
    asked = {"robot": robot, "modality": modality, "replace": replace or None}
    files = {key: value for key, value in asked.items() if value is not None}
    # One that is gone may be that of a finished run, which needs it no more.
    if os.path.lexists(folder) and open_dataset(folder).version == version and not files:
        raise UsageError(dataset, f"already has version {version}", "a dataset of another version")
    taken = {"datasets": [source], "times": times, **({"annotations": annotations} if annotations else {})}
    if version == "v3.0":
        if files or allow_long:
            raise UsageError("--gr00t, --modality and --allow-long", "need --to v2.1", todo="remove them")
        run_blocks({"aggregator": {**taken, "on_mismatch": "reencode"}, "dataset_stats": {}}, **run)
    gr00t = {"gr00t_files": files} if files else {}
    run_blocks({"downgrader": {**taken, "allow_long": allow_long}, **gr00t}, **run)

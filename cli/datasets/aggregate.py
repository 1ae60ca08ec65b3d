"""robotrove aggregate."""

from __future__ import annotations

from typing import Any

import click

from ..arguments import force_option, given
from .dataset_run import run_blocks, run_options


@click.command()
@click.argument("datasets", nargs=-1, required=True, metavar="DATASET…", type=click.Path())
@click.option(
    "--on-mismatch",
    type=click.Choice(["refuse", "reencode"]),
    default="refuse",
    help="What becomes of clips that are encoded otherwise than the first dataset's.",
)
@force_option
@run_options
def command(datasets: tuple[str, ...], on_mismatch: str, force: bool, **run: Any) -> None:
    """Join DATASETs of LeRobot, v3.0 or v2.1, into one of v3.0; the same command again resumes it.

    Packets are copied, not encoded again. Features, frame rate and robot type must agree. A DATASET is a folder, or
    hf://datasets/OWNER/NAME[@REVISION].
    """
    folders = [given(dataset, force=force) for dataset in datasets]
    run_blocks({"aggregator": {"datasets": folders, "on_mismatch": on_mismatch}, "dataset_stats": {}}, **run)

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
    help="Refuse or re-encode clips with another encoding than the first dataset's.",
)
@force_option
@run_options
def command(datasets: tuple[str, ...], on_mismatch: str, force: bool, **run: Any) -> None:
    """Merge datasets into one v3.0 dataset.

    A DATASET is a folder or hf://datasets/OWNER/NAME[@REVISION], of v3.0 or v2.1. Features, frame rate and robot
    type must agree. Packets are copied, not re-encoded. Rerun the same command to resume.
    """
    folders = [given(dataset, force=force) for dataset in datasets]
    run_blocks({"aggregator": {"datasets": folders, "on_mismatch": on_mismatch}, "dataset_stats": {}}, **run)

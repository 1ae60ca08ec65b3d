"""robotrove aggregate."""

from __future__ import annotations

from typing import Any

import click

from ..arguments import force_option, given
from .dataset_run import annotation_option, run_blocks, run_options, times_option


@click.command()
@click.argument("datasets", nargs=-1, required=True, metavar="DATASET…", type=click.Path())
@click.option(
    "--on-mismatch",
    type=click.Choice(["refuse", "reencode"]),
    default="refuse",
    help="Refuse or re-encode clips with another encoding than the first dataset's.",
)
@click.option(
    "--on-duplicate",
    type=click.Choice(["refuse", "skip", "keep"]),
    default="refuse",
    help="Refuse, skip or keep episodes that a dataset before has too.",
)
@annotation_option
@times_option
@force_option
@run_options
def command(
    datasets: tuple[str, ...],
    on_mismatch: str,
    on_duplicate: str,
    annotations: dict[str, str],
    times: str,
    force: bool,
    **run: Any,
) -> None:
    """Merge datasets into one v3.0 dataset.

    A DATASET is a folder or hf://datasets/OWNER/NAME[@REVISION], of v3.0, v2.1 or v2.0. Features, frame rate and robot
    type must agree. Packets are copied, not re-encoded. Rerun the same command to resume.
    """
    folders = [given(dataset, force=force) for dataset in datasets]
    decided = {"annotations": annotations} if annotations else {}
    options = {"on_mismatch": on_mismatch, "on_duplicate": on_duplicate, "times": times}
    aggregator = {"datasets": folders, **options, **decided}
    run_blocks({"aggregator": aggregator, "dataset_stats": {}}, **run)

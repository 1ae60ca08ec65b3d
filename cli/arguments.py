"""Arguments that several commands take: a dataset here or on the Hub, a file to write."""

from __future__ import annotations

import os
from pathlib import Path

import click

from ..core.commit import file_attempt
from ..core.errors import exists_already, not_written
from ..hub.address import is_on_hub
from ..hub.source_files import local_dataset

force_option = click.option("--force", is_flag=True, help="Fetch datasets on the Hub from the start.")

target_option = click.option(
    "-o",
    "--output",
    "target",
    type=click.Path(path_type=Path),
    default=Path("pipeline.yaml"),
    show_default=True,
    help="Pipeline file to write; it must not exist.",
)


def given(dataset: str, *, force: bool) -> str:
    """Return a dataset as a run is told of it: an absolute folder, or its name on the Hub."""
    if not is_on_hub(dataset):
        return os.path.abspath(dataset)
    if force:
        local_dataset(dataset, force=True)
    return dataset


def write_new(target: Path, content: str | bytes) -> None:
    """Write a file.

    Raises:
        UsageError: If it exists, or cannot be written.
    """
    if os.path.lexists(target):
        raise exists_already(target)
    try:
        with file_attempt(target) as attempt:
            attempt.write_bytes(content.encode() if isinstance(content, str) else content)
    except OSError as exc:
        raise not_written(target, exc, "a file in a folder that exists") from exc

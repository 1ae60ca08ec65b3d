"""Datasets that commands are given: folders, or names on the Hub."""

from __future__ import annotations

import os

import click

from ..hub.address import is_on_hub
from ..hub.source_files import local_dataset

force_option = click.option("--force", is_flag=True, help="Fetch what comes from the Hub anew.")


def given(dataset: str, *, force: bool) -> str:
    """Return a dataset as a run is told of it: an absolute folder, or its name on the Hub."""
    if not is_on_hub(dataset):
        return os.path.abspath(dataset)
    if force:
        local_dataset(dataset, force=True)
    return dataset

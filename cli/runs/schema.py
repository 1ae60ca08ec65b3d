"""robotrove schema."""

from __future__ import annotations

import click

from ...pipelines.spec.json_schema import json_schema
from ..output import echo_json


@click.command()
def command() -> None:
    """Print the JSON Schema of a pipeline file.

    Editors use it: run `robotrove schema > pipeline.schema.json`, and begin the pipeline file with
    `# yaml-language-server: $schema=pipeline.schema.json`.
    """
    echo_json(json_schema())

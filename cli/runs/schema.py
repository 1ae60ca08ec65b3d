"""robotrove schema."""

from __future__ import annotations

import click

from ...pipelines.spec.json_schema import json_schema
from ..output import echo_json


@click.command()
def command() -> None:
    """Print the JSON Schema of a pipeline file, for editors.

    For example `robotrove schema > pipeline.schema.json`, and as first line of a pipeline file
    `# yaml-language-server: $schema=pipeline.schema.json`.
    """
    echo_json(json_schema())

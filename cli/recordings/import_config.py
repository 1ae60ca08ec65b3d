"""robotrove import-config."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from ...pipelines.spec.arena_config import arena_pipeline_text, read_arena_config
from ..arguments import target_option, write_new
from ..output import echo


@click.command()
@click.argument("kind", type=click.Choice(["arena"]))
@click.argument("file", type=click.Path(path_type=Path))
@target_option
def command(kind: str, file: Path, target: Path) -> None:
    """Write a pipeline file for another converter's options.

    FILE is the configuration of the converter. arena: a YAML file of Isaac Lab Arena's convert_hdf5_to_lerobot.py.
    """
    config = read_arena_config(file)
    write_new(target, arena_pipeline_text(config, file.name, target.parent))
    echo(f"{target}: robot {config.robot or 'unknown'}, output {config.output}")
    first = "" if config.robot else f"fill in the robot in {target}, then\n      "
    echo(f"\nnext: {first}robotrove plan {shlex.quote(str(target))}\n      robotrove run {shlex.quote(str(target))}")

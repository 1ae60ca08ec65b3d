"""robotrove init."""

from __future__ import annotations

import os
import shlex
from dataclasses import replace
from pathlib import Path

import click

from ...core.errors import UsageError, exists_already
from ...pipelines.spec.pipeline_draft import copied_text, guess, pipeline_text
from ...pipelines.spec.pipeline_file import shipped_names
from ...pipelines.spec.places import seen_from
from ..arguments import target_option, write_new
from ..display import Bar
from ..output import counted, echo

_RECORDINGS = "recordings"


@click.command(epilog="Shipped pipelines: " + ", ".join(shipped_names()) + ".")
@click.argument("files", metavar="FILE…", nargs=-1, type=click.Path())
@click.option("--pipeline", metavar="NAME", help="Copy this shipped pipeline instead.")
@target_option
def command(files: tuple[str, ...], pipeline: str | None, target: Path) -> None:
    """Recognise the layout of files and write a pipeline file.

    FILE is an HDF5 file or a folder of them. The pipeline file contains everything that was found, and runs as it
    is. Comments in it show further features and steps.
    """
    if target.exists():
        raise exists_already(target)
    if pipeline is not None:
        places = files or (_RECORDINGS,)
        text, told = copied_text(pipeline, _seen(places, target), _name(places)), f"the pipeline {pipeline}"
    elif files:
        text, told = _guessed(files, target)
    else:
        raise UsageError("robotrove init", "has no files", "HDF5 files, or --pipeline NAME")
    write_new(target, text)
    echo(f"{target}: {told}")
    first = "" if files else f"put the recordings into {_RECORDINGS}/, or change source.files in {target}, then\n      "
    echo(f"\nnext: {first}robotrove plan {shlex.quote(str(target))}\n      robotrove run {shlex.quote(str(target))}")


def _guessed(files: tuple[str, ...], target: Path) -> tuple[str, str]:
    """Return a pipeline for files, and what was found in them; warn of those that cannot be used."""
    with Bar("reading files") as bar:
        found = guess(list(map(Path, files)), bar.show)
    for problem in found.problems:
        echo(f"warning: {problem}", err=True)
    episodes, frames = counted(len(found.episodes), "episode"), counted(found.n_frames, "frame")
    found = replace(found, files=_seen(found.files, target))
    return pipeline_text(found, f"{_name(files)}_lerobot"), f"layout {found.layout}, {episodes}, {frames}"


def _seen(files: tuple[str, ...], target: Path) -> tuple[str, ...]:
    """Return files as a pipeline file has them: relative to it, and a $ in their names is no variable."""
    names = (file.replace("$", "[$]") if os.path.isfile(file) else file for file in files)
    return tuple(seen_from(target.parent, name) for name in names)


def _name(files: tuple[str, ...]) -> str:
    """Return what to call the dataset: as the only file, or as the folder of all."""
    first = Path(os.path.abspath(files[0]))
    is_one_file = len(files) == 1 and not first.is_dir()
    return first.stem if is_one_file else (first if first.is_dir() else first.parent).name

"""robotrove init."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from ..core.errors import UsageError
from ..pipelines.guess import guess
from ..pipelines.pipeline_text import pipeline_text
from .display import Bar
from .output import counted, echo


@click.command()
@click.argument("files", metavar="FILE…", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    "target",
    type=click.Path(path_type=Path),
    default=Path("pipeline.yaml"),
    show_default=True,
    help="The pipeline file to write; it must not exist yet.",
)
def command(files: tuple[Path, ...], target: Path) -> None:
    """Guess the layout of files (or folders of files) and write a pipeline file with everything found.

    The file runs as it is; what else could be done is in it as comments.
    """
    if target.exists():
        raise _exists(target)
    with Bar("reading files") as bar:
        found = guess(files, bar.show)
    text = pipeline_text(found, f"{_name(files)}_lerobot")
    try:
        with open(target, "x", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
    except FileExistsError:
        raise _exists(target) from None
    except OSError as exc:
        raise UsageError(str(target), f"cannot be written: {exc.strerror}", "a file in a folder that exists") from exc
    episodes, frames = counted(len(found.episodes), "episode"), counted(found.n_frames, "frame")
    echo(f"{target}: layout {found.layout}, {episodes}, {frames}")
    for problem in found.problems:
        click.echo(f"warning: {problem}", err=True)
    echo(f"\nnext: robotrove plan {shlex.quote(str(target))}\n      robotrove run {shlex.quote(str(target))}")


def _exists(target: Path) -> UsageError:
    return UsageError(str(target), "exists already", "a file that does not exist yet", "-o NAME, or move it away")


def _name(files: tuple[Path, ...]) -> str:
    """Return what to call the dataset: as the only file, or as the folder of all."""
    first = files[0].absolute()
    is_one_file = len(files) == 1 and not first.is_dir()
    return first.stem if is_one_file else (first if first.is_dir() else first.parent).name

"""robotrove sample."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from ...core.commit import rename_new
from ...core.errors import UsageError, exists_already, not_written
from ...formats.hdf5.samples import SAMPLES, write_sample
from ..output import echo

_NO_LAYOUT = "generic"  # its files can only be described by hand


@click.command(epilog="Layouts: " + ", ".join(SAMPLES) + ".")
@click.argument("layout")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@click.option("--episodes", default=3, show_default=True, help="Number of episodes.")
@click.option("--frames", default=30, show_default=True, help="Frames of each episode.")
@click.option("--height", default=96, show_default=True, help="Height of the frames in pixels, at least 48.")
@click.option("--width", default=96, show_default=True, help="Width of the frames in pixels, at least 48.")
@click.option("--cameras", help="Camera names, separated by commas; '' for none, the layout's own by default.")
@click.option("--seed", default=0, show_default=True, help="Seed of the random values.")
def command(
    layout: str, folder: Path, episodes: int, frames: int, height: int, width: int, cameras: str | None, seed: int
) -> None:
    """Write small sample files of a layout.

    The files in DIR have known values, and frame numbers in the pixels. An existing file is never replaced.
    """
    names = None if cameras is None else tuple(filter(None, map(str.strip, cameras.split(","))))
    home = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    try:
        with TemporaryDirectory(prefix=".robotrove-", dir=home) as attempt:
            written = write_sample(
                layout,
                Path(attempt),
                episodes=episodes,
                frames=frames,
                height=height,
                width=width,
                cameras=names,
                seed=seed,
            )
            paths = [folder / path.name for path in written]
            for path in filter(os.path.lexists, paths):
                raise _taken(path)
            folder.mkdir(parents=True, exist_ok=True)
            for attempted, path in zip(written, paths, strict=True):
                if not rename_new(attempted, path):
                    raise _taken(path)
    except OSError as exc:
        raise not_written(folder, exc, "a folder that can be written") from exc
    for path in paths:
        echo(str(path))
    if layout == _NO_LAYOUT:
        echo(f"\nnext: robotrove inspect {shlex.quote(str(paths[0]))}")
    else:
        echo(f"\nnext: robotrove init {shlex.quote(str(folder))}")


def _taken(path: Path) -> UsageError:
    return exists_already(path, todo="choose another DIR, or move it away")

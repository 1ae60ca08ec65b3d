"""robotrove sample."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

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

    The files in DIR have known values, and frame numbers in the pixels.
    """
    paths = write_sample(
        layout,
        folder,
        episodes=episodes,
        frames=frames,
        height=height,
        width=width,
        cameras=None if cameras is None else tuple(filter(None, map(str.strip, cameras.split(",")))),
        seed=seed,
    )
    for path in paths:
        echo(str(path))
    if layout == _NO_LAYOUT:
        echo(f"\nnext: robotrove inspect {shlex.quote(str(paths[0]))}")
    else:
        echo(f"\nnext: robotrove init {shlex.quote(str(folder))}")

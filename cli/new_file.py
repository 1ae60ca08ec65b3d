"""A pipeline file that a command writes where none was before."""

from __future__ import annotations

from pathlib import Path

import click

from ..core.errors import UsageError, exists_already

target_option = click.option(
    "-o",
    "--output",
    "target",
    type=click.Path(path_type=Path),
    default=Path("pipeline.yaml"),
    show_default=True,
    help="The pipeline file to write; it must not exist yet.",
)


def write_new(target: Path, text: str) -> None:
    """Write a file.

    Raises:
        UsageError: If it exists, or cannot be written.
    """
    try:
        with open(target, "x", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
    except FileExistsError:
        raise exists_already(target) from None
    except OSError as exc:
        raise UsageError(str(target), f"cannot be written: {exc.strerror}", "a file in a folder that exists") from exc

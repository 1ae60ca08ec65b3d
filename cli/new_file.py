"""A pipeline file that a command writes where none was before."""

from __future__ import annotations

from pathlib import Path

import click

from ..core.errors import UsageError

target_option = click.option(
    "-o",
    "--output",
    "target",
    type=click.Path(path_type=Path),
    default=Path("pipeline.yaml"),
    show_default=True,
    help="The pipeline file to write; it must not exist yet.",
)


def exists(target: Path) -> UsageError:
    """Return the error for a file that would be replaced."""
    return UsageError(str(target), "exists already", "a file that does not exist yet", "-o NAME, or move it away")


def write_new(target: Path, text: str) -> None:
    """Write a file.

    Raises:
        UsageError: If it exists, or cannot be written.
    """
    try:
        with open(target, "x", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
    except FileExistsError:
        raise exists(target) from None
    except OSError as exc:
        raise UsageError(str(target), f"cannot be written: {exc.strerror}", "a file in a folder that exists") from exc

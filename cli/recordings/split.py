"""robotrove split."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from shlex import quote
from typing import Any

import click

from ...core.errors import UsageError, printable
from ...formats.hdf5.rewrite.packing import NewFile, Written, check_outputs, plan_split, read_recording, write
from ..display import Bar
from ..output import counted, echo, echo_json, size
from .dataset_lines import is_dataset


@click.command()
@click.argument("arguments", metavar="FILE.hdf5", nargs=-1, required=True)
@click.option("-o", "--output", type=click.Path(path_type=Path, file_okay=False), help="Folder of the new files.")
@click.option("--groups", multiple=True, help="Only these episodes: --groups demo_0 demo_2, or repeat the option.")
@click.option("--prefix", default="", help="Beginning of the new files' names.")
@click.option("--overwrite", is_flag=True, help="Replace existing files; by default they are kept.")
@click.option("--list", "only_list", is_flag=True, help="List the episodes, and write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on standard output.")
@click.pass_context
def command(
    ctx: click.Context,
    arguments: tuple[str, ...],
    output: Path | None,
    groups: tuple[str, ...],
    prefix: str,
    overwrite: bool,
    only_list: bool,
    as_json: bool,
) -> None:
    """Split an HDF5 file into one file per episode.

    Each file has its episode at the same path, and the attributes of the groups above it, so that it converts like the
    original. Compressed data are copied as they are. Exits with 1 if an episode cannot be read.
    """
    file, more = _file_and_groups(arguments, groups)
    if file.is_dir():
        kind, command, options = ("dataset", "edit", "--keep 0") if is_dataset(file) else ("folder", "repack", "-e 1")
        todo = f"robotrove {command} {quote(str(file))} -o OUT {options}"
        raise UsageError(str(file), f"is a {kind}", "one HDF5 file", todo)
    recording = read_recording(file)
    files = plan_split(recording, output or Path(), prefix=prefix, names=(*groups, *more))
    if only_list:
        names = [piece.key or "/" for new in files for piece in new.pieces]
        document = {"file": str(file), "layout": recording.layout, "episodes": names}
        echo_json(document) if as_json else echo("\n".join(map(printable, names)))
        return
    if output is None:
        todo = f"robotrove split {quote(str(file))} -o {quote(file.stem)}"
        raise UsageError("-o", "is missing", "a folder for the new files", todo)
    check_outputs(files, overwrite=overwrite)
    ctx.exit(report(write_all(files, overwrite), recording.left_out, as_json))


def _file_and_groups(arguments: Sequence[str], groups: Sequence[str]) -> tuple[Path, list[str]]:
    """Return the recording, and the names after the first of `--groups A B`: the file may come before or after them."""
    files = [text for text in arguments if os.path.isfile(text)]
    if len(arguments) == 1 or (len(files) == 1 and groups):
        file = files[0] if files else arguments[0]
        return Path(file), [text for text in arguments if text != file]
    found = counted(len(files), "file") if files else "no file that exists"
    raise UsageError(
        " ".join(arguments),
        f"contains {found}{'' if groups else ', and names without --groups'}",
        "one HDF5 file",
        "robotrove split FILE -o DIR --groups NAME --groups NAME",
    )


def write_all(files: Sequence[NewFile], overwrite: bool) -> list[Written]:
    """Write files with a progress bar of their episodes."""
    total, done = sum(len(new.pieces) for new in files), 0
    written = []
    with Bar("episodes") as bar:
        for new in files:
            bar.show(done, total, note=printable(new.path.name))
            numbers = count(done + 1)
            written.append(write(new, overwrite=overwrite, progress=partial(_step, bar, numbers, total)))
            done += len(new.pieces)
            bar.show(done, total)
    return written


def _step(bar: Bar, numbers: Iterator[int], total: int) -> None:
    bar.show(next(numbers), total)


def report(written: Sequence[Written], notes: Sequence[str], as_json: bool, rejected: Sequence[Any] = ()) -> int:
    """Print what was written, and return the exit code."""
    rejected = [*rejected, *(entry for new in written for entry in new.rejected)]
    if as_json:
        echo_json(
            {
                "files": [
                    {"path": str(new.path), "state": new.state, "notes": list(new.notes), "missing": list(new.missing)}
                    for new in written
                ],
                "notes": list(notes),
                "rejected": [dict(zip(("episode", "reason", "detail"), entry, strict=True)) for entry in rejected],
            }
        )
    else:
        echo("\n".join((*_lines(written), *(f"note: {printable(note)}" for note in notes))))
        for label, reason, detail in rejected:
            echo(f"{printable(label)}: rejected, {reason}: {printable(detail)}", err=True)
        if written:
            echo(f"\nnext: robotrove inspect -r {quote(printable(str(written[0].path.parent)))}")
        for new in (new for new in written if new.missing):
            lacks = f"is kept, and lacks {counted(len(new.missing), 'episode')}, such as {new.missing[0]}"
            echo(printable(f"{new.path}: {lacks}; --overwrite writes it again"), err=True)
    return 1 if rejected or any(new.missing for new in written) else 0


def _lines(written: Sequence[Written]) -> Iterator[str]:
    for new in written:
        name = printable(str(new.path))
        if new.state == "kept":
            yield f"{name}: exists and is kept; --overwrite replaces it"
        elif new.state == "written":
            yield f"{name}: {size(new.path.stat().st_size)}"
        for note in new.notes:
            yield f"  {printable(note)}"
    states = [new.state for new in written]
    kept = f", {states.count('kept'):,} kept" if "kept" in states else ""
    yield f"{counted(states.count('written'), 'file')} written{kept}"

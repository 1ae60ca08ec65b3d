"""robotrove repack."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from shlex import quote

import click

from ...core.errors import EpisodeRejected, UsageError, printable
from ...core.source_file import files_below
from ...formats.hdf5.hdf5_file import HDF5_SUFFIXES, natural_key
from ...formats.hdf5.rewrite.packing import NewFile, Recording, check_outputs, plan_repack, read_recording
from ..output import counted, echo, echo_json, size
from .split import report, write_all

_MOST_NAMES = 5  # new names of episodes shown


@click.command()
@click.argument("paths", metavar="PATH…", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path, file_okay=False), help="Folder of the new files.")
@click.option("-e", "--episodes-per-file", "per_file", type=click.IntRange(min=1), help="Most episodes in a new file.")
@click.option("--pattern", help="Only the files of folders with such a name, for example 'pick_*.hdf5'.")
@click.option("--prefix", default="repack_", show_default=True, help="Beginning of the new files' names.")
@click.option("--overwrite", is_flag=True, help="Replace existing files; by default they are kept.")
@click.option("--dry-run", is_flag=True, help="Show which episode comes into which file, and write nothing.")
@click.option("--analyze", is_flag=True, help="Count the episodes of each file, and write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on standard output.")
@click.pass_context
def command(
    ctx: click.Context,
    paths: tuple[Path, ...],
    output: Path | None,
    per_file: int | None,
    pattern: str | None,
    prefix: str,
    overwrite: bool,
    dry_run: bool,
    analyze: bool,
    as_json: bool,
) -> None:
    """Repack the episodes of HDF5 files into files of N episodes.

    Files and episodes keep their order, and compressed data are copied as they are. Recordings with other attributes
    above their episodes begin a new file. Exits with 1 if a file or an episode cannot be read.
    """
    recordings: list[Recording] = []
    rejected: list[tuple[str, str, str]] = []
    for file in _files(paths, pattern, output):
        try:
            recordings.append(read_recording(file))
        except EpisodeRejected as exc:
            rejected.append((str(file), exc.reason, exc.detail))
    if analyze:
        planned = plan_repack(recordings, Path(), per_file=per_file, prefix=prefix) if per_file else None
        ctx.exit(_analyze(recordings, rejected, planned, as_json))
    if output is None or per_file is None:
        where, expected = ("-o", "a folder for the new files") if output is None else ("-e", "episodes per file")
        sources, folder = " ".join(quote(str(path)) for path in paths), quote(str(output or "OUT"))
        todo = f"robotrove repack {sources} -o {folder} -e {per_file or 50}"
        raise UsageError(where, "is missing", expected, todo)
    files = plan_repack(recordings, output, per_file=per_file, prefix=prefix)
    check_outputs(files, overwrite=overwrite, others=_numbered(output, prefix))
    if dry_run:
        echo_json(_plan(files)) if as_json else echo("\n".join(_plan_lines(files)))
        ctx.exit(report([], [], False, rejected) if rejected and not as_json else bool(rejected))
    notes = [note for recording in recordings for note in recording.left_out]
    names = [f"{piece.label} is now /{piece.name}" for new in files for piece in new.pieces if piece.name != piece.key]
    if not as_json and (more := len(names) - _MOST_NAMES) > 0:
        names[_MOST_NAMES:] = [f"{counted(more, 'more episode')} with new names; --dry-run shows all"]
    notes += names
    ctx.exit(report(write_all(files, overwrite), notes, as_json, rejected))


def _files(paths: Sequence[Path], pattern: str | None, output: Path | None) -> list[Path]:
    """Return the files once each, those of a folder in natural order; without those that are in the output folder."""
    found: dict[str, Path] = {}
    inside = os.path.join(os.path.realpath(output), "") if output else None
    for path in paths:
        if not os.path.lexists(path):
            raise UsageError(str(path), "does not exist", "an HDF5 file or a folder", f"ls {quote(str(path.parent))}")
        files = files_below(path, HDF5_SUFFIXES) if path.is_dir() else [path]
        if path.is_dir():
            if inside and os.path.join(os.path.realpath(path), "").startswith(inside):
                raise UsageError(str(output), f"contains the recordings in {path}", "a folder for the new files alone")
            files = [file for file in files if fnmatchcase(file.name, pattern or "*")]
            files = [file for file in files if not (inside and os.path.realpath(file).startswith(inside))]
            if not files:
                what = f"no HDF5 file like {pattern!r}" if pattern else "no HDF5 file"
                raise UsageError(str(path), f"contains {what}", "files to repack", f"ls {quote(str(path))}")
        for file in sorted(files, key=lambda file: natural_key(str(file))):
            found.setdefault(os.path.realpath(file), file)
    return list(found.values())


def _numbered(folder: Path, prefix: str) -> list[Path]:
    """Return the files PREFIX0.hdf5, PREFIX1.hdf5 … of a folder."""
    name = re.compile(rf"{re.escape(prefix)}\d+\.hdf5")
    found = [folder / entry for entry in os.listdir(folder) if name.fullmatch(entry)] if folder.is_dir() else []
    return sorted(found, key=lambda file: natural_key(file.name))


def _analyze(
    recordings: Sequence[Recording],
    rejected: Sequence[tuple[str, str, str]],
    planned: Sequence[NewFile] | None,
    as_json: bool,
) -> int:
    """Print the episodes of each file, and how many new files there would be; return the exit code."""
    rows = [(str(found.path), found.layout, len(found.keys), found.path.stat().st_size) for found in recordings]
    episodes, stored = sum(row[2] for row in rows), sum(row[3] for row in rows)
    if as_json:
        names = ("path", "layout", "episodes", "size")
        new = {} if planned is None else {"new_files": len(planned)}
        files = [dict(zip(names, row, strict=True)) for row in rows]
        echo_json({"files": files, "episodes": episodes, "size": stored, **new})
        return int(bool(rejected))
    for path, layout, count, bytes_ in rows:
        echo(f"{printable(path)}: {counted(count, 'episode')}, {size(bytes_)}, layout {layout or 'unknown'}")
    new_files = "" if planned is None else f"; {counted(len(planned), 'file')} after repack"
    echo(f"{counted(len(rows), 'file')}, {counted(episodes, 'episode')}, {size(stored)}{new_files}")
    for path, reason, detail in rejected:
        echo(f"{printable(path)}: rejected, {reason}: {printable(detail)}", err=True)
    return int(bool(rejected))


def _plan(files: Sequence[NewFile]) -> dict[str, object]:
    return {
        "files": [
            {
                "path": str(new.path),
                "exists": os.path.lexists(new.path),
                "episodes": [
                    {"file": str(piece.recording.path), "key": piece.key, "name": piece.name} for piece in new.pieces
                ],
            }
            for new in files
        ]
    }


def _plan_lines(files: Sequence[NewFile]) -> Iterator[str]:
    for new in files:
        exists = ", exists" if os.path.lexists(new.path) else ""
        yield f"{printable(str(new.path))}: {counted(len(new.pieces), 'episode')}{exists}"
        for piece in new.pieces:
            renamed = f" as /{piece.name}" if piece.name != piece.key else ""
            yield printable(f"  {piece.label}{renamed}")

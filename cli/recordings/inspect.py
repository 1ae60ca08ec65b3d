"""robotrove inspect."""

from __future__ import annotations

import glob
import os
import re
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from time import monotonic
from typing import Any, TypeVar

import click

from ...core.errors import EpisodeRejected, UsageError, exists_already, printable
from ...core.source_file import files_below
from ...formats.hdf5.file_facts import conversions, count_episodes
from ...formats.hdf5.hdf5_file import HDF5_SUFFIXES, natural_key
from ...formats.hdf5.mapping import ColumnSpec
from ...formats.hdf5.preview import Preview, pictures, preview, spread
from ...formats.hdf5.tree import Branch, Node, grown, open_part, tree
from ...media.image.overview import contact_sheet
from ...media.image.pixels import Pixels
from ..arguments import write_new
from ..display import Bar
from ..output import colours, counted, echo, echo_drawn, echo_json, size
from .browser import Browser
from .dataset_lines import OpenedDataset, curve_lines, dataset_lines, episode_lines, is_dataset, strip_lines
from .object_lines import FRAMES, preview_lines, tree_lines
from .summary_table import summary_lines, summary_row
from .viewer import RerunLog

_UNFINISHED = re.compile(r"^\.|\.partial(-|$)|\.run$")
_SHEET_FRAMES = 8
_SHEET_STRIPS = 48
_SHEET_EPISODES = 12  # of a dataset
_PATIENCE = 2.0  # seconds without a word

Strip = tuple[str, Sequence[Pixels]]
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class _View:
    """Options of the command."""

    attrs: bool
    preview: bool
    max_level: int | None
    unfolds: bool
    sheet: Path | None
    as_json: bool


@click.command()
@click.argument("paths", metavar="PATH… [EPISODE]", nargs=-1, required=True)
@click.option("-r", "--recursive", is_flag=True, help="Also take the files and datasets below folders.")
@click.option("-a", "--attrs", is_flag=True, help="Also show attributes.")
@click.option("-p", "--preview", is_flag=True, help="Also show values: numbers, texts, pictures.")
@click.option("-l", "--max-level", type=click.IntRange(min=0), help="Deepest level to show; the root is 0.")
@click.option("--all", "unfolds", is_flag=True, help="Show each of the groups that are alike.")
@click.option(
    "-o", "--output", "sheet", type=click.Path(path_type=Path), help="PNG of pictures to write; it must not exist."
)
@click.option("-i", "--interactive", is_flag=True, help="Take commands about one HDF5 file: ls, cd, info, help …")
@click.option(
    "--rerun", is_flag=False, flag_value="", metavar="[FILE.rrd]", help="Show an episode in Rerun, or write FILE.rrd."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on standard output, with all groups.")
@click.pass_context
def command(
    ctx: click.Context,
    paths: tuple[str, ...],
    recursive: bool,
    attrs: bool,
    preview: bool,
    max_level: int | None,
    unfolds: bool,
    sheet: Path | None,
    interactive: bool,
    rerun: str | None,
    as_json: bool,
) -> None:
    """Show HDF5 files, datasets, or one episode of a dataset.

    PATH is an HDF5 file, a LeRobot dataset, a pattern, or with -r a folder of these. A last argument of digits is an
    episode of the dataset before it. One file is shown as a tree in which groups that are alike are one line, several
    as a table per layout. With -i, commands come from the terminal, or a script on standard input. Exits with 1 if a
    part is unreadable or a command of a script fails, 2 if a file is unreadable that was given alone.
    """
    if sheet is not None:
        _check_sheet(sheet)
    view = _View(attrs, preview, max_level, unfolds, sheet, as_json)
    has_options = recursive or view != _View(False, False, None, False, None, False)
    has_episode = len(paths) > 1 and paths[-1].isascii() and paths[-1].isdigit()
    if interactive:
        if len(paths) > 1 or has_options or rerun is not None:
            raise UsageError("-i", "takes one HDF5 file and no other option", todo="robotrove inspect -i FILE")
        ctx.exit(_browse(_file(Path(paths[0]))))
    if rerun is not None:
        if len(paths) != 2 or not has_episode or has_options or not f".rrd{rerun}".endswith(".rrd"):
            told = "takes a dataset, a number of an episode, then nothing or one file .rrd"
            raise UsageError("--rerun", told, todo="robotrove inspect DATASET 0 --rerun episode.rrd")
        ctx.exit(_show_in_rerun(Path(paths[0]), int(paths[1]), Path(rerun) if rerun else None))
    if has_episode:
        if len(paths) != 2:
            raise UsageError(f"episode {paths[-1]}", f"has {len(paths) - 1} paths before it", "one dataset")
        if os.path.isfile(paths[0]):
            todo = f"robotrove inspect {shlex.quote(paths[0])}"
            raise UsageError(paths[0], f"is a file, and episode {paths[1]} is given", "a LeRobot dataset", todo)
        _check_options([Path(paths[0])], view)
        ctx.exit(_show_episode(Path(paths[0]), int(paths[1]), view))
    places = _places(paths, recursive)
    _check_options(places, view)
    if len(places) > 1:
        ctx.exit(_show_several(places, view))
    ctx.exit((_show_dataset if is_dataset(places[0]) else _show_file)(places[0], view))


def _check_sheet(sheet: Path) -> None:
    if sheet.suffix.lower() != ".png":
        raise UsageError(f"-o {sheet}", "is the name of another format", "a file .png", f"-o {sheet.stem}.png")
    if os.path.lexists(sheet):
        raise exists_already(sheet)


def _file(path: Path) -> Path:
    """Return a path that may be an HDF5 file; UsageError for a folder."""
    if not path.is_dir():
        return path
    is_one = is_dataset(path)
    todo = f"robotrove inspect {'' if is_one else '-r '}{shlex.quote(str(path))}"
    raise UsageError(str(path), f"is a {'dataset' if is_one else 'folder'}", "an HDF5 file", todo)


def _check_options(places: Sequence[Path], view: _View) -> None:
    """Refuse options for a tree or for pictures where a table or a dataset is shown."""
    trees = {"-a": view.attrs, "--all": view.unfolds, f"-l {view.max_level}": view.max_level is not None}
    singles = {"-p": view.preview, f"-o {shlex.quote(str(view.sheet))}": view.sheet is not None}
    is_one = len(places) == 1
    given = (trees if is_dataset(places[0]) else {}) if is_one else trees | singles
    if options := " ".join(option for option, is_given in given.items() if is_given):
        found = f"is given with {'a dataset' if is_one else f'{len(places):,} files or datasets'}"
        file = next((place for place in places if not is_dataset(place)), places[0])
        todo = f"robotrove inspect {'' if is_one else f'{options} '}{shlex.quote(str(file))}"
        raise UsageError(options, found, "an HDF5 file" if is_one else "one file or dataset", todo)


def _places(paths: Sequence[str], recursive: bool) -> list[Path]:
    """Return the files and datasets that arguments mean, each once."""
    found: dict[Path, None] = {}
    for text in paths:
        matches = [text]
        if glob.has_magic(text) and not os.path.lexists(text):
            matches = sorted(glob.glob(text, recursive=True), key=natural_key)
            if not matches:
                raise UsageError(
                    text, "matches no file", "a pattern of HDF5 files or datasets", f"ls {shlex.quote(text)}"
                )
        for path in map(Path, matches):
            if not path.is_dir() or is_dataset(path):
                found[path] = None
                continue
            if not recursive:
                todo = f"robotrove inspect -r {shlex.quote(str(path))}"
                raise UsageError(str(path), "is a folder", "an HDF5 file or a dataset", todo)
            below = [*files_below(path, HDF5_SUFFIXES), *_datasets_below(path)]
            if not below:
                raise UsageError(str(path), "has no HDF5 file and no dataset below it", "recordings or datasets")
            found |= dict.fromkeys(sorted(below, key=lambda place: natural_key(str(place))))
    return list(found)


def _datasets_below(folder: Path) -> Iterator[Path]:
    """Yield the datasets below a folder, but hidden ones, unfinished ones, and the shards of runs."""
    for name, folders, _ in os.walk(folder):
        if is_dataset(Path(name)):
            yield Path(name)
            folders.clear()
        folders[:] = [inner for inner in folders if not _UNFINISHED.search(inner)]


def _browse(path: Path) -> int:
    """Take commands about a file from standard input; return the exit code."""
    if sys.stdin is None:  # it was closed
        raise UsageError("-i", "standard input is closed", "a terminal, or commands from a script")
    is_script = not sys.stdin.isatty()
    with open_part(path) as (opened, fault):
        for line in _head_lines(path, opened, fault)[is_script:]:
            echo(line, err=is_script)
        has_failed = Browser(path.name, opened).run()
    return 1 if fault or (is_script and has_failed) else 0


def _head_lines(path: Path, opened: Any, fault: EpisodeRejected | None) -> list[str]:
    layout, episodes = count_episodes(opened)
    found = f"layout {layout}, {counted(episodes, 'episode')}" if layout else "no known layout"
    damage = [f"DAMAGED: {printable(fault.detail)}; shown as far as it can be read"] if fault else []
    return [f"{printable(str(path))}: {size(path.stat().st_size)}, {found}", *damage]


def _show_file(path: Path, view: _View) -> int:
    """Show the tree of one file; return the exit code."""
    faults: list[str] = []
    with open_part(path) as (opened, fault):
        specs = conversions(opened) if view.preview or view.sheet else {}
        if view.as_json:
            layout, episodes = count_episodes(opened)
            head = {"file": str(path), "size": path.stat().st_size, "layout": layout, "episodes": episodes}
            nodes = _watched(tree(opened, view.max_level), faults)
            objects = [_document(node, preview(opened, node.path) if view.preview else None, view) for node in nodes]
            problem = fault.detail if fault else ""
            if view.sheet:
                _write_sheet(view, _file_strips(opened, grown(tree(opened)), "", specs, faults))
            echo_json(head | {"problem": problem, "unreadable": len(faults), "objects": objects})
            return 1 if faults or fault else 0
        echo("\n".join(_head_lines(path, opened, fault)))
        nodes = _watched(tree(opened, view.max_level if view.unfolds else None), faults)
        root = grown(nodes, folds=not view.unfolds)
        for lines, branch in tree_lines(root, attrs=view.attrs, max_level=view.max_level):
            echo("\n".join(lines))
            if view.preview and branch.node.kind == "dataset":
                _show_values(opened, branch.node, specs, faults)
        _write_sheet(view, _file_strips(opened, root, "", specs, faults))
    if faults:
        echo(f"{counted(len(faults), 'object')} cannot be read: the file is damaged", err=True)
    return 1 if faults or fault else 0


def _watched(nodes: Iterator[Node], faults: list[str]) -> Iterator[Node]:
    """Yield nodes, and note the unreadable ones."""
    for node in _announced(nodes, "object"):
        if node.kind == "unreadable":
            faults.append(node.path)
        yield node


def _announced(items: Iterator[_T], noun: str) -> Iterator[_T]:
    """Yield items, and say how many there are so far where it takes long."""
    due = monotonic() + _PATIENCE
    for count, item in enumerate(items, 1):
        if monotonic() > due:
            echo(f"reading: {counted(count, noun)} so far", err=True)
            due = monotonic() + _PATIENCE
        yield item


def _show_values(opened: Any, node: Node, specs: Mapping[str, ColumnSpec], faults: list[str]) -> None:
    found = preview(opened, node.path)
    shown = pictures(opened, node.path, FRAMES, specs)
    for line in preview_lines(found, shown, colours(), "  " * (node.level + 1)):
        echo_drawn(line)
    if shown.problem or (found and found.problem):
        faults.append(node.path)


def _document(node: Node, values: Preview | None, view: _View) -> dict[str, Any]:
    document = asdict(node)
    if not view.attrs:
        del document["attrs"]
    if view.preview:
        document["preview"] = asdict(values) if values else None
    return document


def _file_strips(
    opened: Any, branch: Branch, parent: str, specs: Mapping[str, ColumnSpec], faults: list[str]
) -> Iterator[Strip]:
    """Yield the pictures of a file; of groups that are alike those of some, evenly spread."""
    names = list(dict.fromkeys(branch.names))
    for name in (names[at] for at in spread(len(names), _SHEET_EPISODES)):
        path = f"{parent}/{name}"
        if branch.node.kind == "dataset":
            shown = pictures(opened, path, _SHEET_FRAMES, specs)
            if shown.problem and path not in faults:
                faults.append(path)
            if shown.rows:
                yield path, [frame for _, frame in shown.rows]
        for member in branch.below:
            yield from _file_strips(opened, member, path.rstrip("/"), specs, faults)


def _write_sheet(view: _View, strips: Iterator[Strip]) -> None:
    """Write the contact sheet, if one is asked for, and say so."""
    if view.sheet is None:
        return
    labels: list[str] = []

    def noted() -> Iterator[Strip]:
        for label, frames in islice(_announced(strips, "filmstrip"), _SHEET_STRIPS):
            labels.append(label)
            yield label, frames

    sheet = contact_sheet(noted())
    if not labels:
        raise UsageError(str(view.sheet), "has no pictures to show", "a file or dataset with cameras")
    write_new(view.sheet, sheet)
    if not view.as_json:
        echo(f"{printable(str(view.sheet))}: {counted(len(labels), 'filmstrip')}")


def _show_dataset(root: Path, view: _View) -> int:
    """Show the metadata of a dataset, and pictures of some episodes; return the exit code."""
    opened = OpenedDataset(root)
    document = opened.document()
    sheet = opened.some(_SHEET_EPISODES) if view.sheet else []
    strips = (strip for at in sheet for strip in _episode_strips(opened, at))
    if view.as_json:
        _write_sheet(view, strips)
        echo_json(document)
        return 1 if opened.faults else 0
    for line in dataset_lines(document):
        echo(line)
    episodes = opened.some(FRAMES) if view.preview else []
    for key in opened.colour_cameras():
        shown = [(at.index, frame) for at in episodes for _, frame in opened.pictures(key, at, [0])]
        for line in strip_lines(f"{key}, first frames of episodes", shown, colours()):
            echo_drawn(line)
    _write_sheet(view, strips)
    return _report_faults(opened)


def _episode_strips(opened: OpenedDataset, at: Any) -> Iterator[Strip]:
    for key in opened.colour_cameras():
        if shown := opened.pictures(key, at, spread(at.length, _SHEET_FRAMES)):
            yield f"episode {at.index}  {key}", [frame for _, frame in shown]


def _report_faults(opened: OpenedDataset) -> int:
    for fault in opened.faults:
        echo(f"DAMAGED: {printable(fault)}", err=True)
    return 1 if opened.faults else 0


def _show_episode(root: Path, episode: int, view: _View) -> int:
    """Show one episode with curves and pictures; return the exit code."""
    opened = OpenedDataset(root)
    at = opened.located(episode)
    series = opened.series(at)
    strips = {key: opened.pictures(key, at, spread(at.length, FRAMES)) for key in opened.colour_cameras()}
    document = opened.episode_document(at, series)
    if view.as_json:
        _write_sheet(view, _episode_strips(opened, at))
        echo_json(document)
        return 1 if opened.faults else 0
    for line in episode_lines(document):
        echo(line)
    for key, shown in strips.items():
        for line in strip_lines(f"{key}, frames", shown, colours()):
            echo_drawn(line)
    names = {key: opened.dataset.features[key].names for key in series}
    for line in curve_lines(series, names, colours()):
        echo_drawn(line)
    _write_sheet(view, _episode_strips(opened, at))
    return _report_faults(opened)


def _show_in_rerun(root: Path, episode: int, target: Path | None) -> int:
    """Show one episode in a viewer, or write it for one; return the exit code."""
    opened = OpenedDataset(root)
    log = RerunLog(opened, opened.located(episode))
    if target:
        log.write(target)
        echo(f"{printable(str(target))}: {size(target.stat().st_size)}; to open it: rerun {shlex.quote(str(target))}")
    else:
        log.show()
    if log.note:
        echo(f"note: {printable(log.note)}", err=True)
    return _report_faults(opened)


def _show_several(places: Sequence[Path], view: _View) -> int:
    """Show a table per layout, and one of the datasets; return the exit code."""
    with Bar("reading files") as bar:
        rows = []
        for done, place in enumerate(places):
            bar.show(done, len(places))
            rows.append(summary_row(place))
    if view.as_json:
        echo_json({"files": rows})
    else:
        echo("\n".join(summary_lines(rows)))
    return 1 if any(row["faults"] for row in rows) else 0

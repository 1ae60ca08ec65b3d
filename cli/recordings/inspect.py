"""robotrove inspect."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from ...core.errors import UsageError, printable
from ...formats.hdf5.file_facts import count_episodes
from ...formats.hdf5.preview import Preview, pictures, preview
from ...formats.hdf5.tree import Node, grown, open_part, tree
from ..output import colours, counted, echo, echo_json, size
from .object_lines import FRAMES, preview_lines, tree_lines


@click.command()
@click.argument("file", metavar="FILE.hdf5", type=click.Path(path_type=Path))
@click.option("-a", "--attrs", is_flag=True, help="Also show attributes.")
@click.option("-p", "--preview", "with_preview", is_flag=True, help="Also show values: numbers, texts, pictures.")
@click.option("-l", "--max-level", type=click.IntRange(min=0), help="Deepest level to show; the root is 0.")
@click.option("--all", "unfolds", is_flag=True, help="Show each of the groups that are alike.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on standard output, with all groups.")
@click.pass_context
def command(
    ctx: click.Context,
    file: Path,
    attrs: bool,
    with_preview: bool,
    max_level: int | None,
    unfolds: bool,
    as_json: bool,
) -> None:
    """Show the content of an HDF5 file.

    It lists groups and datasets with sizes, chunks and compression. Groups that are alike are one line. Exits with 1
    if parts of the file are unreadable, 2 if the whole file is.
    """
    if file.is_dir():
        raise UsageError(str(file), "is a folder", "an HDF5 file")
    ctx.exit(_show_file(file, attrs, with_preview, max_level, unfolds, as_json))


def _show_file(path: Path, attrs: bool, with_preview: bool, max_level: int | None, unfolds: bool, as_json: bool) -> int:
    """Show the tree of one file; return the exit code."""
    faults: list[str] = []
    with open_part(path) as (opened, fault):
        layout, episodes = count_episodes(opened)
        head = {"file": str(path), "size": path.stat().st_size, "layout": layout, "episodes": episodes}
        if as_json:
            objects = [
                _document(node, preview(opened, node.path) if with_preview else None, attrs, with_preview)
                for node in _watched(tree(opened, max_level), faults)
            ]
            problem = fault.detail if fault else ""
            echo_json(head | {"problem": problem, "unreadable": len(faults), "objects": objects})
            return 1 if faults or fault else 0
        found = f"layout {layout}, {counted(episodes, 'episode')}" if layout else "no known layout"
        echo(f"{printable(str(path))}: {size(path.stat().st_size)}, {found}")
        if fault:
            echo(f"DAMAGED: {printable(fault.detail)}; shown as far as it can be read")
        root = grown(_watched(tree(opened, max_level if unfolds else None), faults), folds=not unfolds)
        for lines, branch in tree_lines(root, attrs=attrs, max_level=max_level):
            echo("\n".join(lines))
            if with_preview and branch.node.kind == "dataset":
                _show_values(opened, branch.node, faults)
    if faults:
        click.echo(f"{counted(len(faults), 'object')} cannot be read: the file is damaged", err=True)
    return 1 if faults or fault else 0


def _watched(nodes: Iterator[Node], faults: list[str]) -> Iterator[Node]:
    for node in nodes:
        if node.kind == "unreadable":
            faults.append(node.path)
        yield node


def _show_values(opened: Any, node: Node, faults: list[str]) -> None:
    found = preview(opened, node.path)
    shown = pictures(opened, node.path, FRAMES)
    for line in preview_lines(found, shown, colours(), "  " * (node.level + 1)):
        echo(line)
    if shown.problem or (found and found.problem):
        faults.append(node.path)


def _document(node: Node, values: Preview | None, attrs: bool, with_preview: bool) -> dict[str, Any]:
    document = asdict(node)
    if not attrs:
        del document["attrs"]
    if with_preview:
        document["preview"] = asdict(values) if values else None
    return document

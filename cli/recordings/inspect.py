"""robotrove inspect."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from ...core.errors import UsageError
from ...formats.hdf5.file_facts import count_episodes
from ...formats.hdf5.hdf5_file import open_hdf5
from ...formats.hdf5.tree import Node, Preview, preview, tree
from ..output import counted, echo, echo_json, size

_NAME_WIDTH = 44
_MOST_TEXT = 200


@click.command()
@click.argument("file", metavar="FILE.hdf5", type=click.Path(path_type=Path))
@click.option("--attrs", is_flag=True, help="Also show attributes.")
@click.option("--preview", "with_preview", is_flag=True, help="Also show values of numeric datasets of up to 16 MB.")
@click.option("--max-level", type=click.IntRange(min=0), help="Deepest level to show; the root is 0.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on standard output.")
@click.pass_context
def command(
    ctx: click.Context, file: Path, attrs: bool, with_preview: bool, max_level: int | None, as_json: bool
) -> None:
    """Show the content of an HDF5 file.

    It lists groups and datasets with sizes, chunks and compression. Exits with 1 if parts of the file are unreadable,
    2 if the whole file is.
    """
    if file.is_dir():
        raise UsageError(str(file), "is a folder", "an HDF5 file")
    damaged = 0
    objects: list[dict[str, Any]] = []
    with open_hdf5(file, locking=True) as opened:
        layout, episodes = count_episodes(opened)
        head = {"file": str(file), "size": file.stat().st_size, "layout": layout, "episodes": episodes}
        if not as_json:
            found = f"layout {layout}, {counted(episodes, 'episode')}" if layout else "no known layout"
            echo(f"{file}: {size(file.stat().st_size)}, {found}")
        for node in tree(opened, max_level):
            damaged += node.kind == "unreadable"
            values = preview(opened, node.path) if with_preview and node.kind == "dataset" else None
            if as_json:
                objects.append(_document(node, values, attrs, with_preview))
            else:
                echo("\n".join(_lines(node, values, attrs)))
    if as_json:
        echo_json(head | {"unreadable": damaged, "objects": objects})
    elif damaged:
        click.echo(f"{counted(damaged, 'object')} cannot be read: the file is damaged", err=True)
    ctx.exit(1 if damaged else 0)


def _document(node: Node, values: Preview | None, attrs: bool, with_preview: bool) -> dict[str, Any]:
    document = asdict(node)
    if not attrs:
        del document["attrs"]
    if with_preview:
        document["preview"] = asdict(values) if values else None
    return document


def _lines(node: Node, values: Preview | None, attrs: bool) -> Iterator[str]:
    indent = "  " * node.level
    name = node.path.rpartition("/")[2] or "/"
    yield f"{indent + name:<{_NAME_WIDTH}}  {_facts(node)}".rstrip()
    if attrs:
        for key, value in node.attrs.items():
            yield f"{indent}  @{key} = {_short(value)}"
    if values is not None:
        if values.first is not None:
            yield f"{indent}  first {_short(_rounded(values.first))}"
            yield f"{indent}  last  {_short(_rounded(values.last))}"
        bad = f", {counted(values.not_finite, 'value')} not finite" if values.not_finite else ""
        lowest, highest = _rounded([values.minimum, values.maximum])
        yield f"{indent}  from {_short(lowest)} to {_short(highest)}{bad}"


def _facts(node: Node) -> str:
    if node.kind == "group":
        return f"group, {counted(node.n_children, 'member')}"
    if node.kind == "link":
        nowhere = f", LEADS NOWHERE: {node.problem}" if node.problem else ""
        return f"link to {node.target}{nowhere}" if node.target else "link, not followed"
    if node.kind == "unreadable":
        return "CANNOT BE READ"
    storage = f"chunks {node.chunks}" if node.chunks else "contiguous"
    packing = "".join(f", {text}" for text in (node.compression, node.problem) if text)
    return f"{node.shape if node.shape is not None else 'empty'} {node.dtype}, {size(node.size)}, {storage}{packing}"


def _rounded(value: Any) -> Any:
    """Return numbers with 6 significant digits."""
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _MOST_TEXT else f"{text[:_MOST_TEXT]}… ({len(text):,} characters)"

"""Summary of several files and datasets: a row for each, in a table per layout."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ...core.errors import EpisodeRejected, printable
from ...core.features import cameras, frame_size
from ...formats.hdf5.file_facts import described
from ...formats.hdf5.tree import open_part
from ..output import columns, counted, cut, padded, size
from .dataset_lines import LABELS, OpenedDataset, is_dataset

_NAME = 20  # columns of a file
_HEAD = ("episodes", "frames", "success", "lengths", "fps", "cameras", "health")


def summary_row(place: Path) -> dict[str, Any]:
    """Return what is known of a file or a dataset, for `summary_lines` and JSON; faults are in it."""
    return _dataset_row(place) if is_dataset(place) else _file_row(place)


def _file_row(path: Path) -> dict[str, Any]:
    row: dict[str, Any] = {"file": str(path), "size": path.stat().st_size if path.is_file() else 0, "layout": None}
    row |= {"episodes": 0, "frames": 0, "success": {}, "lengths": None, "fps": [], "cameras": {}, "faults": []}
    faults: list[EpisodeRejected] = []
    try:
        with open_part(path) as (opened, fault):
            faults += [fault] if fault else []
            found = described(opened, path, row["size"] if fault else None)
    except EpisodeRejected as exc:
        return row | {"faults": [f"{fault.detail} ({fault.reason})" for fault in (*faults, exc)]}
    lengths = [episode.length for episode in found.episodes]
    sizes = {key: frame_size(camera) for e in found.episodes for key, camera in cameras(e.features).items()}
    return row | {
        "layout": found.layout,
        "episodes": len(lengths),
        "frames": sum(lengths),
        "success": dict(Counter(LABELS[episode.success] for episode in found.episodes)),
        "lengths": [min(lengths), max(lengths)] if lengths else None,
        "fps": sorted({episode.fps for episode in found.episodes if episode.fps is not None}),
        "cameras": {key: f"{width}x{height}" for key, (height, width) in sizes.items()},
        "faults": [f"{exc.detail} ({exc.reason})" for exc in (*faults, *found.rejected)],
    }


def _dataset_row(root: Path) -> dict[str, Any]:
    opened = OpenedDataset(root)
    found = opened.document()
    return {
        "file": found["dataset"],
        "size": found["size"],
        "layout": f"LeRobot {found['version']}",
        "episodes": found["episodes"],
        "frames": found["frames"],
        "success": (found["provenance"] or {"success": {}})["success"],
        "lengths": [found["lengths"]["min"], found["lengths"]["max"]] if found["lengths"] else None,
        "fps": [found["fps"]] if found["fps"] else [],
        "cameras": {key: f"{camera['width']}x{camera['height']}" for key, camera in found["cameras"].items()},
        "faults": found["faults"],
    }


def summary_lines(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield a table per layout, and the totals of several tables of files or of datasets."""
    tables: dict[str | None, list[dict[str, Any]]] = {}
    for row in rows:
        tables.setdefault(row["layout"], []).append(row)
    for layout, members in tables.items():
        yield f"{layout or 'no known layout'}: {_total(members)}"
        yield from _table(members)
    for noun in ("file", "dataset"):
        found = [members for members in tables.values() if _noun(members[0]) == noun]
        if len(found) > 1:
            yield f"total: {_total([row for members in found for row in members])}"


def _total(rows: Sequence[dict[str, Any]]) -> str:
    episodes, frames, stored = (sum(row[name] for row in rows) for name in ("episodes", "frames", "size"))
    files = counted(len(rows), _noun(rows[0]))
    return f"{files}, {counted(episodes, 'episode')}, {counted(frames, 'frame')}, {size(stored)}"


def _noun(row: dict[str, Any]) -> str:
    return "dataset" if is_dataset(Path(row["file"])) else "file"


def _table(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield the rows of one layout, the sizes of their cameras, and their faults."""
    names = _names([row["file"] for row in rows])
    cells = [(_noun(rows[0]), *_HEAD), *((name, *_cells(row)) for name, row in zip(names, rows, strict=True))]
    widths = [max(map(columns, column)) for column in zip(*cells, strict=True)]
    for texts in cells:
        yield "  " + "  ".join(map(padded, texts, widths)).rstrip()
    for key, sizes in _camera_sizes(rows).items():
        yield printable(f"  camera {key}  {', '.join(sizes)}")
    for row in rows:
        for fault in row["faults"]:
            where = "" if fault.startswith(row["file"]) else f"{row['file']}: "
            yield printable(f"  DAMAGED: {where}{fault}")


def _names(files: Sequence[str]) -> list[str]:
    """Return the last parts of paths, as many as tell them apart: recorders give files of all runs the same name."""
    parts = [Path(file).parts for file in files]
    depths = range(1, max(map(len, parts)) + 1)
    depth = next((depth for depth in depths if len({part[-depth:] for part in parts}) == len(parts)), depths[-1])
    names = [printable("/".join(part[-depth:])) for part in parts]
    return [cut(name, _NAME) if depth == 1 else cut(name[::-1], _NAME)[::-1] for name in names]


def _camera_sizes(rows: Sequence[dict[str, Any]]) -> dict[str, list[str]]:
    sizes: dict[str, list[str]] = {}
    for row in rows:
        for key, text in row["cameras"].items():
            if text not in sizes.setdefault(key, []):
                sizes[key].append(text)
    return sizes


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    labels, ends = row["success"], row["lengths"]
    lengths = "–".join(f"{end:,}" for end in dict.fromkeys(ends)) if ends else "–"
    known = labels.get("yes", 0) + labels.get("no", 0)
    success = f"{labels.get('yes', 0):,} of {known:,}" if known else "–"
    fps = "/".join(f"{rate:g}" for rate in row["fps"]) or "–"
    health = counted(len(row["faults"]), "fault") if row["faults"] else "ok"
    return (f"{row['episodes']:,}", f"{row['frames']:,}", success, lengths, fps, str(len(row["cameras"])), health)

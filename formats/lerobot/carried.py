"""What a new dataset takes over from its sources besides their episodes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ...core.columns import Array
from ...core.errors import printable
from .datasets.dataset import DatasetSource


def shared_extras(sources: Iterable[DatasetSource]) -> tuple[dict[Path, Path], list[str]]:
    """Return the extra files that all sources have alike, each with one of its origins, and a note on every other."""
    digests: dict[Path, set[bytes]] = {}
    origins: dict[Path, list[Path]] = {}
    count = 0
    for source in sources:
        count += 1
        for path in source.extra_files():
            digests.setdefault(path, set()).add(hashlib.sha256((source.root / path).read_bytes()).digest())
            origins.setdefault(path, []).append(source.root / path)
    shared = {path: places[0] for path, places in origins.items() if len(places) == count and len(digests[path]) == 1}
    dropped = [path for path in origins if path not in shared]
    return shared, [f"{printable(str(path))} is not the same in all datasets: left out" for path in dropped]


def shared_video_info(sources: Iterable[DatasetSource]) -> dict[str, Mapping[str, Any]]:
    """Return what all sources say alike of their videos; there may be more in it than can be read off a file."""
    shared: dict[str, Mapping[str, Any]] | None = None
    for source in sources:
        infos = source.facts.video_info
        shared = dict(infos) if shared is None else {k: i for k, i in shared.items() if infos.get(k) == i}
    return shared or {}


def summed_histograms(sources: Iterable[DatasetSource]) -> dict[str, Array]:
    """Return the histograms of all sources together, of cameras of which all have one."""
    sums: dict[str, Array] | None = None
    for source in sources:
        part = source.histograms()
        sums = part if sums is None else {key: n + part[key] for key, n in sums.items() if key in part}
    return sums or {}

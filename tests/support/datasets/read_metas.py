"""What a source says of its episodes, one by one: as in JSON, and without what is not known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from robotrove.formats.lerobot.datasets.dataset import DatasetSource
from robotrove.formats.lerobot.stats.stored_stats import is_known, nested_lists


@dataclass
class Meta:
    """What is said of one episode."""

    stats: dict[str, Any]
    provenance: dict[str, Any]


def read_metas(source: DatasetSource) -> list[Meta]:
    """Return what a source says of each episode, in order."""
    found = []
    for metas in source.metas():
        lists = {name: nested_lists(name, column) for name, column in metas.stats.items()}
        known = {name: is_known(column) for name, column in metas.stats.items()}
        for row, origin in enumerate(metas.provenance.to_pylist()):
            found.append(Meta({name: values[row] for name, values in lists.items() if known[name][row]}, origin))
    return found

"""Metadata of the episodes of a dataset, one by one: as in JSON, and without what is not known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from robotrove.formats.lerobot.datasets.dataset import Dataset
from robotrove.formats.lerobot.datasets.provenance import episode_metadata
from robotrove.formats.lerobot.stats.stored_stats import is_known, nested_lists


@dataclass
class Meta:
    """What is said of one episode."""

    stats: dict[str, Any]
    provenance: dict[str, Any]


def read_metas(dataset: Dataset) -> list[Meta]:
    """Return the metadata of each episode, in order."""
    found = []
    for metadata in episode_metadata(dataset):
        lists = {name: nested_lists(name, column) for name, column in metadata.stats.items()}
        known = {name: is_known(column) for name, column in metadata.stats.items()}
        for row, origin in enumerate(metadata.provenance.to_pylist()):
            found.append(Meta({name: values[row] for name, values in lists.items() if known[name][row]}, origin))
    return found

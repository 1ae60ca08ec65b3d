"""Where the episodes of a dataset come from, as far as it says so; episodes that were added later are its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .arrow_rows import Damaged
from .provenance import origins
from .view import DatasetView

# Columns of the provenance table but episode_index, and what they hold if anything.
_COLUMNS: Mapping[str, type] = {
    **dict.fromkeys(("source_name", "source_key", "source_digest"), str),
    **dict.fromkeys(("source_length", "first_row", "last_row"), int),
    **dict.fromkeys(("success", "fps_assumed"), bool),
    **dict.fromkeys(("run_digest", "robotrove_version", "encoder_version"), str),
}


def known_origins(view: DatasetView) -> Iterator[dict[str, Any]]:
    """Yield the provenance of each episode that has one, in order; none if the dataset has no table of it.

    Raises:
        Damaged: If the table cannot be read, or its episodes are not numbered 0, 1, 2 ….
    """
    if not (view.root / view.provenance_path).exists():
        return
    for origin in origins(view):
        values = {name: getattr(origin, name) for name in _COLUMNS}
        for name, value in values.items():
            if value is not None and type(value) is not _COLUMNS[name]:
                where = f"{view.provenance_path}, episode {origin.episode_index}"
                raise Damaged(where, f"{name} is {value!r} instead of {_COLUMNS[name].__name__}")
        yield values


def new_origin(name: str, episode: int, length: int) -> dict[str, Any]:
    """Return the provenance of an episode of which no more is known than that it is in the dataset `name`."""
    return dict.fromkeys(_COLUMNS) | {
        "source_name": name,
        "source_key": f"episode {episode}",
        "source_length": length,
        "first_row": 0,
        "last_row": length - 1,
    }


def missing_origins(view: DatasetView, name: str, episodes: int) -> str:
    """Say how many of a dataset's episodes have no provenance beside others that do; empty if none is without.

    LeRobot goes on recording to a dataset of ours without touching its provenance.

    Raises:
        Damaged: As `known_origins`, or if there is provenance of more episodes.
    """
    path = view.provenance_path
    if not (view.root / path).exists():
        return ""
    known = sum(1 for _ in known_origins(view))
    if known > episodes:
        raise Damaged(path, f"tells of {known} episodes, more episodes than there are: {episodes}")
    if known == episodes:
        return ""
    return f"{path} ends before episode {known} of {episodes}; from there on, the output names {name} as the source"

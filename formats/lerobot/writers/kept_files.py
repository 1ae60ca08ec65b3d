"""Kept files: an existing dataset stays as it is, and new episodes follow its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from ....core.errors import UsageError, printable
from ..datasets.dataset import Dataset, Note
from ..datasets.episode_location import EpisodeLocation
from ..datasets.provenance import missing_origins
from .dataset_plan import Planner, TaskTable


def kept_episodes(base: Dataset, planner: Planner, note: Note) -> Iterator[EpisodeLocation]:
    """Yield where each episode of a dataset is, in order, and have its place planned.

    What makers of a new dataset fix while they write episodes cannot be fixed here, so it is refused.

    Args:
        base: The dataset.
        planner: Plans the files of the new dataset.
        note: Called with a sentence about what the new dataset will not say.

    Raises:
        UsageError: If its files cannot be kept.
        Damaged: As `Dataset.measured`.
    """
    if TaskTable(base.tasks).tasks != base.tasks:
        raise _not_kept(base, "its tasks are not numbered 0, 1, 2 … with a text each")
    count = 0
    for location, stated in zip(base.measured(), base.episodes(), strict=True):
        for key, track in stated.tracks.items():
            if track.clip.first != location.tracks[key].clip.first:
                path = track.clip.path.relative_to(base.root).as_posix()
                raise _not_kept(base, f"{path} begins later than at 0 s")
        if problem := planner.keep(location, base.root):
            raise _not_kept(base, problem)
        yield location
        count += 1
    if base.notes:
        raise _not_kept(base, f"what only a copy has right: {base.notes[0]}")
    if sentence := missing_origins(base, count):
        note(printable(sentence))


def kept_info(base: Dataset, made: Mapping[str, Any]) -> dict[str, Any]:
    """Return the info.json of a longer dataset: all that the base's says of its features, and what only it knows.

    Args:
        base: The dataset that is appended to.
        made: What a new dataset of the same features says.
    """
    return {**base.info, **made, "features": base.info["features"]}


def check_columns(base: Dataset, schema: pa.Schema) -> None:
    """Refuse a dataset with other column types than those of new data files, by the first of its files.

    Raises:
        UsageError: Showing all differences.
    """
    path = next(base.data_files()).path
    with base.parquet(path) as file:
        found = {field.name: field.type for field in file.schema_arrow}
    expected = {field.name: field.type for field in schema}
    differing = [key for key in expected | found if not _is_same(expected.get(key), found.get(key))]
    if differing:
        texts = [f"{key} is {found.get(key, 'missing')} instead of {expected.get(key, 'missing')}" for key in differing]
        raise _not_kept(base, f"{path} has other columns than new files get: {'; '.join(texts)}")


def _is_same(expected: pa.DataType | None, found: pa.DataType | None) -> bool:
    if isinstance(found, pa.ExtensionType):
        found = found.storage_type
    return expected is not None and found is not None and bool(expected.equals(found))


def _not_kept(base: Dataset, problem: str) -> UsageError:
    rewriting = {
        "v3.0": f"robotrove aggregate {base.root} --on-mismatch reencode -o NEW",
        "v2.1": f"robotrove convert {base.root} --to v3.0 -o OTHER, robotrove convert OTHER --to v2.1 -o NEW",
    }
    return UsageError(
        str(base.root),
        f"cannot be appended to: {printable(problem)}",
        "a dataset with files that can stay unchanged",
        f"{rewriting[base.version]}, then append to that",
    )

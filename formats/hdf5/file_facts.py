"""Facts about files, as plain values: for `robotrove init` and `robotrove inspect`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import h5py

from ...core.errors import EpisodeRejected, in_utf8
from ...core.features import VISUAL_DTYPES, Features
from . import LAYOUTS
from .columns import left_out
from .hdf5_file import DAMAGE, datasets, dtype_name, episode_group, file_name, form, objects, open_hdf5, reading
from .layout import Fact, Layout, guess_layout, rate
from .mapping import ColumnSpec, build_column, find_dataset, read_mapping
from .unrendered import unrendered_file


@dataclass(frozen=True, slots=True)
class EpisodeFacts:
    """One episode as its layout reads it.

    Attributes:
        key: Name in the file.
        length: Frames.
        fps: Frames per second as the file gives it, None if it does not.
        task: Instruction, or what stands in for it.
        task_source: Where that comes from: file, env_name, env_task, file_name or none.
        success: The recorder's label, None without one.
        columns: The layout's mapping.
        features: What that gives.
    """

    key: str
    length: int
    fps: float | None
    task: str
    task_source: str
    success: bool | None
    columns: Mapping[str, ColumnSpec]
    features: Features


@dataclass(frozen=True, slots=True)
class FileFacts:
    """One file.

    Attributes:
        path: The file.
        layout: Name of its layout, None if it is none that is known.
        episodes: Those that can be opened, in natural order.
        rejected: Why the others cannot.
    """

    path: Path
    layout: str | None
    episodes: Sequence[EpisodeFacts]
    rejected: Sequence[EpisodeRejected]


@dataclass(frozen=True, slots=True)
class ArrayFacts:
    """One dataset of an episode.

    Attributes:
        path: Path relative to the episode.
        shape: Shape, empty for a single value.
        dtype: numpy's name of the dtype, `string` or `vlen uint8`.
        kind: What column it can be: `camera`, `vector` or `text`; `none` if it cannot be one.
        problem: Why it cannot, or why a vector is more likely depth or a mask.
    """

    path: str
    shape: tuple[int, ...]
    dtype: str
    kind: Literal["camera", "vector", "text", "none"]
    problem: str = ""


def count_episodes(file: h5py.File) -> tuple[str | None, int]:
    """Return the layout that a file seems to have, None if unknown, and how many episodes it lists."""
    name = guess_layout(file)
    if name is None:
        return None, 0
    try:
        return name, len(LAYOUTS[name]().list(file))
    except EpisodeRejected:
        return name, 0


def conversions(file: h5py.File) -> Mapping[str, ColumnSpec]:
    """Return what the layout of a file converts, by path in an episode, as its first good episode has it."""
    name = guess_layout(file)
    if name is None:
        return {}
    layout: Layout = LAYOUTS[name]()
    with suppress(EpisodeRejected):
        for key in layout.list(file):
            with suppress(EpisodeRejected), reading(f"the structure of {key}"):
                specs = layout.mapping(layout.group(file, key)).values()
                return {spec.parts[0].source.strip("/"): spec for spec in specs}
    return {}


def describe(path: Path) -> FileFacts:
    """Return what a file says about itself and its episodes; no data are read.

    Raises:
        EpisodeRejected: If the file cannot be read, has no episodes, or none with observations.
    """
    with open_hdf5(path, locking=True) as file:
        return described(file, path)


def described(file: h5py.File, path: Path, part: int | None = None) -> FileFacts:
    """Return what an open file says about itself and its episodes; no data are read.

    Args:
        file: The file.
        path: Its path.
        part: Bytes of a file that is shorter than its header says; an episode with data behind its end is rejected.

    Raises:
        EpisodeRejected: If it has no episodes, or none with observations.
    """
    name = guess_layout(file)
    episodes: list[EpisodeFacts] = []
    rejected: list[EpisodeRejected] = []
    if name is not None:
        # With a rate and a task of its own the layout does not reject a file for those that it has.
        layout: Layout = LAYOUTS[name](fps=LAYOUTS[name].default_fps, task="unknown")
        for key in layout.list(file):
            try:
                if part is not None:
                    _check_end(layout.group(file, key), part)
                episodes.append(_episode(file, layout, key))
            except EpisodeRejected as exc:
                rejected.append(exc)
    if not episodes and (why := unrendered_file(file)):
        raise EpisodeRejected("missing_dataset", why)
    return FileFacts(path, name, episodes, rejected)


def _check_end(group: h5py.Group, size: int) -> None:
    """Refuse an episode with data behind the end of its file."""
    for dataset in datasets(group).values():
        with reading(f"storage of {dataset.name}"):
            end = _end(dataset) if file_name(dataset) == file_name(group) else 0
        if end > size:
            raise EpisodeRejected("truncated_file", f"{dataset.name} ends at byte {end:,}, the file at byte {size:,}")


def _end(dataset: h5py.Dataset) -> int:
    """Return the first byte of its file after the data of a dataset."""
    ends = [(dataset.id.get_offset() or 0) + dataset.id.get_storage_size()] if dataset.chunks is None else [0]
    if dataset.chunks is not None:
        dataset.id.chunk_iter(lambda chunk: ends.append(chunk.byte_offset + chunk.size))
    return max(ends)


def _episode(file: h5py.File, layout: Layout, key: str) -> EpisodeFacts:
    ep = layout.open(file, key)
    columns, _ = read_mapping(ep.origin.mapping)
    group = layout.group(file, key)
    with reading(f"the structure of {group.name}"):
        task = Fact(ep.text, "file") if ep.origin.task_source == "file" else layout.fallback_task(group)
    found = layout.found(layout.file_fps, group)
    fps = None if found is None else rate(found.value)
    return EpisodeFacts(key, ep.length, fps, in_utf8(task.value), task.source, ep.success, columns, ep.features)


def contents(path: Path, episode: EpisodeFacts) -> list[ArrayFacts]:
    """Return every dataset of an episode in natural order, mapped or not.

    Raises:
        EpisodeRejected: If the file cannot be read.
    """
    with open_hdf5(path, locking=True) as file:
        group = episode_group(file, episode.key)
        mapped = next(iter(episode.columns.values())).parts[0].source
        rows = len(find_dataset(group, mapped))
        found = objects(group).items()
        return [
            _array(group, name, item, rows) for name, item in found if isinstance(item, h5py.Dataset | EpisodeRejected)
        ]


def row_widths(path: Path, layout: str, sources: Sequence[str]) -> tuple[int, ...]:
    """Return how many entries rows of datasets have in the first episode of a file.

    Raises:
        EpisodeRejected: If the file cannot be read, or lacks one.
    """
    with open_hdf5(path, locking=True) as file:
        found: Layout = LAYOUTS[layout]()
        group = found.group(file, found.list(file)[0])
        return tuple(find_dataset(group, source).shape[-1] for source in sources)


def absolute_state(path: Path, layout: str, episode: EpisodeFacts) -> tuple[str, str] | None:
    """Return `Layout.absolute_state` of an episode, None if its states cannot be read."""
    with open_hdf5(path, locking=True) as file, suppress(*DAMAGE):
        found: tuple[str, str] | None = LAYOUTS[layout]().absolute_state(episode_group(file, episode.key))
        return found
    return None


def _array(group: h5py.Group, path: str, item: h5py.Dataset | EpisodeRejected, rows: int) -> ArrayFacts:
    if isinstance(item, EpisodeRejected):
        return ArrayFacts(path, (), "link", "none", item.detail)
    shape, numbers = form(item)
    dtype = dtype_name(numbers)
    try:
        column = build_column(group, ColumnSpec(source=path), "column")
    except EpisodeRejected as exc:
        return ArrayFacts(path, shape, dtype, "none", left_out(group, path) or exc.detail)
    if column.length != rows:
        return ArrayFacts(path, shape, dtype, "none", f"{column.length} row(s), the episode has {rows}")
    feature = column.feature
    kind: Literal["camera", "vector", "text"] = (
        "camera" if feature.dtype in VISUAL_DTYPES else "text" if feature.dtype == "string" else "vector"
    )
    return ArrayFacts(path, shape, dtype, kind, left_out(group, path) if kind == "vector" else "")

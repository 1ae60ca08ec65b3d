"""The actions of a dataset as an HDF5 file that Isaac Lab and LeIsaac replay."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from ...blocks.inverse import WayBack
from ...core.columns import Array
from ...core.commit import attempt_name, rename_new, sync_file
from ...core.errors import UsageError, exists_already
from ...core.features import Feature
from ...formats.hdf5.replay_file import ReplayFile, create, read_start
from ...formats.lerobot.datasets.dataset import DatasetView
from ...formats.lerobot.datasets.open_dataset import open_view
from ...formats.lerobot.datasets.row_reader import StoredStream, stored_episodes
from ...verification.source.source_check import Progress
from .episode import ACTION
from .parts import Part, of_robot, of_run
from .robot_way import way_of_robot


@dataclass(frozen=True, slots=True)
class ActionExport:
    """What was written.

    Attributes:
        path: The file.
        episodes: Its episodes.
        rows: Rows of all of them.
        joints: Entries of a row of `actions`, in order.
        zeros: Those that the dataset does not have, which are 0.
        converted: Those whose units were changed back.
        starts: Episodes that have the state which the simulator is reset to.
        shifted_starts: Of these, those that begin after the first row of their recording; theirs is the state there.
        late_starts: Those that begin after it too, but of which the recording has its initial state alone.
    """

    path: str
    episodes: int
    rows: int
    joints: tuple[str, ...]
    zeros: tuple[str, ...]
    converted: tuple[str, ...]
    starts: int
    shifted_starts: int
    late_starts: int


def export_actions(
    dataset: Path,
    target: Path,
    *,
    robot: str | None = None,
    space: str | None = None,
    run_dir: Path | None = None,
    episodes: Sequence[range] | None = None,
    progress: Progress = lambda done, total: None,
) -> ActionExport:
    """Write the actions of a dataset in the simulator's order and units; memory does not grow with their length.

    With the run directory the way back is that of the run's steps, and each episode begins with the state, the seed
    and the environment of its recording. Without it the robot's manifest says the order and the units.

    Args:
        dataset: Folder of the dataset, of either version.
        target: The file, which must not exist.
        robot: Robot manifest (name or YAML file); by default the shipped one whose robot_type the dataset has.
        space: Joint space of the simulator in it, see `way_of_robot`.
        run_dir: The run directory.
        episodes: Numbers of the episodes to write; all by default.
        progress: Told after each episode.

    Raises:
        UsageError: If the file exists, there is no way back, or an episode is not there or not of the run.
        Damaged: If the dataset cannot be read.
        RobotroveError: If a recording cannot be read, or the file not be written.
    """
    if os.path.lexists(target):
        raise exists_already(target)
    if not target.parent.is_dir():
        raise UsageError(str(target), "its folder is not there", "a file in a folder that exists")
    view = open_view(dataset)
    stored = _action(view)
    chosen = _chosen(view, episodes)
    if run_dir is None:
        parts = of_robot(view, way_of_robot(stored, view.info.get("robot_type"), robot, space), chosen)
    elif robot is None and space is None:
        parts = of_run(view, run_dir, chosen)
    else:
        raise UsageError(
            "--robot and --space", "stand beside --source, whose pipeline says both", action="leave them out"
        )
    attempt = target.with_name(attempt_name(target.name))
    try:
        with create(attempt) as file:
            done = _written(
                file, parts, StoredStream(view, [ACTION]), stored.dtype, lambda done: progress(done, len(chosen))
            )
        sync_file(attempt)
        if not rename_new(attempt, target):
            raise exists_already(target)
    finally:
        with suppress(OSError):  # of a folder that cannot be written the first error tells
            attempt.unlink()
    return replace(done, path=str(target))


def _written(
    file: ReplayFile, parts: Iterable[Part], stream: StoredStream, dtype: str, progress: Callable[[int], None]
) -> ActionExport:
    way = WayBack(())
    episodes = rows = starts = shifted_starts = late_starts = 0
    for part in parts:
        way = part.way  # the same for all: episodes of a dataset have the same features
        feature = Feature(dtype, (len(way.entries),))
        file.add(part.stored.index, _actions(stream, part), feature, part.stored.length, part.success)
        if part.pair is not None:
            row = part.pair.origin.first_row
            start = read_start(Path(part.pair.row.path), part.pair.row.key, row)
            file.begin(part.stored.index, start, part.pair.origin.label)
            starts += bool(start.state)
            shifted_starts += bool(start.state) and start.row > 0
            late_starts += bool(start.state) and start.row < row
        episodes, rows = episodes + 1, rows + part.stored.length
        progress(episodes)
    names = tuple(entry.name for entry in way.entries)
    return ActionExport("", episodes, rows, names, way.missing, way.converted, starts, shifted_starts, late_starts)


def _actions(stream: StoredStream, part: Part) -> Iterator[Array]:
    for piece in stream.pieces(part.stored):
        yield part.way.vectors(piece[ACTION].reshape(len(piece[ACTION]), -1))


def _action(view: DatasetView) -> Feature:
    feature = view.features.get(ACTION)
    if feature is None or feature.is_visual or feature.dtype == "string" or len(feature.shape) != 1:
        raise UsageError(str(view.root), f"has no vector {ACTION!r}", "a dataset of actions")
    return feature


def _chosen(view: DatasetView, episodes: Sequence[range] | None) -> set[int]:
    known = {stored.index for stored in stored_episodes(view)}
    if episodes is None:
        return known
    for numbers in episodes:
        if (strange := next((number for number in numbers if number not in known), None)) is not None:
            raise UsageError("--episodes", f"{view.root} has no episode {strange}", f"0 to {max(known)}")
    return {number for numbers in episodes for number in numbers}

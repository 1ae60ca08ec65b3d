"""Action export: actions of a dataset as HDF5, in the space that they were recorded in."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path

from ...blocks.inverse import InverseEntry, WayBack, motor_units
from ...core.columns import Array
from ...core.commit import attempt_name, rename_new, sync_file
from ...core.errors import RobotroveError, UsageError, exists_already, nearest
from ...core.features import Feature
from ...formats.hdf5.mapping import read_mapping
from ...formats.hdf5.replay_file import ReplayFile, create, read_start
from ...formats.lerobot.datasets.dataset import Dataset
from ...formats.lerobot.datasets.episode_location import EpisodeLocation
from ...formats.lerobot.datasets.open_dataset import open_dataset
from ...formats.lerobot.datasets.provenance import has_origins, origins, uneven
from ...manifests.robot import RobotManifest, load_robot, robots_of_type
from ...verification.source.recordings import Pair, SourceEpisodes, SourceProblem
from ...verification.source.source_check import Progress
from ..run.reopen import finished_run
from .episode_replay import ACTION, Undo


@dataclass(frozen=True, slots=True)
class ExportedEpisode:
    """An episode to write.

    Attributes:
        stored: The episode.
        success: The recorder's label, None if it is not known.
        way: How its actions go back.
        pair: The recording that it is to begin like, None for none.
    """

    stored: EpisodeLocation
    success: bool | None
    way: WayBack
    pair: Pair | None


def way_of_robot(actions: Feature, robot_type: str | None, robot: str | None, space: str | None) -> WayBack:
    """Return the way back from actions to the joints of a simulator.

    A robot with motor ranges is taken to be in motor units, as LeRobot's datasets of it are. Actions of a keyboard, a
    gamepad or a state machine are the simulator's own already, and stay as they are: they have neither the number of
    the joints nor names, but numbers (`dim_0`). Entries with other names may have other units than the simulator's,
    such as the gripper of LIBERO for GR00T, which is closed where the simulator's opens: only the run knows them.

    Args:
        actions: What the dataset has; without the robot's joint names they are taken in its order.
        robot_type: As in info.json.
        robot: Robot manifest, name or YAML file; by default the shipped one of that type.
        space: Joint space of the simulator; by default `action` or the only one, or the robot's joints if it has none.

    Raises:
        UsageError: If there is no such robot or space, or the actions are not those of the robot.
    """
    known = [load_robot(robot)] if robot is not None else robots_of_type(robot_type)
    if not known:
        raise UsageError(
            "robot_type of meta/info.json",
            f"is {robot_type!r}, and no robot manifest has it",
            "a robot that is known",
            "say which with --robot NAME or FILE, or give --source RUN_DIR",
        )
    names = actions.names or ()
    manifest = next((one for one in known if _fits(actions, one)), None)
    if manifest is None:
        named = any(set(names) & set(one.joint_names) for one in known)
        if robot is None and names and not named and all(name[-1:].isdecimal() for name in names):
            return WayBack(tuple(InverseEntry(name, column) for column, name in enumerate(names)))
        joints = ", ".join(known[0].joint_names)
        raise UsageError(
            "action",
            f"has {actions.shape[0]} entries ({', '.join(names[:3]) or 'without names'} …), "
            f"which are not the joints of robot {known[0].name}",
            f"{len(known[0].joints)}: {joints}",
            "--robot NAME or FILE of the robot that it is, or --source RUN_DIR",
        )
    if not names or not set(names) <= set(manifest.joint_names):
        names = tuple(manifest.joint_names)
    changes = dict(zip(names, motor_units(manifest, names, actions.dtype), strict=True))
    entries = []
    for name in _space(manifest, space):
        change = changes.get(name)
        entries.append(InverseEntry(name, names.index(name) if name in names else None, (change,) if change else ()))
    return WayBack(tuple(entries))


def _fits(actions: Feature, robot: RobotManifest) -> bool:
    """True for vectors with names of the robot's joints, or with none of them and as many entries."""
    names, joints = set(actions.names or ()), set(robot.joint_names)
    return bool(names and names <= joints) or (not names & joints and actions.shape == (len(joints),))


def _space(robot: RobotManifest, space: str | None) -> list[str]:
    if space is None:
        if not robot.spaces:
            return robot.joint_names
        space = "action" if "action" in robot.spaces or len(robot.spaces) > 1 else next(iter(robot.spaces))
    if space not in robot.spaces:
        found = f"robot {robot.name} has no joint space {space!r}{nearest(space, robot.spaces)}"
        raise UsageError("--space", found, "one of " + ", ".join(robot.spaces) if robot.spaces else "none: remove it")
    return robot.spaces[space]


def of_robot(dataset: Dataset, way: WayBack, chosen: Collection[int]) -> Iterator[ExportedEpisode]:
    """Yield chosen episodes of a dataset, all with the same way back and none with a recording.

    Raises:
        Damaged: If the dataset cannot be read.
    """
    is_labelled = has_origins(dataset)
    known = origins(dataset) if is_labelled else ()
    for stored, origin in zip_longest(dataset.episodes(), known):
        if stored is None or (is_labelled and origin is None):
            raise uneven(dataset)
        if stored.index in chosen:
            yield ExportedEpisode(stored, origin.success if origin else None, way, None)


def of_run(dataset: Dataset, run_dir: Path, chosen: Collection[int]) -> Iterator[ExportedEpisode]:
    """Yield chosen episodes of a dataset, each with the recording that a run made it from.

    Raises:
        UsageError: If one of them does not come from the run, or a step has no inverse; see `SourceEpisodes`.
        RobotroveError: If a recording is gone or changed.
    """
    recordings = finished_run(run_dir)
    sources = SourceEpisodes(dataset, recordings)
    undo = Undo(recordings.steps, sources.features, run_dir)
    if ACTION not in undo.stored:
        raise UsageError(str(dataset.root), f"an edit gave another feature the name {ACTION}", "the action of the run")
    pairs = [pair for pair in sources.pairs(lambda problem: None) if pair.stored.index in chosen]
    if strange := sorted(set(chosen) - {pair.stored.index for pair in pairs}):
        raise UsageError(
            str(dataset.root),
            f"{len(strange)} episode(s) do not come from the run in {run_dir} (first: {strange[0]})",
            "episodes of that run",
            "choose those with --episodes, or remove --source",
        )
    for ep, pair in sources.opened(pairs, _raise):
        if ep.rejection is not None or ACTION not in ep.columns:
            why = str(ep.rejection) if ep.rejection else f"has no {ACTION}"
            raise RobotroveError(pair.origin.label, why, "the recording as it was converted")
        way = undo.way(ACTION, ep.columns[ACTION].feature)
        if way.width > dataset.features[ACTION].shape[0]:
            raise UsageError(
                str(dataset.root), f"{ACTION} has other entries than the run gave it", "the dataset of the run"
            )
        yield ExportedEpisode(pair.stored, pair.origin.success, way, pair)


def _raise(problem: SourceProblem) -> None:
    raise RobotroveError(problem.where, problem.message, "the recordings of the run", "remove --source")


@dataclass(frozen=True, slots=True)
class ActionExport:
    """Report of exported actions.

    Attributes:
        path: The file.
        episodes: Its episodes.
        rows: Rows of all of them.
        joints: Entries of a row of `actions`, in order.
        zeros: Those that the dataset does not have, which are 0.
        converted: Those with units that were changed back.
        starts: Episodes that have the state which the simulator is reset to.
        shifted_starts: Of these, those that begin after the first row of their recording; theirs is the state there.
        late_starts: Those that begin after it too, with the initial state alone in the recording.
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
        robot: Robot manifest (name or YAML file); by default the shipped one with the dataset's robot_type.
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
        raise UsageError(str(target), "its folder is missing", "a file in a folder that exists")
    existing = open_dataset(dataset)
    stored = _action(existing)
    chosen = _chosen(existing, episodes)
    if run_dir is None:
        parts = of_robot(existing, way_of_robot(stored, existing.info.get("robot_type"), robot, space), chosen)
    elif robot is None and space is None:
        parts = of_run(existing, run_dir, chosen)
    else:
        raise UsageError("--robot and --space", "contradict --source: its pipeline has both", todo="remove them")
    attempt = target.with_name(attempt_name(target.name))
    try:
        with create(attempt) as file:
            done = _written(file, parts, existing, stored.dtype, lambda done: progress(done, len(chosen)))
        sync_file(attempt)
        if not rename_new(attempt, target):
            raise exists_already(target)
    finally:
        with suppress(OSError):  # of a folder that cannot be written the first error tells
            attempt.unlink()
    return replace(done, path=str(target))


def _written(
    file: ReplayFile,
    parts: Iterable[ExportedEpisode],
    dataset: Dataset,
    dtype: str,
    progress: Callable[[int], None],
) -> ActionExport:
    way = WayBack(())
    episodes = rows = starts = shifted_starts = late_starts = 0
    for part in parts:
        way = part.way  # the same for all: episodes of a dataset have the same features
        feature = Feature(dtype, (len(way.entries),))
        file.add(part.stored.index, _actions(dataset, part), feature, part.stored.length, part.success)
        if part.pair is not None:
            row = part.pair.row
            actions = read_mapping(row.mapping)[0].get(ACTION) if row.mapping else None
            start = read_start(Path(row.path), row.key, row.start + part.pair.origin.row_map[0], actions)
            file.begin(part.stored.index, start, part.pair.origin.label)
            starts += bool(start.state)
            shifted_starts += bool(start.state) and start.row > 0
            late_starts += bool(start.state) and start.is_late
        episodes, rows = episodes + 1, rows + part.stored.length
        progress(episodes)
    names = tuple(entry.name for entry in way.entries)
    return ActionExport("", episodes, rows, names, way.missing, way.converted, starts, shifted_starts, late_starts)


def _actions(dataset: Dataset, part: ExportedEpisode) -> Iterator[Array]:
    for batch in dataset.rows([ACTION], part.stored):
        yield part.way.vectors(batch[ACTION].reshape(len(batch[ACTION]), -1))


def _action(dataset: Dataset) -> Feature:
    feature = dataset.numeric_features.get(ACTION)
    if feature is None or len(feature.shape) != 1:
        raise UsageError(str(dataset.root), f"has no vector {ACTION!r}", "a dataset of actions")
    return feature


def _chosen(dataset: Dataset, episodes: Sequence[range] | None) -> set[int]:
    known = {stored.index for stored in dataset.episodes()}
    if episodes is None:
        return known
    for numbers in episodes:
        if (strange := next((number for number in numbers if number not in known), None)) is not None:
            raise UsageError("--episodes", f"{dataset.root} has no episode {strange}", f"0 to {max(known)}")
    return {number for numbers in episodes for number in numbers}

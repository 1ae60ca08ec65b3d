"""Inverses of steps: from the dataset's actions back to the recorded ones, or to a robot's own space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from ...blocks.episode_step import DEFAULT_COLUMNS, EpisodeMap
from ...blocks.inverse import Change, InverseEntry, Scaled, WayBack, motor_units, roundoff
from ...blocks.steps.annotator import Annotator
from ...blocks.steps.column_adder import ColumnAdder
from ...blocks.steps.frame_trimmer import FrameTrimmer
from ...blocks.steps.image_resizer import ImageResizer
from ...blocks.steps.joint_remapper import JointRemapper
from ...blocks.steps.length_filter import LengthFilter
from ...blocks.steps.success_filter import SuccessFilter
from ...blocks.steps.unit_converter import UnitConverter
from ...core.errors import UsageError, nearest
from ...core.features import Feature, Features
from ...manifests.robot import RobotManifest, load_robot, robots_of_type

# They choose episodes and frames, add columns or work on pixels: vectors of the recording stay as they are.
_HARMLESS = (SuccessFilter, LengthFilter, FrameTrimmer, Annotator, ColumnAdder, ImageResizer)


def way_of_robot(actions: Feature, robot_type: str | None, robot: str | None, space: str | None) -> WayBack:
    """Return the way back from actions to the joints of a simulator.

    A robot with motor ranges is taken to be in motor units, as LeRobot's datasets of it are. Actions of a keyboard, a
    gamepad or a state machine are the simulator's own already, and stay as they are: they have neither the names nor
    the number of the joints.

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
        if robot is None and names and not any(set(names) & set(one.joint_names) for one in known):
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
        raise UsageError(
            "--space", found, "one of " + ", ".join(robot.spaces) if robot.spaces else "none: leave it out"
        )
    return robot.spaces[space]


class Undo:
    """The way back through the steps of a pipeline.

    Follows names only, as the arguments of the steps and the robot manifests give them; no step is run. Where the
    joints are in the dataset, its own names say.

    Args:
        steps: Those of the pipeline, in order.
        stored: What the dataset holds.
        run_dir: The run that made it, for errors.

    Attributes:
        ways: Every way back that was asked for, by feature and what the reader gives for it.

    Raises:
        UsageError: If nobody knows what one of the steps does to vectors.
    """

    def __init__(self, steps: Sequence[Any], stored: Features, run_dir: Path) -> None:
        for index, step in enumerate(steps):
            keeps = isinstance(step, EpisodeMap) and step.keeps_vectors
            if not keeps and not isinstance(step, (*_HARMLESS, JointRemapper, UnitConverter)):
                raise UsageError(
                    f"{run_dir}, steps[{index}]",
                    f"{type(step).__module__}:{type(step).__qualname__} has no inverse, "
                    "so vectors cannot be taken back to the recording",
                    "steps that ship with robotrove",
                    f"compare forward only: robotrove verify DATASET --source {run_dir}",
                )
        self._steps = steps
        self._stored = stored
        self.ways: dict[tuple[str, Feature], WayBack] = {}

    def way(self, key: str, recorded: Feature) -> WayBack:
        """Return the way back from a feature of the dataset to the column that the reader gives.

        Raises:
            UsageError: If a step multiplied by 0, or a robot has an empty range.
        """
        if (key, recorded) not in self.ways:
            self.ways[key, recorded] = self._found(key, recorded)
        return self.ways[key, recorded]

    def _found(self, key: str, recorded: Feature) -> WayBack:
        names = list(recorded.names or (f"entry {index}" for index in range(prod(recorded.shape))))
        entries = [InverseEntry(name, column) for column, name in enumerate(names)]
        for step in self._steps:
            if isinstance(step, JointRemapper) and key in (step.columns or list(step.spaces or ()) or DEFAULT_COLUMNS):
                names, entries = _remapped(step, key, names, entries)
            elif isinstance(step, UnitConverter) and key in (step.columns or DEFAULT_COLUMNS):
                names, entries = _converted(step, recorded.dtype, names, entries)
        stored = self._stored[key].names or ()
        if sorted(stored) == sorted(set(names)):
            entries = [entry if entry.column is None else replace(entry, column=stored.index(names[entry.column]))
                       for entry in entries]  # fmt: skip
        return WayBack(tuple(entries))


def _remapped(
    step: JointRemapper, key: str, names: list[str], entries: list[InverseEntry]
) -> tuple[list[str], list[InverseEntry]]:
    robot = load_robot(step.robot) if step.robot else None
    after = step.order or []
    if robot is not None:
        groups = [robot.groups[name] for name in step.groups or ()]
        after = [joint for group in groups for joint in group] or robot.joint_names
    before = names
    if step.source_names:
        before = step.source_names
    elif robot is not None and step.spaces and key in step.spaces:
        before = robot.spaces[step.spaces[key]]
    elif robot is not None and not set(names) & {*robot.joint_names, *after}:
        before = robot.joint_names
    places = {name: after.index(name) if name in after else None for name in before}
    return after, [
        entry
        if entry.column is None
        else replace(entry, name=before[entry.column], column=places[before[entry.column]])
        for entry in entries
    ]


def _converted(
    step: UnitConverter, dtype: str, names: list[str], entries: list[InverseEntry]
) -> tuple[list[str], list[InverseEntry]]:
    if step.robot is None:
        factors, offsets = (
            np.broadcast_to(np.asarray(value, dtype), len(names)).tolist() for value in (step.scale, step.offset)
        )
        if 0 in factors:
            raise UsageError("unit_converter", "multiplies by 0, which has no inverse", "factors other than 0")
        changes: list[Change | None] = [
            Scaled(factor, offset, roundoff(dtype)) if (factor, offset) != (1, 0) else None
            for factor, offset in zip(factors, offsets, strict=True)
        ]
    else:
        robot = load_robot(step.robot)
        if not set(names) <= set(robot.joint_names):
            if len(names) != len(robot.joints):
                return names, entries  # other_width: keep
            entries = [entry if entry.column is None else replace(entry, name=robot.joint_names[entry.column])
                       for entry in entries]  # fmt: skip
            names = robot.joint_names
        changes = motor_units(robot, names, dtype)
    return names, [
        replace(entry, changes=(*entry.changes, change))
        if entry.column is not None and (change := changes[entry.column]) is not None
        else entry
        for entry in entries
    ]

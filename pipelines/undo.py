"""What the steps of a pipeline did to the order, the selection and the units of vectors, and the way back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..blocks.annotator import Annotator
from ..blocks.column_adder import ColumnAdder
from ..blocks.frame_trimmer import FrameTrimmer
from ..blocks.image_resizer import ImageResizer
from ..blocks.joint_remapper import JointRemapper
from ..blocks.length_filter import LengthFilter
from ..blocks.success_filter import SuccessFilter
from ..blocks.unit_converter import UnitConverter
from ..blocks.vectors import DEFAULT_COLUMNS
from ..core.errors import UsageError, nearest
from ..core.features import Feature
from ..manifests.robot import RobotManifest, load_robot
from .way_back import Change, Entry, MotorUnits, Scaled, WayBack, roundoff

# They choose episodes and frames, add columns or work on pixels: vectors of the recording stay as they are.
_HARMLESS = (SuccessFilter, LengthFilter, FrameTrimmer, Annotator, ColumnAdder, ImageResizer)


def check_undoable(steps: Sequence[Any], run_dir: Path) -> None:
    """Refuse steps of which nobody knows what they do to vectors.

    Raises:
        UsageError: Naming the step.
    """
    for index, step in enumerate(steps):
        if not isinstance(step, (*_HARMLESS, JointRemapper, UnitConverter)):
            raise UsageError(
                f"{run_dir}, steps[{index}]",
                f"{type(step).__module__}:{type(step).__qualname__} has no inverse, "
                "so vectors cannot be taken back to the recording",
                "steps that ship with robotrove",
                f"compare forward, without --replay: robotrove verify DATASET --source {run_dir}",
            )


def undone(key: str, recorded: Feature, steps: Sequence[Any]) -> WayBack:
    """Return the way back from a feature of the dataset to the column that the reader gave.

    Follows names only, as the arguments of the steps and the robot manifests give them; no step is run.

    Args:
        key: Name of the feature.
        recorded: What the reader gives, a vector.
        steps: Those of the pipeline, in order; checked by `check_undoable`.

    Raises:
        UsageError: If a step multiplied by 0, or a robot has an empty range.
    """
    names = list(recorded.names or map(str, range(int(np.prod(recorded.shape)))))
    entries = [Entry(name, column) for column, name in enumerate(names)]
    for step in steps:
        if isinstance(step, JointRemapper) and key in (step.columns or list(step.spaces or ()) or DEFAULT_COLUMNS):
            names, entries = _remapped(step, key, names, entries)
        elif isinstance(step, UnitConverter) and key in (step.columns or DEFAULT_COLUMNS):
            names, entries = _converted(step, recorded.dtype, names, entries)
    return WayBack(tuple(entries))


def _remapped(step: JointRemapper, key: str, names: list[str], entries: list[Entry]) -> tuple[list[str], list[Entry]]:
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
    step: UnitConverter, dtype: str, names: list[str], entries: list[Entry]
) -> tuple[list[str], list[Entry]]:
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
        changes = _motor_units(robot, names, dtype)
    return names, [
        replace(entry, changes=(*entry.changes, change))
        if entry.column is not None and (change := changes[entry.column]) is not None
        else entry
        for entry in entries
    ]


def _motor_units(robot: RobotManifest, names: Sequence[str], dtype: str) -> list[Change | None]:
    joints = {joint.name: joint for joint in robot.joints}
    return [MotorUnits.of(joints[name], dtype) for name in names]


def undone_by_robot(stored: Feature, robot: RobotManifest, space: str | None) -> WayBack:
    """Return the way back from a feature of a dataset to the joints of a simulator, without the run that made it.

    A robot with motor ranges is taken to be in motor units, as LeRobot's datasets of it are.

    Args:
        stored: The feature; without the robot's joint names it is taken in its order.
        robot: The robot.
        space: Joint space of the simulator; by default `action` or the only one, or the robot's joints if it has none.

    Raises:
        UsageError: If the vector is not that of the robot, or it has no such space.
    """
    names = list(stored.names or ())
    if not set(names) <= set(robot.joint_names) or not names:
        if set(names) & set(robot.joint_names) or stored.shape != (len(robot.joints),):
            raise UsageError(
                "action",
                f"{stored} with the names {', '.join(names) or '(none)'} is no vector of robot {robot.name}",
                f"{len(robot.joints)} joints: {', '.join(robot.joint_names)}",
                "--robot NAME or FILE of the robot that it is, or --source RUN_DIR",
            )
        names = robot.joint_names
    changes = dict(zip(names, _motor_units(robot, names, stored.dtype), strict=True))
    entries = []
    for name in _space(robot, space):
        change = changes.get(name)
        column = names.index(name) if name in names else None
        entries.append(Entry(name, column, (change,) if change else ()))
    return WayBack(tuple(entries))


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

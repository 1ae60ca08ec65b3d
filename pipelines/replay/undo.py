"""What the steps of a pipeline did to the order, the selection and the units of vectors, and the way back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from ...blocks.episode_step import DEFAULT_COLUMNS
from ...blocks.inverse import Change, Entry, Scaled, WayBack, motor_units, roundoff
from ...blocks.steps.annotator import Annotator
from ...blocks.steps.column_adder import ColumnAdder
from ...blocks.steps.frame_trimmer import FrameTrimmer
from ...blocks.steps.image_resizer import ImageResizer
from ...blocks.steps.joint_remapper import JointRemapper
from ...blocks.steps.length_filter import LengthFilter
from ...blocks.steps.success_filter import SuccessFilter
from ...blocks.steps.unit_converter import UnitConverter
from ...core.errors import UsageError
from ...core.features import Feature, Features
from ...manifests.robot import load_robot

# They choose episodes and frames, add columns or work on pixels: vectors of the recording stay as they are.
_HARMLESS = (SuccessFilter, LengthFilter, FrameTrimmer, Annotator, ColumnAdder, ImageResizer)


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
            if not isinstance(step, (*_HARMLESS, JointRemapper, UnitConverter)):
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
        entries = [Entry(name, column) for column, name in enumerate(names)]
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
        changes = motor_units(robot, names, dtype)
    return names, [
        replace(entry, changes=(*entry.changes, change))
        if entry.column is not None and (change := changes[entry.column]) is not None
        else entry
        for entry in entries
    ]

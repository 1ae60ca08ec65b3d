"""unit_converter: radians to motor units, or any affine change per joint."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal, TypeAlias

import numpy as np

from ...core.columns import Array
from ...core.episode import Episode
from ...core.errors import EpisodeRejected, UsageError
from ...core.features import Feature
from ...manifests.robot import RobotName, load_robot
from ..episode_step import DEFAULT_COLUMNS, Entries, EpisodeMap, check_width, vector
from ..inverse import Change, Scaled, motor_units, roundoff

Range: TypeAlias = tuple[float, float, float, float] | None  # of degrees, then of motor units; None: left as it is


class UnitConverter(EpisodeMap):
    """Converts vectors entry by entry, in the precision of their dtype, without clipping.

    With `robot`, radians become motor units: degrees = x / pi * 180, then
    (degrees - lo) / (hi - lo) * (motor_hi - motor_lo) + motor_lo, in this order of operations
    (LeIsaac's conversion for the SO-101). Other entries, such as the speed of a base, stay unchanged.
    Columns without the robot's joint names are read in the robot's order, and receive its names.
    Without `robot`, y = x * scale + offset.

    Args:
        robot: Robot manifest (name or YAML file) with `range_deg` and `motor_range` for each joint in rad.
        scale: One factor for all entries or one per entry.
        offset: One summand for all entries or one per entry, added after scaling.
        other_width: Effect of a column without the robot's joint names and with another number of entries: "reject"
            rejects the episode, "keep" keeps the column unchanged (as LeIsaac does with the raw actions of
            keyboards, gamepads and state machines).
        columns: Columns to convert.
    """

    name = "unit_converter"

    def __init__(
        self,
        *,
        robot: RobotName | None = None,
        scale: float | list[float] = 1.0,
        offset: float | list[float] = 0.0,
        other_width: Literal["reject", "keep"] = "reject",
        columns: list[str] | None = None,
    ) -> None:
        super().__init__()
        if robot is not None and (scale != 1.0 or offset != 0.0):
            raise UsageError("unit_converter", "robot together with scale or offset", "one or the other")
        self.robot = robot
        self.scale = scale
        self.offset = offset
        self.other_width = other_width
        self.columns = columns
        self._ranges = self._from_robot() if robot is not None else None

    def _from_robot(self) -> dict[str, Range]:
        manifest = load_robot(str(self.robot))
        ranges: dict[str, Range] = {}
        for joint in manifest.joints:
            limits = joint.range_deg and joint.motor_range and (*joint.range_deg, *joint.motor_range)
            if (joint.unit in ("rad", "deg") or limits) and (joint.unit != "rad" or not limits):
                raise _no_conversion(manifest.name, f"for joint {joint.name}")
            ranges[joint.name] = limits
        if not any(ranges.values()):
            raise _no_conversion(manifest.name, "at all")
        return ranges

    def apply(self, ep: Episode) -> Episode:
        """Wrap the columns.

        Raises:
            EpisodeRejected: `wrong_joint_count`, or `not_floating` for a column of integers.
        """
        for key in self.columns or DEFAULT_COLUMNS:
            column = vector(ep, key)
            if not np.issubdtype(np.dtype(column.feature.dtype), np.floating):
                raise EpisodeRejected("not_floating", f"{key} is {column.feature}, expected floating-point numbers")
            convert = self._scaled if self._ranges is None else self._motor
            ep = convert(ep, key, column.feature)
        return ep

    def inverse(self, key: str, names: list[str], entries: Entries) -> tuple[list[str], Entries]:
        """See the base class."""
        if key not in (self.columns or DEFAULT_COLUMNS):
            return names, entries
        dtype = entries[0].dtype
        if self.robot is None:
            changes = self._scales(dtype, len(names))
        else:
            robot = load_robot(self.robot)
            joints = self._joints(names, len(names))
            if joints is None:
                return names, entries  # other_width: keep
            if joints != names:
                names = joints
                entries = [
                    entry if entry.column is None else replace(entry, name=names[entry.column]) for entry in entries
                ]
            changes = motor_units(robot, names, dtype)
        return names, [
            replace(entry, changes=(*entry.changes, change))
            if entry.column is not None and (change := changes[entry.column]) is not None
            else entry
            for entry in entries
        ]

    def _scales(self, dtype: str, width: int) -> list[Change | None]:
        factors, offsets = (
            np.broadcast_to(np.asarray(value, dtype), width).tolist() for value in (self.scale, self.offset)
        )
        if 0 in factors:
            raise UsageError("unit_converter", "multiplies by 0, which has no inverse", "factors other than 0")
        return [
            Scaled(factor, offset, roundoff(dtype)) if (factor, offset) != (1, 0) else None
            for factor, offset in zip(factors, offsets, strict=True)
        ]

    def _scaled(self, ep: Episode, key: str, feature: Feature) -> Episode:
        for argument in (self.scale, self.offset):
            if isinstance(argument, list):
                check_width(key, feature.shape[0], argument)
        scale, offset = (np.asarray(value, dtype=feature.dtype) for value in (self.scale, self.offset))
        return ep.map_column(key, lambda batch: batch * scale + offset)

    def _motor(self, ep: Episode, key: str, feature: Feature) -> Episode:
        known = self._ranges or {}
        joints = self._joints(feature.names or (), feature.shape[0])
        if joints is None:
            if self.other_width == "reject":
                check_width(key, feature.shape[0], tuple(known))
            return ep
        named = Feature(feature.dtype, feature.shape, tuple(joints))
        return ep.map_column(key, _conversion([known[joint] for joint in joints], feature.dtype), named)

    def _joints(self, names: Sequence[str], width: int) -> list[str] | None:
        """Return the joint of each entry: by its name, or in the robot's order; None for another number of entries."""
        known = list(self._ranges or ())
        if names and set(names) <= set(known):
            return list(names)
        return known if len(known) == width else None


def _no_conversion(robot: str, what: str) -> UsageError:
    return UsageError(
        "unit_converter",
        f"robot {robot} gives no conversion {what}",
        "unit: rad, range_deg and motor_range for every joint that is an angle",
        "add them to the robot manifest, or use scale and offset",
    )


def _conversion(ranges: Sequence[Range], dtype: str) -> Callable[[Array], Array]:
    angles = [index for index, limits in enumerate(ranges) if limits is not None]
    table = np.asarray([limits for limits in ranges if limits is not None], dtype=dtype)
    low, high, motor_low, motor_high = table.reshape(-1, 4).T
    pi, half_turn = np.asarray([np.pi, 180.0], dtype=dtype)

    def convert(batch: Array) -> Array:
        degrees = batch[:, angles] / pi * half_turn
        motor = batch.copy()
        motor[:, angles] = (degrees - low) / (high - low) * (motor_high - motor_low) + motor_low
        return motor

    return convert

"""unit_converter: radians to motor units, or any affine change per joint."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from ..core.columns import Array, MappedColumn
from ..core.episode import Episode
from ..core.errors import EpisodeRejected, UsageError
from ..core.features import Feature
from ..manifests.robot import load_robot
from .base import EpisodeMap
from .vectors import DEFAULT_COLUMNS, check_width, vector

Range: TypeAlias = tuple[float, float, float, float]  # lowest and highest degree, lowest and highest motor unit


class UnitConverter(EpisodeMap):
    """Converts vectors entry by entry, in the precision of their dtype, without clipping.

    With `robot`, radians become motor units: degrees = x / pi * 180, then
    (degrees - lo) / (hi - lo) * (motor_hi - motor_lo) + motor_lo, in this order of operations
    (LeIsaac's conversion for the SO-101). Otherwise y = x * scale + offset.

    Args:
        robot: Robot manifest (name or YAML file) with `range_deg` and `motor_range` for each joint.
        scale: One factor for all entries or one per entry.
        offset: One summand for all entries or one per entry, added after scaling.
        columns: Columns to convert.
    """

    name = "unit_converter"

    def __init__(
        self,
        *,
        robot: str | None = None,
        scale: float | list[float] = 1.0,
        offset: float | list[float] = 0.0,
        columns: list[str] | None = None,
    ) -> None:
        super().__init__()
        if robot is not None and (scale != 1.0 or offset != 0.0):
            raise UsageError("unit_converter", "robot together with scale or offset", "one or the other")
        self.robot = robot
        self.scale = scale
        self.offset = offset
        self.columns = columns
        self._ranges = self._from_robot() if robot is not None else None

    def _from_robot(self) -> dict[str, Range]:
        manifest = load_robot(str(self.robot))
        ranges = {}
        for joint in manifest.joints:
            if joint.unit != "rad" or joint.range_deg is None or joint.motor_range is None:
                raise UsageError(
                    "unit_converter",
                    f"robot {manifest.name} gives no conversion for joint {joint.name}",
                    "unit: rad, range_deg and motor_range for every joint",
                    "add them to the robot manifest, or use scale and offset",
                )
            ranges[joint.name] = (*joint.range_deg, *joint.motor_range)
        return ranges

    def apply(self, ep: Episode) -> Episode:
        """Wrap the columns.

        Raises:
            EpisodeRejected: `wrong_joint_count`, or `not_floating` for a column of integers.
        """
        for key in self.columns or DEFAULT_COLUMNS:
            column = vector(ep, key)
            width = column.feature.shape[0]
            if not np.issubdtype(np.dtype(column.feature.dtype), np.floating):
                raise EpisodeRejected("not_floating", f"{key} is {column.feature}, expected floating-point numbers")
            ranges = self._ranges_of(column.feature)
            for argument in (ranges, self.scale, self.offset):
                if isinstance(argument, list):
                    check_width(key, width, argument)
            ep.columns[key] = MappedColumn(column, column.feature, self._conversion(ranges, column.feature.dtype))
        return ep

    def _ranges_of(self, feature: Feature) -> list[Range] | None:
        """Return the range of each entry: by name where the entries bear the robot's names, else in its order."""
        if self._ranges is None:
            return None
        names = feature.names or ()
        return [self._ranges[name] for name in (names if self._ranges.keys() >= set(names) != set() else self._ranges)]

    def _conversion(self, ranges: list[Range] | None, dtype: str) -> Callable[[Array, int], Array]:
        if ranges is None:
            scale, offset = (np.asarray(value, dtype=dtype) for value in (self.scale, self.offset))
            return lambda batch, _: batch * scale + offset
        low, high, motor_low, motor_high = np.asarray(ranges, dtype=dtype).T
        pi, half_turn = np.asarray([np.pi, 180.0], dtype=dtype)

        def convert(batch: Array, _: int) -> Array:
            degrees = batch / pi * half_turn
            motor: Array = (degrees - low) / (high - low) * (motor_high - motor_low) + motor_low
            return motor

        return convert

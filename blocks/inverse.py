"""Inverses of vectors: each entry taken back to the recording by the inverse of what was done to it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ..core.columns import Array
from ..core.errors import UsageError
from ..manifests.robot import Joint, RobotManifest

_ROUNDOFF = float(np.finfo(np.float64).eps) / 2  # of the way back, which is taken in float64


class Change(Protocol):
    """A change of units that a step made, with its inverse."""

    def back(self, values: Array, error: Array) -> tuple[Array, Array]:
        """Return what values (n,) were before the change, and how far off rounding can have made that.

        Args:
            values: float64, after the change.
            error: How far off they may be.
        """


@dataclass(frozen=True, slots=True)
class MotorUnits:
    """Radians to motor units, as LeIsaac and `unit_converter` make them of one joint.

    Forward, each operation rounded: d = a / pi * 180, v = (d - low) / width * motor_width + motor_low.
    Back, in float64: d = (v - motor_low) / motor_width * width + low, a = d / 180 * pi.

    The bound: an operation, and the constant pi, is off by at most u = eps / 2 of its result (2**-24 in
    float32). d gathers 2.5 u |d| (pi, division, multiplication); the subtraction, division and
    multiplication and the two widths add 5 u |d - low|; the last addition adds u |v|, which is
    u |v| width / motor_width in degrees. The way back rounds as often, in float64. Together, in degrees:
    (u + u64) (4 |d| + 5 |d - low|) + u |v| width / motor_width, where the 4 leaves room for products of
    errors. For an SO-101 in float32 that is at most 2.5e-6 rad.

    Attributes:
        low: Degrees that become `motor_low`.
        width: Degrees from there to the other end, not 0.
        motor_low: Motor units at `low`.
        motor_width: Motor units from there to the other end, not 0.
        roundoff: u of the type that the units were changed in.
    """

    low: float
    width: float
    motor_low: float
    motor_width: float
    roundoff: float

    @classmethod
    def of(cls, joint: Joint, dtype: str) -> MotorUnits | None:
        """Return the change of a joint of a robot, None if its units are never changed.

        Raises:
            UsageError: If a range is empty.
        """
        if joint.range_deg is None or joint.motor_range is None:
            return None
        low, high, motor_low, motor_high = np.asarray([*joint.range_deg, *joint.motor_range], dtype).astype(float)
        if low == high or motor_low == motor_high:
            raise UsageError(f"robot, joint {joint.name}", "an empty range has no way back", "two different ends")
        return cls(low, high - low, motor_low, motor_high - motor_low, roundoff(dtype))

    def back(self, values: Array, error: Array) -> tuple[Array, Array]:
        """See the base class."""
        scale = self.width / self.motor_width
        above = (values - self.motor_low) * scale
        degrees = above + self.low
        arithmetic = (self.roundoff + _ROUNDOFF) * (4 * abs(degrees) + 5 * abs(above))
        total = abs(scale) * (error + self.roundoff * abs(values)) + arithmetic
        return degrees / 180 * math.pi, total / 180 * math.pi


@dataclass(frozen=True, slots=True)
class Scaled:
    """y = x * factor + offset, back by x = (y - offset) / factor.

    Forward adds u |x * factor| and u |y|, which is u (|x| + |y / factor|) of x; the way back twice u64 |x|.

    Attributes:
        factor: Not 0.
        offset: Added after it.
        roundoff: u of the type that it was computed in.
    """

    factor: float
    offset: float
    roundoff: float

    def back(self, values: Array, error: Array) -> tuple[Array, Array]:
        """See the base class."""
        before = (values - self.offset) / self.factor
        arithmetic = 2 * (self.roundoff + _ROUNDOFF) * abs(before)
        return before, arithmetic + (error + self.roundoff * abs(values)) / abs(self.factor)


def motor_units(robot: RobotManifest, names: Sequence[str], dtype: str) -> list[Change | None]:
    """Return what was done to each of some joints of a robot, in the order of the names; see `MotorUnits.of`."""
    joints = {joint.name: joint for joint in robot.joints}
    return [MotorUnits.of(joints[name], dtype) for name in names]


def roundoff(dtype: str) -> float:
    """Return the largest relative error of an operation in a floating type."""
    return float(np.finfo(np.dtype(dtype)).eps) / 2


@dataclass(frozen=True, slots=True)
class InverseEntry:
    """One entry of a recorded vector.

    Attributes:
        name: Its joint, or what the file calls it.
        column: Entry of the dataset's vector that it became, None if it is not in the dataset.
        changes: What was done to it, in order.
        dtype: Type that it was recorded in, which a change of units is computed in.
    """

    name: str
    column: int | None
    changes: tuple[Change, ...] = ()
    dtype: str = "float32"

    def back(self, rows: Array) -> tuple[Array, Array]:
        """Return (values, how far off they can be), each (n,); without changes the values as they are, off by 0.

        Args:
            rows: (n, entries) of the dataset; the entry must be in it.
        """
        values, error = rows[:, self.column], np.zeros(len(rows))
        for change in reversed(self.changes):
            values, error = change.back(values.astype(np.float64), error)
        return values, error


@dataclass(frozen=True, slots=True)
class WayBack:
    """From the vectors of one feature of a dataset to those of the recording.

    Attributes:
        entries: Those of the recorded vector, in order.
    """

    entries: tuple[InverseEntry, ...]

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of the entries that the dataset does not have."""
        return tuple(entry.name for entry in self.entries if entry.column is None)

    @property
    def exact(self) -> tuple[str, ...]:
        """Names of the entries that are in the dataset as they were recorded."""
        return tuple(entry.name for entry in self.entries if entry.column is not None and not entry.changes)

    @property
    def converted(self) -> tuple[str, ...]:
        """Names of the entries with changed units."""
        return tuple(entry.name for entry in self.entries if entry.column is not None and entry.changes)

    @property
    def width(self) -> int:
        """Lowest number of entries of the dataset's vector."""
        return 1 + max((entry.column for entry in self.entries if entry.column is not None), default=-1)

    def vectors(self, rows: Array) -> Array:
        """Return (n, entries) as recorded, in the type of `rows`; what the dataset does not have is 0."""
        out = np.zeros((len(rows), len(self.entries)), rows.dtype)
        for index, entry in enumerate(self.entries):
            if entry.column is not None:
                out[:, index] = entry.back(rows)[0]
        return out

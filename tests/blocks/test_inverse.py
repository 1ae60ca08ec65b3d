"""The inverse of the conversion of units, and how far off float32 can make it, against LeIsaac's formula."""

from __future__ import annotations

import numpy as np
import pytest

from robotrove.blocks.inverse import InverseEntry, MotorUnits, Scaled, WayBack, roundoff
from robotrove.core.errors import UsageError
from robotrove.manifests.robot import Joint

# Joint limits in degrees and motor ranges: those of the SO-101, and one that float32 does not hold exactly.
JOINTS = [
    ((-110, 110), (-100, 100)),
    ((-100, 90), (-100, 100)),
    ((-10, 100), (0, 100)),
    ((100, -95), (-100, 100)),
    ((-10.1, 99.7), (0.3, 100.9)),
]


def motor(radians: np.ndarray, limits: tuple, motor_limits: tuple) -> np.ndarray:
    """LeIsaac's conversion, in the type of the array and its order of operations."""
    (low, high), (motor_low, motor_high) = (np.asarray(pair, radians.dtype) for pair in (limits, motor_limits))
    degrees = radians / radians.dtype.type(np.pi) * radians.dtype.type(180)
    return (degrees - low) / (high - low) * (motor_high - motor_low) + motor_low


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("limits", "motor_limits"), JOINTS)
def test_what_rounding_explains_is_enough_and_not_much(limits: tuple, motor_limits: tuple, dtype: str) -> None:
    random = np.random.default_rng(0)
    radians = np.concatenate([random.uniform(-3, 3, 200_000), random.normal(0, 1e-3, 1000), [0, np.pi]]).astype(dtype)
    change = MotorUnits.of(Joint(name="j", range_deg=limits, motor_range=motor_limits), dtype)
    assert change is not None
    stored = motor(radians, limits, motor_limits)
    assert stored.dtype == dtype
    back, error = change.back(stored.astype(np.float64), np.zeros(len(stored)))
    off = abs(back - radians.astype(np.float64))
    assert (off <= error).all()
    assert off.max() > error.max() / 10, "the bound is of the size of what happens"
    assert error.max() < (3e-6 if dtype == "float32" else 1e-14)


def test_scale_and_offset() -> None:
    values = np.random.default_rng(1).normal(size=100_000).astype(np.float32) * 30
    factor, offset = np.float32(-0.3), np.float32(7.7)
    back, error = Scaled(float(factor), float(offset), roundoff("float32")).back(
        (values * factor + offset).astype(np.float64), np.zeros(len(values))
    )
    assert (abs(back - values) <= error).all()
    assert abs(back - values).max() > error.max() / 10


def test_errors_add_up_over_changes() -> None:
    """Twice: to motor units, and these scaled."""
    radians = np.random.default_rng(2).uniform(-2, 2, 50_000).astype(np.float32)
    change = MotorUnits.of(Joint(name="j", range_deg=(-100, 90), motor_range=(-100, 100)), "float32")
    assert change is not None
    scaled = Scaled(float(np.float32(0.001)), 100.0, roundoff("float32"))
    stored = motor(radians, (-100, 90), (-100, 100)) * np.float32(0.001) + np.float32(100)
    back, error = InverseEntry("j", 0, (change, scaled)).back(stored[:, None])
    assert (abs(back - radians) <= error).all()
    assert not (abs(back - radians) <= change.back(stored.astype(np.float64), np.zeros(50_000))[1]).all()


def test_without_changes_values_stay_as_they_are() -> None:
    rows = np.array([[1, 2**60 + 1, 3]])
    way = WayBack((InverseEntry("a", 1), InverseEntry("b", None), InverseEntry("c", 0)))
    assert way.vectors(rows).tolist() == [[2**60 + 1, 0, 1]]
    assert (way.exact, way.converted, way.missing, way.width) == (("a", "c"), (), ("b",), 2)


def test_an_empty_range_has_no_way_back() -> None:
    with pytest.raises(UsageError, match="joint j: an empty range has no way back"):
        MotorUnits.of(Joint(name="j", range_deg=(5, 5), motor_range=(0, 100)), "float32")

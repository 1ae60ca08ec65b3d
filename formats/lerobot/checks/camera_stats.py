"""What cannot be, or is odd, in the statistics of a camera."""

from __future__ import annotations

from collections.abc import Mapping

from ....core.features import Feature, channels
from ..stats.stats_comparison import Floats
from .base import Repeated

_COLOURS = 3
_FLAT_STD = 0.01
_WIDE_SPREAD = 0.5


def note_camera(
    place: str, key: str, feature: Feature, values: Mapping[str, Floats], advice: str, faults: Repeated
) -> None:
    """Note what is wrong with a camera's statistics, once for each camera.

    Args:
        place: Where they are.
        key: The camera.
        feature: Its entry in info.json.
        values: Its min, max and std, each (C, 1, 1).
        advice: What to do about a wrong standard deviation.
        faults: Where to note it.
    """
    # Depth has one channel and is in metres or millimetres.
    if channels(feature) == _COLOURS and (values["min"].min() < 0 or values["max"].max() > 1):
        faults.note(f"{key} range", place, "its values are not in [0, 1]")
    spread, std = (values["max"] - values["min"]).max(), values["std"].max()
    if std < _FLAT_STD and spread > _WIDE_SPREAD:
        told = f"std is only {std:g} though values differ by {spread:g} (LeRobot 0.4.0 to 0.5.1 has this bug)"
        faults.note(f"{key} std", place, f"{told}; {advice}", "warning")
    elif std < _FLAT_STD:
        faults.note(f"{key} flat", place, f"std is only {std:g}: the pictures are all but uniform", "warning")

"""Feature: dtype, shape and names of a column, as LeRobot's info.json has them."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from math import prod
from typing import Any, TypeAlias

import numpy as np

VISUAL_NAMES = ("height", "width", "channels")
VISUAL_DTYPES = ("video", "image")
NUMBER_DTYPES = (
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64"),
)

CHANNEL_NAMES = ("channel", "channels")
_CHANNELS = (1, 3, 4)
# Columns with the numbers of a list of texts in meta/: tasks, and the subtasks of LeRobot 0.4.4 to 0.5.1.
LISTS = {"tasks": "task_index", "subtasks": "subtask_index"}
# These depend on where an episode ends up, so they are made when it is placed.
PLACED_COLUMNS = ("episode_index", "index", "task_index")


@dataclass(frozen=True, slots=True)
class Feature:
    """One feature of a dataset.

    Attributes:
        dtype: A numpy dtype name, ``string``, or ``video``/``image`` for uint8 RGB frames.
        shape: Shape of one row: (D,) for vectors, (1,) for scalars, (height, width, 3) for cameras.
        names: A name per entry of a vector, (height, width, channels) for cameras, or None.
        is_depth: True for a camera with distances instead of colours, (height, width, 1).
    """

    dtype: str
    shape: tuple[int, ...]
    names: tuple[str, ...] | None = None
    is_depth: bool = False

    @property
    def points_into(self) -> str:
        """The index column of the list that its numbers point into; its only name says so."""
        name = self.names[0] if self.names and len(self.names) == 1 else ""
        return name if self.is_integer and name in LISTS.values() else ""

    @property
    def is_integer(self) -> bool:
        """True for whole numbers."""
        return self.dtype in NUMBER_DTYPES and "int" in self.dtype

    @property
    def values_dtype(self) -> np.dtype[Any]:
        """Dtype of the values in memory: uint8 for frames, object for texts and annotations."""
        special = {"video": "uint8", "image": "uint8", "string": "O", "language": "O"}
        return np.dtype(special.get(self.dtype, self.dtype))

    def to_json(self) -> dict[str, Any]:
        """Return the entry as info.json has it."""
        entry = {"dtype": self.dtype, "shape": list(self.shape), "names": list(self.names) if self.names else None}
        return entry | {"info": {"is_depth_map": True}} if self.is_depth else entry

    @classmethod
    def from_json(cls, entry: dict[str, Any]) -> Feature:
        """Read an entry of info.json; names that cannot be put as one list are dropped, see `lost_names`."""
        names = _plain_names(entry.get("names"), prod(entry["shape"]))
        return cls(entry["dtype"], tuple(entry["shape"]), names, _is_depth(entry))

    def __str__(self) -> str:
        return f"{'depth ' * self.is_depth}{self.dtype}[{'x'.join(map(str, self.shape))}]"


def _is_depth(entry: dict[str, Any]) -> bool:
    """True for a mark of depth at one of the places where LeRobot 0.6 looks (dataset_metadata.py, depth_keys)."""
    places = (("info", "is_depth_map"), ("info", "video.is_depth_map"), ("video_info", "video.is_depth_map"))
    return any(isinstance(entry.get(block), dict) and bool(entry[block].get(key)) for block, key in places)


def lost_names(entry: dict[str, Any]) -> str:
    """Return the names of an entry of info.json as JSON if `Feature.from_json` drops them, or an empty text."""
    names = entry.get("names")
    is_lost = names and Feature.from_json(entry).names is None
    return json.dumps(names, ensure_ascii=False) if is_lost else ""  # as text, since the order of keys counts


def _plain_names(names: Any, values: int) -> tuple[str, ...] | None:
    """Return names in order; recorders also write {"motors": […]}, {"left": […], "right": […]}, [[…]], {"x": 0}."""
    if isinstance(names, dict):
        positions = list(names.values())
        if all(type(at) is int for at in positions) and sorted(positions) == list(range(len(names))):
            names = sorted(names, key=names.__getitem__)
        elif len(positions) == 1:
            names = positions[0]
        elif all(isinstance(group, list) for group in positions):
            names = [name for group in positions for name in group]
            # Without its group a name must still be that of one value.
            if len(names) != values or len(set(map(repr, names))) != values:
                return None
    elif isinstance(names, list) and len(names) == 1 and isinstance(names[0], list):
        names = names[0]
    is_plain = isinstance(names, list) and names and all(isinstance(name, str) for name in names)
    return tuple(names) if is_plain else None


Features: TypeAlias = dict[str, Feature]


def cameras(features: Features) -> Features:
    """Return the cameras, stored as video or as images."""
    return {key: feature for key, feature in features.items() if feature.dtype in VISUAL_DTYPES}


def video_cameras(features: Features) -> Features:
    """Return the cameras that are stored as video."""
    return {key: feature for key, feature in features.items() if feature.dtype == "video"}


def vectors(features: Features) -> Features:
    """Return the features with numbers or truth values as rows, of any shape."""
    return {key: feature for key, feature in features.items() if feature.dtype in NUMBER_DTYPES}


# Every LeRobot dataset ends with these five, in this order (lerobot/datasets/utils.py, DEFAULT_FEATURES).
DEFAULT_FEATURES: Features = {
    "timestamp": Feature("float32", (1,)),
    "frame_index": Feature("int64", (1,)),
    "episode_index": Feature("int64", (1,)),
    "index": Feature("int64", (1,)),
    "task_index": Feature("int64", (1,)),
}

# A column that points into the tasks.
TASK_INDEX = Feature("int64", (1,), (LISTS["tasks"],))


def named_like(model: Features, features: Features) -> Features:
    """Return features without names where the model has none: layouts make up some where a file gives none."""
    return {
        key: replace(feature, names=None)
        if key in model and model[key].names is None and not feature.points_into
        else feature
        for key, feature in features.items()
    }


def difference(expected: Features, found: Features) -> str:
    """Say in words how two sets of features differ; empty when they are equal, order and names of axes aside."""
    notes = [f"{key} missing" for key in expected if key not in found]
    notes += [f"{key} unexpected" for key in found if key not in expected]
    for key in expected.keys() & found.keys():
        left, right = expected[key], found[key]
        if str(left) != str(right):
            notes.append(f"{key} is {right} instead of {left}")
        elif left.points_into != right.points_into:
            numbers = [f"numbers of {'values' if not side.points_into else 'tasks'}" for side in (right, left)]
            notes.append(f"{key} holds {' instead of '.join(numbers)} (see `annotations:`)")
        elif left.names != right.names and key not in cameras(expected):
            notes.append(other_names(key, right.names, left.names))
    return "; ".join(sorted(notes))


def other_names(key: str, found: object, expected: object) -> str:
    """Say that the entries of a feature have other names."""
    return f"{key} has other names: {found} instead of {expected}"


def channel_axis(feature: Feature) -> int:
    """Return the axis of a camera's colours, 0 or -1: the one with so few entries; its names where both have."""
    first, last = (feature.shape[axis] in _CHANNELS for axis in (0, -1))
    is_named = feature.names is not None and feature.names[0] in CHANNEL_NAMES
    return 0 if (first and not last) or (first == last and is_named) else -1


def with_channels_last(feature: Feature) -> Feature:
    """Return a camera as LeRobot writes it: (height, width, channels), and so named."""
    if len(feature.shape) != 3:
        return feature
    names = feature.names if feature.names and len(feature.names) == 3 and channel_axis(feature) == -1 else ()
    if names and names[2] in CHANNEL_NAMES:
        return feature
    return replace(feature, shape=(*frame_size(feature), channels(feature)), names=VISUAL_NAMES)


def frame_size(feature: Feature) -> tuple[int, int]:
    """Return (height, width) of a camera, stored channels last or channels first."""
    first = channel_axis(feature) + 1
    return feature.shape[first], feature.shape[first + 1]


def channels(feature: Feature) -> int:
    """Return the number of colour channels of a camera, stored channels last or channels first."""
    return feature.shape[channel_axis(feature)]

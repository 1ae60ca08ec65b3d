"""info.json: its keys, and features that LeRobot can use."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ....core.features import DEFAULT_FEATURES, Feature
from .. import paths
from ..view import DatasetView
from .base import Check, Finding

_MOST_AXES = 5
_CHANNELS = ("channel", "channels")


class StructureCheck(Check):
    """Keys, types and features of info.json."""

    name = "structure"

    def run(self, dataset: DatasetView, *, deep: bool) -> Iterator[Finding]:
        """Yield what is wrong in info.json."""
        yield from self._keys(dataset)
        features = dataset.features
        for key, expected in DEFAULT_FEATURES.items():
            where = f"{paths.INFO}, feature {key}"
            if key not in features:
                yield self.error(where, f"is missing; LeRobot expects {expected} in every dataset")
            elif features[key] != expected or dataset.info["features"][key].get("names") is not None:
                yield self.error(where, f"is {features[key]} instead of {expected} without names")
        for key, feature in features.items():
            yield from self._feature(key, feature, dataset)

    def _keys(self, dataset: DatasetView) -> Iterator[Finding]:
        info = dataset.info

        def wrong(key: str, expected: str) -> Finding:
            if key in info:
                return self.error(paths.INFO, f"{key} is {info[key]!r} instead of {expected}")
            return self.error(paths.INFO, f"{key} is missing; expected {expected}")

        for key in ("fps", "chunks_size", "data_files_size_in_mb", "video_files_size_in_mb"):
            if type(info.get(key)) is not int or info[key] < 1:
                yield wrong(key, "a positive whole number")
        for key in ("total_episodes", "total_frames", "total_tasks"):
            if type(info.get(key)) is not int or info[key] < 0:
                yield wrong(key, "a count")
        if type(info.get("chunks_size")) is int and info["chunks_size"] > paths.CHUNKS_SIZE:
            # LeRobot sorts paths as text: file-1000 would come before file-999.
            yield wrong("chunks_size", f"at most {paths.CHUNKS_SIZE}")
        if "robot_type" not in info or not isinstance(info["robot_type"], str | None):
            yield wrong("robot_type", "a text or null")
        if not isinstance(info.get("splits"), dict):
            yield wrong("splits", "an object")
        if not isinstance(info.get("data_path"), str):
            yield wrong("data_path", "a path with {chunk_index} and {file_index}")
        if dataset.video_keys and not isinstance(info.get("video_path"), str):
            yield wrong("video_path", "a path with {video_key}, {chunk_index} and {file_index}")

    def _feature(self, key: str, feature: Feature, dataset: DatasetView) -> Iterator[Finding]:
        where = f"{paths.INFO}, feature {key}"
        if "/" in key:
            yield self.error(where, "its name holds a '/', which LeRobot refuses")
        if feature.is_visual:
            yield from self._camera(where, feature, dataset.info["features"][key], dataset)
            return
        if "image" in key:
            yield self.error(where, f"is {feature}, but LeRobot takes every name with 'image' in it for a camera")
        if len(feature.shape) > _MOST_AXES:
            yield self.error(where, f"has {len(feature.shape)} axes; LeRobot knows at most {_MOST_AXES}")
        if feature.names and len(feature.shape) == 1 and len(feature.names) != feature.shape[0]:
            yield self.error(where, f"has {len(feature.names)} names for {feature.shape[0]} values")

    def _camera(self, where: str, feature: Feature, entry: dict[str, Any], dataset: DatasetView) -> Iterator[Finding]:
        names = feature.names or ()
        if len(feature.shape) != 3 or len(names) != 3:
            yield self.error(where, f"is {feature} with names {entry.get('names')}; expected height, width, channels")
            return
        if names[2] not in _CHANNELS and names[0] not in _CHANNELS:
            yield self.error(where, f"names are {', '.join(names)} instead of height, width, channels")
            return
        height, width = frame_size(feature)
        info = entry.get("info")
        known = info if isinstance(info, dict) else {}
        for name, expected in (("video.height", height), ("video.width", width), ("video.fps", dataset.fps)):
            if known.get(name, expected) != expected:
                yield self.error(where, f"{name} is {known[name]} instead of {expected}")


def frame_size(feature: Feature) -> tuple[int, int]:
    """Return (height, width) of a camera, stored channels last or channels first."""
    first = 1 if feature.names and feature.names[0] in _CHANNELS else 0
    return feature.shape[first], feature.shape[first + 1]


def channels(feature: Feature) -> int:
    """Return the number of colour channels of a camera, stored channels last or channels first."""
    return feature.shape[0 if feature.names and feature.names[0] in _CHANNELS else -1]

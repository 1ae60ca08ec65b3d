"""info.json: its keys, and features that LeRobot can use."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

from ....core.features import CHANNEL_NAMES, DEFAULT_FEATURES, Feature, frame_size
from .. import paths_v30
from ..datasets.dataset import DatasetView
from ..features.vector import kind_of
from .base import Check, Finding

_MOST_AXES = 5


class StructureCheck(Check[DatasetView]):
    """Keys, types and features of info.json.

    Attributes:
        data_fields: What `data_path` has in it.
        video_fields: What `video_path` has in it.
    """

    name = "structure"
    data_fields: str
    video_fields: str

    def run(self, dataset: DatasetView, *, deep: bool) -> Iterator[Finding]:
        """Yield what is wrong in info.json."""
        yield from self._common_keys(dataset)
        yield from self.keys(dataset.info)
        features = dataset.features
        for key, expected in DEFAULT_FEATURES.items():
            yield from self._default(key, expected, dataset)
        for key, feature in features.items():
            yield from self._feature(key, feature, dataset)

    @abstractmethod
    def keys(self, info: dict[str, Any]) -> Iterator[Finding]:
        """Yield what is wrong with keys that only this version has."""

    def wrong(self, info: dict[str, Any], key: str, expected: str) -> Finding:
        """Return the finding for a key that is missing or not as expected."""
        if key in info:
            return self.error(paths_v30.INFO, f"{key} is {info[key]!r} instead of {expected}")
        return self.error(paths_v30.INFO, f"{key} is missing; expected {expected}")

    def _common_keys(self, dataset: DatasetView) -> Iterator[Finding]:
        info = dataset.info
        yield from self._fps(info)
        if type(info.get("chunks_size")) is not int or info["chunks_size"] < 1:
            yield self.wrong(info, "chunks_size", "a positive whole number")
        for key in ("total_episodes", "total_frames", "total_tasks"):
            if type(info.get(key)) is not int or info[key] < 0:
                yield self.wrong(info, key, "a count")
        if "robot_type" not in info or not isinstance(info["robot_type"], str | None):
            yield self.wrong(info, "robot_type", "a text or null")
        if not isinstance(info.get("splits"), dict):
            yield self.wrong(info, "splits", "an object")
        if not isinstance(info.get("data_path"), str):
            yield self.wrong(info, "data_path", f"a path with {self.data_fields}")
        if dataset.video_keys and not isinstance(info.get("video_path"), str):
            yield self.wrong(info, "video_path", f"a path with {self.video_fields}")

    def _fps(self, info: dict[str, Any]) -> Iterator[Finding]:
        fps = info.get("fps")
        if isinstance(fps, float) and fps.is_integer() and fps > 0:
            yield self.warning(paths_v30.INFO, f"fps is {fps!r} instead of a whole number, which LeRobot 0.6 expects")
        elif type(fps) is not int or fps < 1:
            yield self.wrong(info, "fps", "a positive whole number")

    def _default(self, key: str, expected: Feature, dataset: DatasetView) -> Iterator[Finding]:
        where = f"{paths_v30.INFO}, feature {key}"
        found = dataset.features.get(key)
        if found is None:
            yield self.error(where, f"is missing; LeRobot expects {expected} in every dataset")
        elif found != expected or dataset.info["features"][key].get("names") is not None:
            message = f"is {found} instead of {expected} without names"
            same = found.shape == expected.shape and kind_of(found.dtype) == kind_of(expected.dtype)
            # LeRobot casts what it reads, but cannot merge such a dataset with others, or add to it.
            yield self.warning(where, message) if same else self.error(where, message)

    def _feature(self, key: str, feature: Feature, dataset: DatasetView) -> Iterator[Finding]:
        where = f"{paths_v30.INFO}, feature {key}"
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
        if names[2] not in CHANNEL_NAMES and names[0] not in CHANNEL_NAMES:
            yield self.error(where, f"names are {', '.join(names)} instead of height, width, channels")
            return
        height, width = frame_size(feature)
        for block in ("info", "video_info"):  # the latter is that of older recorders, and of GR00T
            known = entry.get(block)
            for name, expected in (("video.height", height), ("video.width", width), ("video.fps", dataset.fps)):
                if isinstance(known, dict) and known.get(name, expected) != expected:
                    yield self.error(where, f"{name} is {known[name]} instead of {expected}")

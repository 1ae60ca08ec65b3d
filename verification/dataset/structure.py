"""Structure: keys, features and counts of info.json."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

from ...core.errors import Damaged
from ...core.features import DEFAULT_FEATURES, Feature
from ...formats.lerobot import paths_v30
from ...formats.lerobot.datasets.dataset import Dataset
from ...formats.lerobot.features.feature_kind import kind_of
from ..check import Check, Diagnostic


class StructureCheck(Check[Dataset]):
    """Keys, types and features of info.json.

    Attributes:
        data_fields: What `data_path` has in it.
        video_fields: What `video_path` has in it.
    """

    name = "structure"
    data_fields: str
    video_fields: str

    def run(self, dataset: Dataset, *, deep: bool) -> Iterator[Diagnostic]:
        """Yield what is wrong in info.json."""
        yield from self._common_keys(dataset)
        yield from self.keys(dataset.info)
        features = dataset.features
        for key, expected in DEFAULT_FEATURES.items():
            yield from self._default(key, expected, dataset)
        for key, feature in features.items():
            yield from self._feature(key, feature, dataset)

    @abstractmethod
    def keys(self, info: dict[str, Any]) -> Iterator[Diagnostic]:
        """Yield what is wrong with keys that only this version has."""

    def wrong(self, info: dict[str, Any], key: str, expected: str) -> Diagnostic:
        """Return the finding for a key that is missing or not as expected."""
        if key in info:
            return self.error(paths_v30.INFO, f"{key} is {info[key]!r} instead of {expected}")
        return self.error(paths_v30.INFO, f"{key} is missing; expected {expected}")

    def _common_keys(self, dataset: Dataset) -> Iterator[Diagnostic]:
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

    def _fps(self, info: dict[str, Any]) -> Iterator[Diagnostic]:
        fps = info.get("fps")
        if isinstance(fps, float) and fps.is_integer() and fps > 0:
            yield self.warning(paths_v30.INFO, f"fps is {fps!r} instead of a whole number, which LeRobot 0.6 expects")
        elif type(fps) is not int or fps < 1:
            yield self.wrong(info, "fps", "a positive whole number")

    def _default(self, key: str, expected: Feature, dataset: Dataset) -> Iterator[Diagnostic]:
        where = f"{paths_v30.INFO}, feature {key}"
        found = dataset.features.get(key)
        if found is None:
            yield self.error(where, f"is missing; LeRobot expects {expected} in every dataset")
        elif found != expected or dataset.info["features"][key].get("names") is not None:
            message = f"is {found} instead of {expected} without names"
            same = found.shape == expected.shape and dataset.kinds[key].numpy_kind == kind_of(expected).numpy_kind
            # LeRobot casts what it reads, but cannot merge such a dataset with others, or add to it.
            yield self.warning(where, message) if same else self.error(where, message)

    def _feature(self, key: str, feature: Feature, dataset: Dataset) -> Iterator[Diagnostic]:
        where = f"{paths_v30.INFO}, feature {key}"
        if "/" in key:
            yield self.error(where, "its name holds a '/', which LeRobot refuses")
        for problem in dataset.kinds[key].problems(key, dataset.info["features"][key], lambda: dataset.fps):
            yield self.error(where, problem)


class StructureV21Check(StructureCheck):
    """Keys, types and features of info.json."""

    data_fields = "{episode_chunk} and {episode_index}"
    video_fields = "{video_key}, {episode_chunk} and {episode_index}"

    def keys(self, info: dict[str, Any]) -> Iterator[Diagnostic]:
        """Yield what is wrong with keys that only this version has."""
        for key in ("total_videos", "total_chunks"):
            if key not in info:
                # 0.3.3 loads it, but neither appends to it nor converts it to v3.0: KeyError.
                yield self.error(
                    paths_v30.INFO, f"{key} is missing: LeRobot cannot add episodes, or convert it to v3.0"
                )
            elif type(info[key]) is not int or info[key] < 0:
                yield self.wrong(info, key, "a count")


class StructureV30Check(StructureCheck):
    """Keys, types and features of info.json."""

    data_fields = "{chunk_index} and {file_index}"
    video_fields = "{video_key}, {chunk_index} and {file_index}"

    def keys(self, info: dict[str, Any]) -> Iterator[Diagnostic]:
        """Yield what is wrong with keys that only this version has."""
        for key in ("data_files_size_in_mb", "video_files_size_in_mb"):
            if type(info.get(key)) not in (int, float) or not info[key] > 0:
                yield self.wrong(info, key, "a positive number")
        if type(info.get("chunks_size")) is int and info["chunks_size"] > paths_v30.CHUNKS_SIZE:
            # LeRobot sorts paths as text: file-1000 would come before file-999.
            yield self.wrong(info, "chunks_size", f"at most {paths_v30.CHUNKS_SIZE}")


class CountsCheck(Check[Dataset]):
    """Episodes, frames, tasks and the split."""

    name = "counts"

    def run(self, dataset: Dataset, *, deep: bool) -> Iterator[Diagnostic]:
        """Yield totals that do not hold."""
        episodes, frames = len(dataset.lengths), int(dataset.lengths.sum())
        for key, found, place in (
            ("total_episodes", episodes, dataset.episodes_path),
            ("total_frames", frames, f"the lengths in {dataset.episodes_path}"),
            ("total_tasks", len(dataset.task_texts), dataset.tasks_path),
        ):
            if dataset.count(key) != found:
                yield self.error(paths_v30.INFO, f"{key} is {dataset.count(key)}, but {place} gives {found}")
        split = {"train": f"0:{episodes}"}
        if dataset.info.get("splits") != split:  # no release of LeRobot reads it
            yield self.warning(paths_v30.INFO, f"splits is {dataset.info.get('splits')} instead of {split}")
        rows = 0
        for data in dataset.data_files():
            try:
                with dataset.parquet(data.path) as file:
                    rows += file.metadata.num_rows
            except Damaged as exc:
                yield self.damaged(exc)
                return
        if rows != frames:
            yield self.error("data", f"the files have {rows} rows, but the episodes have {frames} frames")


class CountsV21Check(CountsCheck):
    """Episodes, frames, tasks, the split, videos and folders."""

    def run(self, dataset: Dataset, *, deep: bool) -> Iterator[Diagnostic]:
        """Yield totals that do not hold."""
        yield from super().run(dataset, deep=deep)
        episodes = len(dataset.lengths)
        for key, expected, reason in (
            ("total_videos", episodes * len(dataset.video_keys), f"{len(dataset.video_keys)} for each episode"),
            ("total_chunks", -(-episodes // max(dataset.count("chunks_size"), 1)), f"for {episodes} episodes"),
        ):
            if key in dataset.info and dataset.count(key) != expected:
                # LeRobot only counts on from it.
                yield self.warning(paths_v30.INFO, f"{key} is {dataset.count(key)} instead of {expected}, {reason}")

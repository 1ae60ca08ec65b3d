"""Keys of info.json that GR00T reads when it opens a dataset."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from math import prod
from typing import Any

from ...core.errors import printable
from ...core.features import frame_size
from ...formats.lerobot import paths_v21, paths_v30
from ...formats.lerobot.datasets.dataset_v21 import DatasetV21
from ...formats.lerobot.gr00t.modality import MODALITY
from ..check import Check, Diagnostic
from .gr00t_release import Release

_USUAL = {
    "data_path": paths_v21.DATA_PATH,
    "chunks_size": paths_v21.CHUNKS_SIZE,
    "video_path": paths_v21.VIDEO_PATH,
}

_FPS, _CHANNELS = "video.fps", "video.channels"


class InfoKeysCheck(Check[DatasetV21]):
    """data_path and chunks_size, in N1 and N1.5 also video_path, are there; N1.6 and N1.7 assume a missing fps.

    `_get_data_path_pattern` and its neighbours in N1 and N1.5, `_load_metadata` in N1.6 and N1.7.
    """

    name = "info_keys"

    def __init__(self, release: Release) -> None:
        self._release = release

    def run(self, dataset: DatasetV21, *, deep: bool) -> Iterator[Diagnostic]:
        """Yield keys that are missing."""
        title = self._release.title
        for key, usual in _USUAL.items():
            if key in dataset.info:
                continue
            message = f'{key} is missing; add "{key}": {json.dumps(usual)}, if that is how the files are named'
            if key != "video_path" or self._release.is_typed:
                yield self.error(paths_v30.INFO, _refused(self._release, message))
            elif dataset.video_keys:
                yield self.error(paths_v30.INFO, f"{title} finds no video: {message}")
        if "fps" not in dataset.info and not self._release.is_typed:
            yield self.warning(paths_v30.INFO, f'fps is missing: {title} takes 30; add "fps": with the right one')


class VideoInfoCheck(Check[DatasetV21]):
    """Names of the axes, and a block with the rate, of every camera of modality.json.

    `_get_metadata` in gr00t/data/dataset.py. Both look first for an axis `channel` and for
    `video_info`, as IsaacLabEvalTasks and Arena write them; N1 then takes an axis `channels` and
    `info`, N1.5 `info` alone, with the number of channels in it. Only N1.5 does so too where there is
    `channel` but no `video_info`.
    """

    name = "video_info"

    def __init__(self, release: Release) -> None:
        self._release = release

    def run(self, dataset: DatasetV21, *, deep: bool) -> Iterator[Diagnostic]:
        """Yield cameras that this release refuses."""
        for _, column, _ in self._release.columns(dataset, "video"):
            if column in dataset.video_keys and (
                problem := self._problem(dataset.info["features"][column], dataset.info)
            ):
                where = f"{paths_v30.INFO}, feature {column}"
                yield self.error(where, _refused(self._release, problem))

    def _problem(self, entry: dict[str, Any], info: dict[str, Any]) -> str:
        names = entry.get("names")
        if not isinstance(names, list) or not {"height", "width"} <= {name for name in names if isinstance(name, str)}:
            return _other_names(names)
        is_n1, has_channel = self._release == Release.N1, "channel" in names
        if has_channel and (is_n1 or _holds(entry, "video_info", _FPS)):
            return _missing(entry, "video_info", info, _FPS)
        if is_n1:
            return _missing(entry, "info", info, _FPS) if "channels" in names else _other_names(names)
        return _missing(entry, "info", info, _FPS, _CHANNELS)


class CameraSizesCheck(Check[DatasetV21]):
    """One size for all cameras of modality.json.

    `VideoCrop` in N1 and N1.5 (gr00t/data/transform/video.py), which every data configuration has, asserts it of the
    cameras that the configuration names.

    Args:
        release: N1 or N1.5.
        keys: Cameras of a configuration; all by default.
    """

    name = "camera_sizes"

    def __init__(self, release: Release, keys: Collection[str] | None = None) -> None:
        self._release = release
        self._keys = keys

    def run(self, dataset: DatasetV21, *, deep: bool) -> Iterator[Diagnostic]:
        """Yield one error with all sizes."""
        sizes = {
            entry.key: frame_size(feature)
            for entry, column, feature in self._release.columns(dataset, "video")
            if column in dataset.video_keys and (self._keys is None or entry.key in self._keys)
        }
        if len(set(sizes.values())) > 1:
            height, width = min(sizes.values(), key=prod)
            told = ", ".join(f"{printable(key)} is {columns}x{rows}" for key, (rows, columns) in sizes.items())
            fix = f"`image_resizer: {{height: {height}, width: {width}}}` among the steps gives all cameras one size"
            yield self.error(
                f"{MODALITY}, video",
                f"{told}, and {self._release.title} stops if the cameras of its configuration differ in size; {fix}, "
                "or name cameras of one size only",
            )


def _refused(release: Release, problem: str) -> str:
    return f"{release.title} cannot open the dataset: {problem}"


def _other_names(names: Any) -> str:
    return f'names are {names!r}; write ["height", "width", "channels"]'


def _holds(entry: dict[str, Any], block: str, key: str) -> bool:
    return isinstance(entry.get(block), dict) and key in entry[block]


def _missing(entry: dict[str, Any], block: str, info: dict[str, Any], *keys: str) -> str:
    """Say which keys of a block are missing or no positive numbers, and what to write."""
    wrong = [key for key in keys if not _holds(entry, block, key) or not _is_positive(entry[block][key])]
    if not wrong:
        return ""
    usual = {_FPS: info.get("fps"), _CHANNELS: 3}
    there = f"{block} has no {' and no '.join(wrong)}" if isinstance(entry.get(block), dict) else f"it has no {block}"
    return f"{there}; add {json.dumps({block: {key: usual[key] for key in wrong}})[1:-1]}"


def _is_positive(value: Any) -> bool:
    return type(value) in (int, float) and value > 0

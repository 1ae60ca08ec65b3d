"""What info.json says that is the same for all episodes, and what of it a new dataset cannot hold."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from ...core.commit import is_attempt
from ...core.errors import Damaged, in_utf8, printable
from ...core.features import DEFAULT_FEATURES, lost_names
from . import paths
from .source import DatasetFacts
from .view import DatasetView

_LONGEST_NAME = 200  # bytes; a feature's name becomes a folder
# Keys of info.json that every writer makes anew, of both versions.
_MADE = {
    *("codebase_version", "robot_type", "fps", "features", "splits", "data_path", "video_path"),
    *(f"total_{name}" for name in ("episodes", "frames", "tasks", "videos", "chunks")),
    *("chunks_size", "data_files_size_in_mb", "video_files_size_in_mb"),
}


def folder_facts(view: DatasetView) -> DatasetFacts:
    """Return what is the same for every episode of a dataset; raises Damaged if info.json cannot be used."""
    info = view.info
    text = json.dumps(info, ensure_ascii=False)
    if in_utf8(text) != text:
        raise Damaged(paths.INFO, "holds half a character (\\ud800 to \\udfff), which UTF-8 cannot hold")
    features = {key: feature for key, feature in view.features.items() if key not in DEFAULT_FEATURES}
    for key in features:
        _check_name(key)
    robot_type = info.get("robot_type")
    if not isinstance(robot_type, str | None):
        raise Damaged(paths.INFO, f"robot_type is {robot_type!r} instead of a text or null")
    entries = info["features"]
    videos = {key: _video_info(key, entries[key]) for key, feature in features.items() if feature.is_video}
    run = view.json(paths.RUN) if (view.root / paths.RUN).exists() else {}
    lost = {key: names for key in features if (names := lost_names(entries[key]))}
    return DatasetFacts(features, view.fps, robot_type, run, videos, lost)


def left_out(view: DatasetView, facts: DatasetFacts) -> Iterator[str]:
    """Say what info.json has that a new dataset will not have."""
    if facts.lost_names:
        yield f"not in the output: the names of {', '.join(facts.lost_names)}, which are not one list of texts"
    if more := [key for key, value in view.info.items() if key not in _MADE and value is not None]:
        yield f"not in the output: {', '.join(more)} of {paths.INFO}"


def _check_name(key: str) -> None:
    where = f"{paths.INFO}, feature {printable(key)}"
    if not key.isprintable() or key in ("", ".", "..") or "/" in key or "\\" in key:
        raise Damaged(where, "its name cannot be that of a folder")
    if len(key.encode()) > _LONGEST_NAME:
        raise Damaged(f"{paths.INFO}, feature {key[:40]}…", f"its name has more than {_LONGEST_NAME} bytes")
    if is_attempt(key):
        raise Damaged(where, "has the name of an unfinished folder, which would be removed; give it another")


def _video_info(key: str, entry: Mapping[str, Any]) -> Mapping[str, Any]:
    info = entry.get("info") or entry.get("video_info") or {}
    if not isinstance(info, dict):
        raise Damaged(f"{paths.INFO}, feature {key}", f"info is {info!r} instead of an object")
    if info.get("is_depth_map") or info.get("video.is_depth_map"):
        raise Damaged(f"{paths.INFO}, feature {key}", "is a depth video; only colour videos can be converted")
    return info

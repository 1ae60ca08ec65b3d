"""Metadata of v2.1 datasets of shipped robots, with modality.json: all that a configuration of training reads."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from robotrove.formats.lerobot.datasets.dataset_v21 import DatasetV21
from robotrove.formats.lerobot.datasets.open_dataset import open_current
from robotrove.formats.lerobot.gr00t.modality import modality_of, write_modality
from robotrove.manifests.robot import load_robot

_DEFAULTS = {"timestamp": "float32"} | dict.fromkeys(("frame_index", "episode_index", "index", "task_index"), "int64")
# Robot: widths of its vectors, cameras, and annotations, as the shipped pipelines write them.
_VECTORS: dict[str, dict[str, int]] = {
    "gr1": {"observation.state": 26, "action": 26},
    "g1": {
        "observation.state": 43,
        "action": 43,
        "observation.eef_pose": 14,
        "action.eef_pose": 14,
        "teleop.base_height_command": 1,
        "teleop.navigate_command": 3,
        "teleop.torso_orientation_rpy_command": 3,
    },
    "so101": {"observation.state": 6, "action": 6},
    "bi_piper": {"observation.state": 14, "action": 14},
    "libero": {"observation.state": 8, "action": 7},
    "droid": {"observation.state": 8, "action": 8},
}
_CAMERAS = {
    "gr1": ["ego_view"],
    "g1": ["ego_view"],
    "so101": ["front", "wrist"],
    "bi_piper": ["left_wrist", "mid", "right_wrist"],
    "libero": ["image", "wrist_image"],
    "droid": ["exterior_image_1_left", "wrist_image_left"],
}
_ANNOTATIONS = {
    "gr1": "human.action.task_description",
    "g1": "human.task_description",
    "droid": "language.language_instruction",
}


def robot_dataset(root: Path, robot: str, cameras: Sequence[str] | None = None, **info: Any) -> DatasetV21:
    """Write the metadata of one episode of a robot, and open it."""
    features: dict[str, Any] = {key: vector(width) for key, width in _VECTORS[robot].items()}
    features |= {f"observation.images.{name}": camera() for name in (_CAMERAS[robot] if cameras is None else cameras)}
    if robot in _ANNOTATIONS:
        features[f"annotation.{_ANNOTATIONS[robot]}"] = {"dtype": "int64", "shape": [1], "names": None}
    features |= {key: {"dtype": dtype, "shape": [1], "names": None} for key, dtype in _DEFAULTS.items()}
    content = {
        **{"codebase_version": "v2.1", "robot_type": load_robot(robot).robot_type, "fps": 30, "features": features},
        **{"total_episodes": 1, "total_frames": 20, "total_tasks": 1, "total_chunks": 1, "chunks_size": 1000},
        "data_path": "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
        "video_path": "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4",
    }
    (root / "meta").mkdir(parents=True)
    for name, lines in (
        ("info.json", content | info),
        ("episodes.jsonl", {"episode_index": 0, "tasks": ["do it"], "length": 20}),
        ("tasks.jsonl", {"task_index": 0, "task": "do it"}),
    ):
        (root / "meta" / name).write_text(json.dumps(lines) + "\n")
    dataset = open_current(root)
    assert isinstance(dataset, DatasetV21)
    write_modality(root, modality_of(dataset.features, load_robot(robot)))
    return dataset


def vector(width: int) -> dict[str, Any]:
    return {"dtype": "float32", "shape": [width], "names": None}


def camera() -> dict[str, Any]:
    return {"dtype": "video", "shape": [48, 64, 3], "names": ["height", "width", "channels"]}


def change_modality(dataset: DatasetV21, section: str, names: dict[str, str]) -> DatasetV21:
    """Rename keys of modality.json; an empty new name removes one."""
    path = dataset.root / "meta/modality.json"
    content = json.loads(path.read_text())
    content[section] = {names.get(key, key): entry for key, entry in content[section].items() if names.get(key, key)}
    path.write_text(json.dumps(content))
    found = open_current(dataset.root)
    assert isinstance(found, DatasetV21)
    return found

"""The order, the types and the widths of columns as Isaac Lab Arena writes them."""

from __future__ import annotations

import pyarrow as pa

from robotrove.core.features import TASK_INDEX, VISUAL_NAMES, Feature
from robotrove.formats.lerobot.writers.writer_v21 import reference_features, reference_schema

CAMERA = Feature("video", (48, 64, 3), VISUAL_NAMES)
FEATURES = {
    "observation.state": Feature("float32", (2,), ("a", "b")),
    "action": Feature("float64", (2,), ("a", "b")),
    "observation.images.ego_view": CAMERA,
    "teleop.height": Feature("float32", (1,), ("height_0",)),
    "annotation.human.task_description": TASK_INDEX,
    "annotation.human.valid": Feature("int64", (1,)),
    "next.done": Feature("bool", (1,)),
}
INDICES = ["episode_index", "task_index", "index", "frame_index"]


def test_the_order() -> None:
    annotations = ["annotation.human.task_description", "annotation.human.valid"]
    head = ["observation.state", "action", "timestamp", "teleop.height"]
    found = reference_features(FEATURES)
    assert list(found) == ["observation.images.ego_view", *head, *annotations, *INDICES, "next.done"]
    assert found["timestamp"] == Feature("float64", (1,))


def test_the_types() -> None:
    types = {field.name: field.type for field in reference_schema(FEATURES)}
    assert types["observation.state"] == pa.list_(pa.float32())
    assert types["action"] == pa.list_(pa.float64())
    assert types["teleop.height"] == pa.list_(pa.float32()), "a vector of one is a list"
    assert types["annotation.human.task_description"] == pa.int64()
    assert (types["next.done"], types["timestamp"]) == (pa.bool_(), pa.float64())
    assert "observation.images.ego_view" not in types


def test_without_annotations_the_indices_are_last_and_without_action_the_time_is_before_them() -> None:
    features = {"observation.state": FEATURES["observation.state"], "next.done": FEATURES["next.done"]}
    assert list(reference_features(features)) == ["observation.state", "next.done", "timestamp", *INDICES]

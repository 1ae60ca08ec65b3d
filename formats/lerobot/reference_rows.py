"""Rows of v2.1 as the converters of Isaac Lab Arena and IsaacLabEvalTasks write them, which GR00T was trained with.

The order of the columns, the types and the times are those of the episode that Arena's own tests
compare with. GR00T finds frames by time in N1 and N1.5, and float32 can be a hair before the frame;
it slices vectors, so that one with a single entry must be a list too.
"""

from __future__ import annotations

import pyarrow as pa

from ...core.features import DEFAULT_FEATURES, Feature, Features
from .schema import arrow_field, row_features

_INDICES = ("episode_index", "task_index", "index", "frame_index")


def reference_features(features: Features) -> Features:
    """Return all features in the reference's order: cameras, vectors, the time after the action, the indices last.

    What comes after the columns of annotations (reward, done and the like) comes after the indices too.
    """
    cameras = {key: feature for key, feature in features.items() if feature.is_video}
    own = [key for key in row_features(features) if key not in DEFAULT_FEATURES]
    annotations = [at for at, key in enumerate(own) if features[key].is_task_index or key.startswith("annotation.")]
    cut = annotations[-1] + 1 if annotations else len(own)
    time = next((at + 1 for at, key in enumerate(own[:cut]) if key.startswith("action")), cut)
    order = [*own[:time], "timestamp", *own[time:cut], *_INDICES, *own[cut:]]
    rows = features | DEFAULT_FEATURES | {"timestamp": Feature("float64", (1,))}
    return cameras | {key: rows[key] for key in order}


def reference_schema(features: Features) -> pa.Schema:
    """Return the arrow schema of a data file: vectors, named entry by entry, are lists of any length."""
    rows = {key: feature for key, feature in reference_features(features).items() if not feature.is_video}
    return pa.schema([_field(key, feature) for key, feature in rows.items()])


def _field(key: str, feature: Feature) -> pa.Field:
    field = arrow_field(key, feature)
    if len(feature.shape) > 1 or feature.is_visual or feature.is_task_index or not feature.names:
        return field
    value = field.type.value_type if pa.types.is_fixed_size_list(field.type) else field.type
    return pa.field(key, pa.list_(value))

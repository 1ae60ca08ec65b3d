"""Features as parquet and JSON: arrow types, Hugging Face metadata, info.json, tasks.parquet."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from ...core.features import DEFAULT_FEATURES, Feature, Features
from . import paths

_PANDAS_TASKS = {
    # Without "index_columns" pandas gives a RangeIndex and every task becomes an integer.
    "index_columns": ["task"],
    "column_indexes": [
        {
            "name": None,
            "field_name": None,
            "pandas_type": "unicode",
            "numpy_type": "object",
            "metadata": {"encoding": "UTF-8"},
        }
    ],
    "columns": [
        {
            "name": "task_index",
            "field_name": "task_index",
            "pandas_type": "int64",
            "numpy_type": "int64",
            "metadata": None,
        },
        {"name": "task", "field_name": "task", "pandas_type": "unicode", "numpy_type": "object", "metadata": None},
    ],
    "creator": {"library": "pyarrow", "version": "17.0.0"},  # constant: the bytes must not depend on the library
    "pandas_version": "2.2.3",
}


def _scalar_type(dtype: str) -> pa.DataType:
    return pa.string() if dtype == "string" else pa.bool_() if dtype == "bool" else pa.type_for_alias(dtype)


def arrow_field(name: str, feature: Feature) -> pa.Field:
    """Return the parquet column of a feature, as LeRobot's recorder writes it."""
    if feature.dtype == "image":
        return pa.field(name, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    value = _scalar_type(feature.dtype)
    if feature.shape == (1,):
        return pa.field(name, value)
    if len(feature.shape) == 1:
        return pa.field(name, pa.list_(value, feature.shape[0]))
    nested = value
    for _ in feature.shape:
        nested = pa.list_(nested)
    extension = f"datasets.features.features.Array{len(feature.shape)}DExtensionType"
    metadata = {
        "ARROW:extension:name": extension,
        "ARROW:extension:metadata": json.dumps([list(feature.shape), feature.dtype]),
    }
    return pa.field(name, nested, metadata=metadata)


def _hugging_face(feature: Feature, list_type: str) -> dict[str, Any]:
    if feature.dtype == "image":
        return {"_type": "Image"}
    value = {"dtype": feature.dtype, "_type": "Value"}
    if feature.shape == (1,):
        return value
    if len(feature.shape) == 1:
        return {"feature": value, "length": feature.shape[0], "_type": list_type}
    return {"shape": list(feature.shape), "dtype": feature.dtype, "_type": f"Array{len(feature.shape)}D"}


def row_features(features: Features) -> Features:
    """Return the features that are columns of the data files: all but videos, the default five last."""
    own = {key: feature for key, feature in features.items() if not feature.is_video and key not in DEFAULT_FEATURES}
    return own | DEFAULT_FEATURES


def data_schema(features: Features, list_type: str = "List") -> pa.Schema:
    """Return the arrow schema of a data file, with the metadata that the Hub's viewer needs.

    Args:
        features: What the dataset holds, the default five aside.
        list_type: What vectors are called there: "Sequence" for datasets of version 2.1, which are read
            with releases of the package datasets that do not know "List".
    """
    rows = row_features(features)
    described = {"info": {"features": {key: _hugging_face(feature, list_type) for key, feature in rows.items()}}}
    return pa.schema(
        [arrow_field(key, feature) for key, feature in rows.items()],
        metadata={"huggingface": json.dumps(described)},
    )


def tasks_table(tasks: Sequence[str]) -> pa.Table:
    """Return tasks.parquet: column task_index, the task text as pandas index."""
    schema = pa.schema(
        [("task_index", pa.int64()), ("task", pa.string())], metadata={"pandas": json.dumps(_PANDAS_TASKS)}
    )
    return pa.table([pa.array(range(len(tasks)), pa.int64()), pa.array(tasks, pa.string())], schema=schema)


def info(
    features: Features,
    *,
    fps: int,
    robot_type: str | None,
    episodes: int,
    frames: int,
    tasks: int,
    video_info: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """Return info.json; `video_info` holds what only the encoder knows, per camera key."""
    described = {key: feature.to_json() for key, feature in (features | DEFAULT_FEATURES).items()}
    for key, entry in video_info.items():
        described[key]["info"] = dict(entry)
    return {
        "codebase_version": paths.CODEBASE_VERSION,
        "robot_type": robot_type,
        "total_episodes": episodes,
        "total_frames": frames,
        "total_tasks": tasks,
        "chunks_size": paths.CHUNKS_SIZE,
        "data_files_size_in_mb": paths.DATA_FILES_MB,
        "video_files_size_in_mb": paths.VIDEO_FILES_MB,
        "fps": fps,
        "splits": {"train": f"0:{episodes}"},
        "data_path": paths.DATA_PATH,
        "video_path": paths.VIDEO_PATH if any(feature.is_video for feature in features.values()) else None,
        "features": described,
    }

"""Row schema: arrow and Hugging Face types of the features in the data files."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

from ....core.features import DEFAULT_FEATURES, Feature, Features


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

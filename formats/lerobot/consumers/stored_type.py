"""How a column is stored, which info.json does not say."""

from __future__ import annotations

import pyarrow as pa

from ....core.errors import Damaged
from ..datasets.dataset_v21 import DatasetViewV21


def is_list(dataset: DatasetViewV21, column: str) -> bool:
    """True if the rows of a column are lists in the first data file, also those of one value.

    Raises:
        Damaged: If the file cannot be read or does not have the column.
    """
    path = next(dataset.data_files()).path
    with dataset.parquet(path) as file:
        schema = file.schema_arrow
    if column not in schema.names:
        raise Damaged(path, f"has no column {column}")
    found = schema.field(column).type
    return bool(pa.types.is_list(found) or pa.types.is_large_list(found) or pa.types.is_fixed_size_list(found))

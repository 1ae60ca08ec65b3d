"""List index: a column that repeats task_index, such as GR00T's annotations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
from numpy.typing import NDArray

from .feature_kind import FeatureKind
from .vector import Vector


class ListIndex(Vector):
    """Numbers of entries of the list of tasks, renumbered when datasets are merged."""

    repeats = "task_index"

    def reference_field(self, name: str) -> pa.Field:
        """Return a single number, as for task_index itself."""
        return FeatureKind.reference_field(self, name)

    def merged(self, piece: pa.Table, field: pa.Field, made: Mapping[str, NDArray[Any]], where: str) -> pa.Array:
        """Return the numbers that the new dataset's list gives these rows."""
        return pa.array(made[self.repeats], field.type)

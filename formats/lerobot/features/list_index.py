"""List index: a column that repeats task_index, such as GR00T's annotations."""

from __future__ import annotations

import pyarrow as pa

from .feature_kind import FeatureKind, PlacedColumns
from .vector import Vector


class ListIndex(Vector):
    """Numbers of entries of the list of tasks, renumbered when datasets are merged."""

    repeats = "task_index"

    def reference_field(self, name: str) -> pa.Field:
        """Return a single number, as for task_index itself."""
        return FeatureKind.reference_field(self, name)

    def merged(self, piece: pa.Table, field: pa.Field, made: PlacedColumns, where: str) -> pa.Array:
        """Return the numbers that the new dataset's list gives these rows."""
        return pa.array(made[self.repeats], field.type)

"""List index: a column that points into the list of tasks or of subtasks, such as GR00T's annotations."""

from __future__ import annotations

import pyarrow as pa

from ....core.errors import RobotroveError
from .feature_kind import FeatureKind, Lookups, single_values
from .vector import Vector


class ListIndex(Vector):
    """Numbers of entries of a list, renumbered when datasets are merged."""

    def reference_field(self, name: str) -> pa.Field:
        """Return a single number, as for task_index itself."""
        return FeatureKind.reference_field(self, name)

    def merged(self, piece: pa.Table, field: pa.Field, lookups: Lookups, where: str) -> pa.Array:
        """Return the numbers that the new dataset's list gives to the same texts; without a list the same numbers.

        Raises:
            RobotroveError: If a number is not in the list of the source.
        """
        column = super().merged(piece, field, lookups, where)
        lookup = lookups.get(self.feature.points_into)
        if lookup is None:
            return column
        where = f"{where}, column {field.name}"
        numbers = self.values(single_values(column, self.feature), where)
        if (outside := numbers[(numbers < 0) | (numbers >= len(lookup))]).size:
            raise RobotroveError(where, f"{field.name} is {outside[0]}", f"0 to {len(lookup) - 1}")
        return self.to_arrow(lookup[numbers], field.type)

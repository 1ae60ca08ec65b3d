"""Vector: numbers and truth values, single ones and arrays of any shape."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ....core.columns import Array
from ....core.errors import EpisodeRejected
from ..dataset_files import ArrowColumn
from ..stats.feature_stats import FeatureStats, Shape, numeric_stats
from .feature_kind import FeatureKind


class Vector(FeatureKind):
    """Rows of numbers, copied when datasets are merged."""

    is_numeric = True

    @property
    def value_type(self) -> pa.DataType:
        """See the base class."""
        return pa.type_for_alias(self.feature.dtype)

    def reference_field(self, name: str) -> pa.Field:
        """Return a list of any length for values that are named one by one, also for a single one."""
        field = self.arrow_field(name)
        is_named = self.feature.names and len(self.feature.shape) == 1
        return pa.field(name, pa.list_(self.value_type)) if is_named else field

    def unusable(self, values: Array) -> NDArray[np.bool_] | None:
        """Return which numbers are NaN or infinite."""
        return ~np.isfinite(values).reshape(len(values), -1) if values.dtype.kind == "f" else None

    def stored(self, values: Array) -> Array:
        """Return the values in their dtype; those that are too large for it become infinite."""
        with np.errstate(over="ignore"):
            return values.astype(self.feature.dtype, copy=False)

    def refuse(self, values: Array, key: str) -> None:
        """Raise EpisodeRejected if a number is not finite."""
        bad = self.unusable(values)
        if bad is not None and bad.any():
            row, entry = (int(i) for i in np.argwhere(bad)[0])
            name = f"{self.feature.names[entry]!r}" if self.feature.names else f"entry {entry}"
            what = values.reshape(len(values), -1)[row, entry]
            raise EpisodeRejected(
                "non_finite", f"{key} has {what} at row {row}, {name}, and {int(bad.sum()) - 1} more such values"
            )

    def refuse_empty(self, column: ArrowColumn, where: str) -> None:
        """Raise Damaged if a row is empty or has another shape."""
        self.values(column, where)

    def stats(self, values: Array) -> FeatureStats | None:
        """See the base class."""
        return numeric_stats(values)

    def stats_shape(self, *, keep_axes: bool = False) -> Shape | None:
        """See the base class."""
        return self.feature.shape if keep_axes else self.feature.shape[-1:]

    def known_stats_shapes(self) -> list[Shape]:
        """Return the shape with the last axis alone, as LeRobot since 0.4 writes it, and that with all, as 0.3.3."""
        shape = self.feature.shape
        return [shape[-1:], shape] if len(shape) > 1 else [shape]

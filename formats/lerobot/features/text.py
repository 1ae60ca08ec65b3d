"""Text: one text per row, without statistics."""

from __future__ import annotations

import pyarrow as pa

from ....core.features import Feature
from .feature_kind import FeatureKind


class Text(FeatureKind):
    """Rows of texts, copied when datasets are merged."""

    has_dictionary = True

    @classmethod
    def fits(cls, feature: Feature) -> bool:
        """Return whether the dtype is LeRobot's for texts."""
        return feature.dtype == "string"

    @property
    def value_type(self) -> pa.DataType:
        """See the base class."""
        return pa.string()

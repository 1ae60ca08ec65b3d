"""Text: one text per row, without statistics."""

from __future__ import annotations

import pyarrow as pa

from .feature_kind import FeatureKind


class Text(FeatureKind):
    """Rows of texts, copied when datasets are merged."""

    has_dictionary = True

    @property
    def value_type(self) -> pa.DataType:
        """See the base class."""
        return pa.string()

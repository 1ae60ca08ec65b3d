"""Rows of v2.1, which LeRobot 0.3.3 reads as they are in the files."""

from __future__ import annotations

from ....core.features import DEFAULT_FEATURES, Feature
from .base import Finding
from .rows import RowsCheck


class RowsV21Check(RowsCheck):
    """Every data file has the columns of info.json, and every row its place."""

    def extra(self, where: str) -> Finding:
        """Return the finding for a column that info.json does not have."""
        return self.warning(where, "is no feature of info.json")

    def axes(self, key: str, feature: Feature) -> tuple[int, ...]:
        """Return how many lists deep a column may be; single values may be lists of one, but not LeRobot's own."""
        as_written = super().axes(key, feature)
        return (*as_written, 1) if feature.shape == (1,) and key not in DEFAULT_FEATURES else as_written

"""What blocks that work on vector columns share."""

from __future__ import annotations

from collections.abc import Sequence

from ..core.columns import Column
from ..core.episode import Episode
from ..core.errors import EpisodeRejected, nearest

DEFAULT_COLUMNS = ("observation.state", "action")


def vector(ep: Episode, key: str) -> Column:
    """Return a column that must be a numeric vector.

    Raises:
        EpisodeRejected: `missing_column` or `not_a_vector`.
    """
    if key not in ep.columns:
        raise EpisodeRejected("missing_column", f"there is no column {key!r}{nearest(key, ep.columns)}")
    column = ep.columns[key]
    feature = column.feature
    if feature.is_visual or feature.dtype == "string" or len(feature.shape) != 1:
        raise EpisodeRejected("not_a_vector", f"{key} is {feature}, expected a numeric vector")
    return column


def check_width(key: str, found: int, expected: Sequence[object]) -> None:
    """Refuse a vector that has not as many entries as expected.

    Raises:
        EpisodeRejected: `wrong_joint_count`.
    """
    if found != len(expected):
        raise EpisodeRejected("wrong_joint_count", f"{key} has {found} entries, expected {len(expected)}")

"""length_filter: rejects episodes that are too short or too long."""

from __future__ import annotations

from ...core.episode import Episode
from ...core.errors import UsageError
from ..episode_step import EpisodeFilter


class LengthFilter(EpisodeFilter):
    """Selects episodes by their number of frames at this point of the pipeline.

    Args:
        min_length: Lowest number of frames.
        max_length: Highest number of frames, None for no limit.
    """

    name = "length_filter"
    keeps_vectors = True

    def __init__(self, *, min_length: int = 1, max_length: int | None = None) -> None:
        super().__init__()
        if max_length is not None and max_length < min_length:
            raise UsageError("length_filter", f"max_length {max_length} is below min_length {min_length}")
        self.min_length = min_length
        self.max_length = max_length

    def reject(self, ep: Episode) -> str | None:
        """Return `too_short` or `too_long`."""
        if ep.length < self.min_length:
            return f"too_short: {ep.length} frames, at least {self.min_length}"
        if self.max_length is not None and ep.length > self.max_length:
            return f"too_long: {ep.length} frames, at most {self.max_length}"
        return None

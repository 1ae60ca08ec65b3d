"""frame_trimmer: drops frames at both ends."""

from __future__ import annotations

import numpy as np

from ...core.episode import Episode
from ...core.errors import EpisodeRejected, UsageError
from ..episode_step import EpisodeMap


class FrameTrimmer(EpisodeMap):
    """Drops frames at the beginning and the end of every episode.

    Args:
        head: Frames dropped at the beginning (LeIsaac drops 5).
        tail: Frames dropped at the end (Isaac Lab Arena drops 1).
    """

    name = "frame_trimmer"
    keeps_vectors = True

    def __init__(self, *, head: int = 0, tail: int = 0) -> None:
        super().__init__()
        if head < 0 or tail < 0:
            raise UsageError("frame_trimmer", f"head {head}, tail {tail}", "numbers of frames, 0 or more")
        self.head = head
        self.tail = tail

    def apply(self, ep: Episode) -> Episode:
        """Shorten every column.

        Raises:
            EpisodeRejected: `nothing_left` if no frame would remain.
        """
        last = ep.length - self.tail
        if last <= self.head:
            raise EpisodeRejected(
                "nothing_left", f"{ep.length} frames, {self.head} + {self.tail} of them to be trimmed"
            )
        return ep.take(np.arange(self.head, last))

"""Video files of v2.1: one for each episode."""

from __future__ import annotations

from .base import Finding
from .videos import VideosCheck


class VideosV21Check(VideosCheck):
    """As in v3.0, and no more frames than the episode has."""

    def unused(self, where: str, message: str) -> Finding:
        """Return the finding for frames of no episode; GR00T N1.6 refuses such a clip."""
        return self.error(where, message)

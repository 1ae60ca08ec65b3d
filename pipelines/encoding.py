"""How a pipeline encodes; workers ask too, without all that creating a run needs."""

from __future__ import annotations

from ..media.encode.settings import VideoSettings
from .arguments import build
from .spec import PipelineSpec


def video_of(spec: PipelineSpec) -> VideoSettings:
    """Return how a pipeline encodes: as its writer says, or the first dataset block that says it."""
    blocks = (spec.writer,) if spec.writer else spec.dataset
    found = (getattr(build(block), "video", None) for block in blocks)
    return next((video for video in found if isinstance(video, VideoSettings)), VideoSettings())

"""Re-encoding of clips with packets that cannot be copied."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path

from ...core.columns import Array
from ...core.errors import RobotroveError, UsageError
from ..encode.encoder import make_encoder
from ..encode.settings import VideoSettings
from ..video.probe import iter_frames, probe
from .clip import Clip, Encoding

_ENCODERS = {"av1": "libsvtav1", "h264": "libx264", "hevc": "libx265", "mpeg4": "mpeg4"}


def can_reencode(codec: str) -> bool:
    """Return True if clips of a codec (``h264``) can be re-encoded with it."""
    return codec in _ENCODERS


def settings_like(encoding: Encoding, base: VideoSettings) -> VideoSettings:
    """Return settings that give the codec and pixel format of an encoding, and are those of `base` otherwise.

    Another codec than that of `base` is used with its usual preset: presets differ from codec to codec.

    Raises:
        UsageError: If there is no encoder for the codec.
    """
    codec = _ENCODERS.get(encoding.codec)
    if codec is None:
        raise UsageError(
            f"codec {encoding.codec}",
            "videos of this codec cannot be re-encoded",
            f"one of {', '.join(_ENCODERS)}",
            "convert the dataset's videos to one of these first",
        )
    preset = base.preset if codec == base.codec else None
    return replace(base, codec=codec, pix_fmt=encoding.pix_fmt, preset=preset)


def reencode(clip: Clip, out: Path, fps: int, settings: VideoSettings) -> None:
    """Decode the frames of a clip, and encode them into an mp4 file of closed GOPs, frame i at exactly i/fps s.

    Args:
        clip: Frames wanted; they may begin anywhere.
        out: File to write; overwritten.
        fps: Frames per second.
        settings: How to encode.

    Raises:
        RobotroveError: If a frame is missing in the source, or the result is not what it should be.
        EpisodeRejected: If the frames are of a size that the codec does not take.
    """
    frames = iter_frames(clip.path, clip.first, clip.frames, clip.rate or fps)
    head = next(frames, None)
    if head is None:
        raise RobotroveError(str(clip.path), "the clip has no frame")
    height, width = head.shape[:2]
    batches: Iterator[Array] = (frame[None] for frame in chain([head], frames))
    make_encoder(settings).encode(out, batches, width=width, height=height, fps=fps)
    probe(out, expected_frames=clip.frames, fps=fps)

"""Colour video: the keys of info.json that describe a camera's videos."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ....media.remux.video_index import encoding_at


def video_info(path: Path, fps: int) -> dict[str, Any]:
    """Return the `info` of a video feature, with the keys that LeRobot 0.4 writes, read off one of its files."""
    seen = encoding_at(path)
    return {
        "video.height": seen.height,
        "video.width": seen.width,
        "video.codec": seen.codec,
        "video.pix_fmt": seen.pix_fmt,
        "video.is_depth_map": False,
        "video.fps": fps,
        "video.channels": 3,
        "has_audio": False,
    }

"""Colour video: a camera whose frames are in video files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ....core.errors import Damaged
from ....core.features import Feature
from ....core.prefetch import prefetch
from ....media.encode.settings import VideoSettings
from .colour_image import ColourCamera, FramesWriter


class ClipWriter(FramesWriter):
    """Writer of frames as an mp4 file of their own."""

    suffix = ".mp4"

    def write_file(self, path: Path, video: VideoSettings, cpus: int) -> None:
        """See the base class."""
        from ....media.encode.encoder import make_encoder  # PyAV, which only writing needs
        from ....media.video.probe import probe

        ep, (height, width, _) = self._ep, self._feature.shape
        # One thread reads and decodes ahead while this one encodes, where a second CPU is there for it.
        batches = prefetch(ep.frames(self._key)) if cpus > 1 else ep.frames(self._key)
        make_encoder(video).encode(path, self._counted(batches), width=width, height=height, fps=ep.fps)
        probe(path, expected_frames=ep.length, fps=ep.fps)


class ColourVideo(ColourCamera):
    """Frames in video files, of which packets are copied when datasets are merged."""

    in_rows = False
    frames_writer = ClipWriter

    @classmethod
    def fits(cls, feature: Feature) -> bool:
        """Return whether the dtype is LeRobot's for videos."""
        return feature.dtype == "video"

    def info_entry(self, known: Mapping[str, Any], file: Path, fps: int) -> dict[str, Any]:
        """Return the entry of info.json with `info`, which has the keys that LeRobot 0.4 writes."""
        entry = super().info_entry(known, file, fps)
        return entry | {"info": dict(known) if known else _encoding_info(file, fps)}

    def stored_info(self, entry: Mapping[str, Any], where: str) -> Mapping[str, Any]:
        """See the base class; refuses videos of depth."""
        info = entry.get("info") or entry.get("video_info") or {}
        if not isinstance(info, dict):
            raise Damaged(where, f"info is {info!r} instead of an object")
        if info.get("is_depth_map") or info.get("video.is_depth_map"):
            raise Damaged(where, "is a depth video; only colour videos can be converted")
        return info


def _encoding_info(path: Path, fps: int) -> dict[str, Any]:
    from ....media.remux.video_index import encoding_at

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

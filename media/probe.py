"""What is really in a video file: counts and times without decoding, and frames by index."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.video.stream import VideoStream

from ..core.errors import RobotroveError
from .pixels import Pixels, as_array, to_rgb
from .track import codec_name, open_track, packets, reading, ticks_per_frame


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """Facts about one video file.

    Attributes:
        frames: Number of frames, counted.
        width: Pixels per row.
        height: Rows.
        fps: Frames per second.
        codec: ``av1``, ``h264``, ``hevc`` …
        pix_fmt: Pixel format.
    """

    frames: int
    width: int
    height: int
    fps: Fraction
    codec: str
    pix_fmt: str


def probe(path: Path, *, expected_frames: int | None = None, fps: int | Fraction | None = None) -> VideoInfo:
    """Count the frames of a file and check that frame k is at exactly k/fps s; nothing is decoded.

    Args:
        path: Video file.
        expected_frames: Number of frames there must be, if known.
        fps: Frame rate there must be; the file's own average rate by default.

    Raises:
        RobotroveError: Names the file and the first frame that deviates: shown elsewhere than at
            k/fps, of another duration than 1/fps, stored out of order, damaged; or if the first
            frame is no keyframe, or the count is wrong.
    """
    with open_track(path) as (container, stream):
        rate = Fraction(fps) if fps is not None else stream.average_rate
        if not rate:
            raise RobotroveError(str(path), "there are no frames in it")
        ticks = ticks_per_frame(path, stream, rate)
        frames = 0
        for packet in packets(path, container, stream):
            if problem := _problem(packet, frames, ticks):
                raise RobotroveError(str(path), f"frame {frames} {problem}", f"frame k at exactly k/{rate} s")
            frames += 1
        expected = stream.frames if expected_frames is None else expected_frames
        if frames != expected:
            raise RobotroveError(str(path), f"{frames} frames", f"{expected} frames")
        context = stream.codec_context
        return VideoInfo(frames, context.width, context.height, rate, codec_name(stream), context.pix_fmt or "")


def iter_frames(path: Path, first: int = 0, count: int | None = None) -> Iterator[Pixels]:
    """Yield frames by index, decoding from the nearest keyframe before.

    Args:
        path: Video file.
        first: Index of the first frame wanted.
        count: Number of frames; to the end by default.

    Yields:
        Frames (height, width, 3), uint8 RGB.

    Raises:
        RobotroveError: If a frame is missing.
    """
    if count == 0:
        return
    convert = to_rgb()
    with open_track(path) as (container, stream), reading(path):
        scale = (stream.time_base or 0) * (stream.average_rate or 0)
        if not scale:
            raise RobotroveError(str(path), "there are no frames in it")
        if first:
            container.seek(round(first / scale), stream=stream)
        wanted = first
        for frame in container.decode(stream):
            index = round((frame.pts or 0) * scale)
            if index < wanted:
                continue
            if index > wanted:
                break
            yield as_array(convert(frame))
            wanted += 1
            if count is not None and wanted == first + count:
                return
        else:
            if count is None:
                return
        raise RobotroveError(str(path), f"frame {wanted} is missing")


def _problem(packet: av.Packet[VideoStream], index: int, ticks: int) -> str:
    if packet.pts != index * ticks:
        return f"is shown at {packet.pts} instead of {index * ticks} (in units of {packet.time_base} s)"
    if packet.dts != packet.pts:
        return "is stored out of order (there are B-frames, or an edit list)"
    if packet.duration != ticks:
        return f"lasts {packet.duration} instead of {ticks} (in units of {packet.time_base} s)"
    if packet.is_corrupt:
        return "is damaged"
    if index == 0 and not packet.is_keyframe:
        return "is no keyframe"
    return ""

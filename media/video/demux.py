"""Demuxing: one place that opens and reads video files, and names what fails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from ...core.errors import RobotroveError


@contextmanager
def open_track(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a file and give its container and first video stream; RobotroveError if it is no video."""
    with reading(path):
        # Titles in other encodings than UTF-8 do no harm.
        container = av.open(str(path.absolute()), metadata_errors="replace")
    with container:
        if not container.streams.video:
            raise RobotroveError(str(path), "has no video stream")
        stream = container.streams.video[0]
        if stream.codec_context is None:
            raise RobotroveError(str(path), "its codec is not known", "AV1, H.264 or HEVC")
        stream.codec_context.thread_count = 1  # ranks run side by side, each within its own CPUs
        yield container, stream


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn FFmpeg's complaints about a file into RobotroveError."""
    try:
        yield
    except av.error.FFmpegError as exc:
        raise RobotroveError(str(path), f"cannot be read as video: {exc.strerror}", "a complete mp4 file") from exc


def packets(path: Path, container: InputContainer, stream: VideoStream) -> Iterator[av.Packet[VideoStream]]:
    """Yield the encoded frames of a stream from where it stands, in the order in which they are stored."""
    with reading(path):
        for packet in container.demux(stream):
            if packet.size:  # PyAV ends with an empty packet that flushes decoders
                yield packet


def packets_from(
    path: Path, container: InputContainer, stream: VideoStream, pts: int
) -> Iterator[av.Packet[VideoStream]]:
    """Seek, and yield the encoded frames from the last keyframe on that is shown at `pts` or before."""
    target = pts
    while True:
        with reading(path):
            container.seek(target, stream=stream)
        stored = packets(path, container, stream)
        head = next(stored, None)
        if head is None:
            return stored
        # FFmpeg seeks by the time of storing; the keyframe of an open GOP is stored before frames shown earlier.
        earlier = _time(head) - 1
        if _time(head, shown=True) <= pts or earlier >= target:
            return chain([head], stored)
        target = earlier


def _time(packet: av.Packet[VideoStream], shown: bool = False) -> int:
    first, second = (packet.pts, packet.dts) if shown else (packet.dts, packet.pts)
    return (first if first is not None else second) or 0


def codec_name(stream: VideoStream) -> str:
    """Return the name of the format ("av1"), not of the decoder in use ("libdav1d")."""
    return stream.codec_context.codec.canonical_name


def ticks_per_frame(path: Path, stream: VideoStream, fps: int | Fraction) -> int:
    """Return 1/fps in units of the stream's time base; RobotroveError if that is no whole number."""
    if not stream.time_base:
        raise RobotroveError(str(path), "the video stream has no time base")
    ticks = 1 / (fps * stream.time_base)
    if ticks.denominator != 1:
        raise RobotroveError(str(path), f"its time base {stream.time_base} s cannot hold frames of 1/{fps} s exactly")
    return int(ticks)

"""Probe: the one place that opens video files: packets, frames, size, rate, codec and colour, and damage."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from ...core.errors import RobotroveError
from ..image.pixels import Pixels, as_array, to_rgb
from ..mp4.sample_table import fragment_frames
from .frame_times import Grid

# No codec has more frames waiting: 16 in H.264 (A.3.1) and HEVC (A.4.2). Bounds the memory in broken files.
_MAX_AHEAD = 16


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


def listed_frames(path: Path, stream: VideoStream) -> int:
    """Return how many frames the tables of a file list, those of its fragments too; 0 if they do not say."""
    return stream.frames + fragment_frames(path, stream.id)


def codec_name(stream: VideoStream) -> str:
    """Return the name of the format ("av1"), not of the decoder in use ("libdav1d")."""
    return stream.codec_context.codec.canonical_name


def _ticks_per_frame(path: Path, unit: Fraction, fps: int | Fraction) -> int:
    """Return 1/fps in units of a time base; RobotroveError if that is no whole number."""
    ticks = 1 / (fps * unit)
    if ticks.denominator != 1:
        raise RobotroveError(str(path), f"its time base {unit} s cannot hold frames of 1/{fps} s exactly")
    return int(ticks)


def no_frames(path: Path) -> RobotroveError:
    """Return the error for a file without frames, which has neither a rate nor a time base."""
    return RobotroveError(str(path), "the video has no frames")


def missing(frame: int) -> str:
    """Say that a video has frames after a number, but not that one."""
    return f"frame {frame} is missing"


class Order:
    """Says whether every frame from 0 on is there just once; keeps in mind only those that came early.

    Attributes:
        complete: Frames 0 to complete - 1 have come.
        early: Frames beyond that which have come.
    """

    __slots__ = ("complete", "early")

    def __init__(self) -> None:
        self.complete = 0
        self.early: set[int] = set()

    def add(self, frame: int) -> bool:
        """Take the next frame stored; return False if it has come before, or is negative."""
        early = self.early
        if frame == self.complete:
            frame += 1
            while frame in early:
                early.remove(frame)
                frame += 1
            self.complete = frame
            return True
        if frame < self.complete or frame in early:
            return False
        early.add(frame)
        return True


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
        keyframes: Numbers of the keyframes in display order, ascending.
    """

    frames: int
    width: int
    height: int
    fps: Fraction
    codec: str
    pix_fmt: str
    keyframes: tuple[int, ...]


def probe(
    path: Path, *, expected_frames: int | None = None, fps: int | Fraction | None = None, in_order: bool = True
) -> VideoInfo:
    """Count the frames of a file and check that frame k is at exactly k/fps s; nothing is decoded.

    Args:
        path: Video file.
        expected_frames: Number of frames there must be, if known.
        fps: Frame rate there must be; the file's own average rate by default.
        in_order: Frames must be stored in the order in which they are shown, and last 1/fps s each.
            If False, B-frames and edit lists are accepted, which cut the last frame short.

    Raises:
        RobotroveError: Names the file and the first frame that deviates: shown elsewhere than at
            k/fps, of another duration than 1/fps, stored out of order, missing, doubled, damaged; or
            if the first frame is no keyframe, or the count is wrong.
    """
    with open_track(path) as (container, stream):
        rate = Fraction(fps) if fps is not None else stream.average_rate
        if not (rate and stream.time_base):
            raise no_frames(path)
        ticks = _ticks_per_frame(path, stream.time_base, rate)
        frames = 0
        order = Order()
        keys: list[int] = []
        for packet in packets(path, container, stream):
            problem = _problem(packet, frames, ticks) if in_order else _problem_of_any(packet, order, ticks)
            if problem:
                raise RobotroveError(str(path), problem, f"frame k at exactly k/{rate} s")
            if packet.is_keyframe:
                keys.append((packet.pts or 0) // ticks)
            frames += 1
        if order.early:
            raise RobotroveError(str(path), missing(order.complete), f"frame k at exactly k/{rate} s")
        expected = listed_frames(path, stream) if expected_frames is None else expected_frames
        if frames != expected and (expected or expected_frames is not None):
            raise RobotroveError(str(path), f"{frames} frames", f"{expected} frames")
        context = stream.codec_context
        kind = codec_name(stream), context.pix_fmt or ""
        return VideoInfo(frames, context.width, context.height, rate, *kind, tuple(sorted(keys)))


def rotation(path: Path) -> int:
    """Return by how many degrees the container turns the first frame counter-clockwise (display matrix); 0 normally."""
    with open_track(path) as (container, stream), reading(path):
        frame = next(_decoded(packets(path, container, stream), stream), None)
        return frame.rotation if frame is not None else 0


def iter_frames(
    path: Path, first: int = 0, count: int | None = None, fps: Fraction | int | None = None
) -> Iterator[Pixels]:
    """Yield frames by number, decoding from the nearest keyframe before.

    Frames are counted in display order from the first one: times may be rounded to the file's time base,
    and need not begin at 0.

    Args:
        path: Video file.
        first: Number of the first frame wanted.
        count: Number of frames; to the end by default.
        fps: Frames per second; the file's average rate by default. That is wrong where clips with and without
            B-frames were concatenated: the decoder's delay then counts as time.

    Yields:
        Frames (height, width, 3), uint8 RGB.

    Raises:
        RobotroveError: If a frame is missing.
    """
    if count == 0:
        return
    with open_track(path) as (container, stream), reading(path):
        yield from _frames(path, container, stream, first, count, fps, seeks=first > 0)


def check_frames(path: Path, numbers: Iterable[int], fps: Fraction | int | None = None) -> None:
    """Decode single frames, each from the nearest keyframe before; the file is opened once.

    Args:
        path: Video file.
        numbers: Numbers of the frames, counted as in `iter_frames`.
        fps: As for `iter_frames`.

    Raises:
        RobotroveError: If one is missing or cannot be decoded.
    """
    with open_track(path) as (container, stream), reading(path):
        for number in numbers:
            deque(_frames(path, container, stream, number, 1, fps, seeks=True), maxlen=0)


def _frames(
    path: Path,
    container: InputContainer,
    stream: VideoStream,
    first: int,
    count: int | None,
    fps: Fraction | int | None,
    *,
    seeks: bool,
) -> Iterator[Pixels]:
    scale = (stream.time_base or 0) * (fps or stream.average_rate or 0)
    if not scale:
        raise no_frames(path)
    origin = stream.start_time or 0
    convert = to_rgb()
    if seeks:
        stored = packets_from(path, container, stream, origin + int((first + Fraction(1, 4)) / scale))
    else:
        stored = packets(path, container, stream)
    wanted = first
    for frame in _decoded(stored, stream):
        index = round(((frame.pts or 0) - origin) * scale)
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
    raise RobotroveError(str(path), missing(wanted))


def _decoded(stored: Iterator[av.Packet[VideoStream]], stream: VideoStream) -> Iterator[av.VideoFrame]:
    for packet in stored:
        yield from packet.decode()
    yield from stream.codec_context.decode(None)


def _problem(packet: av.Packet[VideoStream], index: int, ticks: int) -> str:
    if packet.pts != index * ticks:
        return f"frame {index} is shown at {packet.pts} instead of {index * ticks} (in units of {packet.time_base} s)"
    if packet.dts != packet.pts:
        return f"frame {index} is stored out of order (there are B-frames, or an edit list)"
    if packet.duration != ticks:
        return f"frame {index} lasts {packet.duration} instead of {ticks} (in units of {packet.time_base} s)"
    return _damage(packet, index)


def _problem_of_any(packet: av.Packet[VideoStream], order: Order, ticks: int) -> str:
    index, rest = divmod(packet.pts or 0, ticks)
    if rest or packet.pts is None:
        return f"a frame is shown at {packet.pts}, no multiple of {ticks} (in units of {packet.time_base} s)"
    first = not (order.complete or order.early)
    if not order.add(index):
        return f"frame {index} is stored twice, or shown before 0 s"
    if len(order.early) > _MAX_AHEAD:
        return missing(order.complete)
    if first and index:
        return f"frame {index} is stored first"
    return _damage(packet, index)


def _damage(packet: av.Packet[VideoStream], index: int) -> str:
    if packet.is_corrupt:
        return f"frame {index} is damaged"
    if index == 0 and not packet.is_keyframe:
        return "frame 0 is not a keyframe"
    return ""


def keyframes(path: Path, fps: int) -> list[int]:
    """Return the numbers of a file's keyframes in display order, ascending; nothing is decoded.

    Args:
        path: Video file at a constant rate (`probe` and `read_index` say whether it is so).
        fps: Frames per second.

    Raises:
        RobotroveError: If the file cannot be read, or a keyframe is at the time of no frame.
    """
    with open_track(path) as (container, stream):
        grid = Grid(path, stream, fps)
        return sorted(grid.frame(packet.pts) for packet in packets(path, container, stream) if packet.is_keyframe)

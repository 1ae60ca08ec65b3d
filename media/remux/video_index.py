"""Index of a video file: its encoding, frames and keyframes, without decoding."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from functools import lru_cache
from itertools import chain
from pathlib import Path

import av
import numpy as np
from av.video.stream import VideoStream
from numpy.typing import NDArray

from ...core.errors import RobotroveError
from ..mp4.boxes import SampleEntry, Unusual
from ..mp4.nal_units import read_keyframe
from ..mp4.sample_table import SampleTable, parameters_within, read_keyframes, read_table
from ..video.frame_times import Grid, Timed
from ..video.probe import VideoInfo, codec_name, listed_frames, missing, no_frames, open_track, packets, probe
from .clip import Encoding

_MOST_TIME = 1 << 58  # units of time; beyond it, times as numbers of frames could leave 64 bits


class VideoIndex:
    """The frames of a file by number in display order, counted from 0; see `read_index`.

    Keeps about 20 bytes per frame.

    Attributes:
        frames: Number of frames.
        start: Number of the frame that the time of the first one stands for: 0 normally.
        rate: Frames per second, if it is another constant rate than was asked for.
        encoding: How they are encoded.
        is_shortened: True if an edit list hides frames that are stored; the others are counted.
    """

    def __init__(self, times: _Times, encoding: Encoding, stored: _Stored, *, is_shortened: bool = False) -> None:
        order = times.order
        self.frames = len(order)
        self.start, self.rate = times.start, times.rate
        self.encoding = encoding
        self.is_shortened = is_shortened
        positions = np.arange(self.frames)
        # Boundary b is clean if the frames stored before it are those shown before it.
        self._clean = np.ones(self.frames + 1, bool)
        self._clean[1:] = np.maximum.accumulate(order) == positions
        self._begins = stored.closed & (order == positions) & self._clean[:-1]
        self._foreign = _sums(stored.foreign.astype(np.int32))
        self._unreachable = [_sums(_unreachable(order, stored, is_depth)) for is_depth in (False, True)]
        sizes = np.empty_like(stored.sizes)
        sizes[order] = stored.sizes
        self._bytes = _sums(sizes)

    def is_copyable(self, first: int, frames: int) -> bool:
        """Return True if a run of frames can be copied: it begins at a closed keyframe, and ends cleanly.

        Args:
            first: Its first frame.
            frames: Number of frames, at least 1.
        """
        end = first + frames
        return (
            0 <= first < end <= self.frames
            and bool(self._begins[first])
            and bool(self._clean[end])
            and bool(self._foreign[first] == self._foreign[end])
        )

    def unreachable(self, first: int, frames: int, *, is_depth: bool = False) -> int:
        """Return how many of a run of frames a reader that seeks to a frame's time does not get as they are.

        FFmpeg seeks by the time of storing, and ends at the last keyframe stored before. Frames stored after
        that one and shown before it cannot be decoded then (open GOPs, B-frames of MPEG-4), nor those after a
        keyframe that refreshes the picture part by part. LeRobot 0.3.3 to 0.6.1 seeks so, with PyAV and with
        torchcodec in mode "approximate". Only 0.6 reads depth, with PyAV, and seeks to a time just before
        the frame: one that follows its keyframe at once is reached (0.6.1, decode_video_frames_pyav).
        """
        inside = np.clip([first, first + frames], 0, self.frames)
        return int(np.diff(self._unreachable[is_depth][inside])[0])

    def size(self, first: int, frames: int) -> int:
        """Return the bytes that a run of frames takes, without what the container adds."""
        return int(self._bytes[first + frames] - self._bytes[first])


def encoding_of(stream: VideoStream) -> Encoding:
    """Return how a stream is encoded."""
    context = stream.codec_context
    digest = hashlib.sha256(context.extradata or b"").hexdigest()[:16]
    return Encoding(codec_name(stream), context.width, context.height, str(context.pix_fmt), digest)


def encoding_at(path: Path) -> Encoding:
    """Return how a file is encoded; RobotroveError if it is no video."""
    with open_track(path) as (_, stream):
        return encoding_of(stream)


def encoding_of_table(table: SampleTable) -> Encoding:
    """Return the same as `encoding_of` for a file by its tables; files encoded alike are opened once.

    Raises:
        Unusual: If its frames may have other parameters than its sample entry.
        RobotroveError: If it is no video.
    """
    return _encoding_of_entry(table.entry, parameters_within(table))


@lru_cache(maxsize=64)
def _encoding_of_entry(entry: SampleEntry, within: bytes) -> Encoding:
    # `within` tells files apart that have the same entry.
    with open_track(entry.path) as (container, stream):
        encoding = encoding_of(stream)
        first = next(packets(entry.path, container, stream), None)
        if first is None or not first.is_keyframe or stream.codec_context.pix_fmt is None:
            raise Unusual  # FFmpeg can make nothing of the parameters
        if (encoding.codec, stream.codec_context.extradata) != (entry.codec, entry.parameters):
            raise Unusual
        return encoding


def read_index(path: Path, fps: int) -> VideoIndex:
    """Read where each frame is; nothing is decoded.

    Args:
        path: Video file with frames at a constant rate. The first one may be shown at any time,
            frames may be stored in another order than shown, and times may be rounded. An edit list may hide some.
        fps: Frames per second that are expected; see `VideoIndex.rate` for a file at another rate.

    Raises:
        RobotroveError: If it is no video, is damaged or incomplete, or a frame is missing or doubled or
            more than a quarter of a frame away from its time.
    """
    try:
        return _listed(path, fps)
    except Unusual:
        return _demuxed(path, fps)


def _listed(path: Path, fps: int) -> VideoIndex:
    """Return what the file's tables say; Unusual if that is not enough."""
    table = read_table(path)
    encoding = encoding_of_table(table)
    places = np.flatnonzero(table.keyframes)
    closed, foreign = np.zeros((2, len(table.sizes)), bool)
    inexact = np.zeros(len(table.sizes), np.int64)
    closed[places], own, inexact[places] = read_keyframes(table, places)
    foreign[places] = ~own
    stored = _Stored(table.pts, table.sizes, closed, foreign, table.keyframes, inexact)
    return VideoIndex(_times(path, table, table.pts, fps), encoding, stored)


def _demuxed(path: Path, fps: int) -> VideoIndex:
    """Return what the packets say."""
    with open_track(path) as (container, stream):
        encoding = encoding_of(stream)
        rest = packets(path, container, stream)
        first = next(rest, None)
        if first is None:
            raise no_frames(path)
        if not first.is_keyframe:
            raise RobotroveError(
                str(path), "the first stored frame is not a keyframe", "a keyframe, where decoding can begin"
            )
        stored, is_shortened = _scanned(path, stream, chain([first], rest))
        if is_shortened:
            stored = _without_rest(path, stream, stored, fps)
        times = _times(path, stream, stored.pts, fps)
        frames, listed = len(times.order), listed_frames(path, stream)
        lasts = float((stream.duration or 0) * (stream.time_base or 0) * (times.rate or fps))  # by the edit list
        is_shortened = is_shortened or (frames < listed and abs(lasts - frames) < 1)
        if not is_shortened and listed not in (0, frames):
            raise RobotroveError(str(path), f"{frames} frames", f"{listed} frames, as its header says")
        return VideoIndex(times, encoding, stored, is_shortened=is_shortened)


def _without_rest(path: Path, stream: VideoStream, stored: _Stored, fps: int) -> _Stored:
    """Return what is stored but for frames after the first that is missing: FFmpeg cuts B-frames off so."""
    numbers = Grid(path, stream, fps).frames(stored.pts)
    shown = np.sort(numbers)
    kept = numbers < np.argmax(np.append(shown, -1) != np.arange(len(shown) + 1))
    return _Stored(*(getattr(stored, field.name)[kept] for field in fields(_Stored)))


@dataclass(frozen=True, slots=True)
class _Times:
    """Times of frames as numbers.

    Attributes:
        start: See `VideoIndex`.
        rate: See `VideoIndex`.
        order: (n,) int64, the number of each frame in the order in which they are stored.
    """

    start: int
    rate: Fraction | None
    order: NDArray[np.int64]


def _times(path: Path, track: Timed, pts: NDArray[np.int64], fps: int) -> _Times:
    """Return the numbers of frames at the rate that is expected, or at the file's own if that is constant."""
    try:
        return _at(Grid(path, track, fps), path, pts)
    except RobotroveError:
        span = int(pts.max() - pts.min())
        if not track.time_base or not 0 < span < _MOST_TIME // len(pts):
            raise
        grid = Grid(path, track, (len(pts) - 1) / (span * track.time_base))
        with suppress(RobotroveError):
            return replace(_at(grid, path, pts), rate=grid.rate)
        raise


def _at(grid: Grid, path: Path, pts: NDArray[np.int64]) -> _Times:
    order = grid.frames(pts)
    _check_complete(path, order)
    return _Times(grid.start, None, order)


@dataclass(frozen=True, slots=True)
class _Stored:
    """Packets in the order in which they are stored.

    Attributes:
        pts: (n,) int64, units of the stream's time base.
        sizes: (n,) int64, bytes.
        closed: (n,) bool, True for closed keyframes.
        foreign: (n,) bool, True for keyframes with parameters that are not the file's.
        keyframes: (n,) bool.
        inexact: (n,) int64, frames from a keyframe on that decoding which begins there does not give as they are.
    """

    pts: NDArray[np.int64]
    sizes: NDArray[np.int64]
    closed: NDArray[np.bool_]
    foreign: NDArray[np.bool_]
    keyframes: NDArray[np.bool_]
    inexact: NDArray[np.int64]


def _scanned(path: Path, stream: VideoStream, stored: Iterator[av.Packet[VideoStream]]) -> tuple[_Stored, bool]:
    """Return what the packets themselves say, but those that are not shown, and whether there are such."""
    codec, extradata = codec_name(stream), stream.codec_context.extradata or b""
    timed, has_hidden = True, False
    rows: list[tuple[int, int, bool, bool, bool, int]] = []
    for packet in stored:
        if packet.is_corrupt or packet.pts is None:
            raise RobotroveError(str(path), f"packet {len(rows)} is damaged", "a complete mp4 file")
        if packet.is_discard:
            has_hidden = True
            continue
        closed, foreign, inexact = False, False, 0
        if packet.is_keyframe:
            keyframe = read_keyframe(codec, extradata, memoryview(packet))
            closed, foreign, inexact = keyframe.closed, not keyframe.own, keyframe.inexact
        timed = timed and packet.dts is not None  # Matroska has no times of decoding
        rows.append((packet.pts, packet.size, closed, foreign, packet.is_keyframe, inexact))
    pts, sizes, closes, foreigns, keys, begins = np.array(rows, np.int64).reshape(-1, 6).T
    usable = timed and not has_hidden
    found = _Stored(
        pts, sizes, closes.astype(bool) & usable, foreigns.astype(bool), keys.astype(bool) & (not has_hidden), begins
    )
    return found, has_hidden


def _unreachable(order: NDArray[np.int64], stored: _Stored, is_depth: bool) -> NDArray[np.int64]:
    """Return 1 for each frame that `VideoIndex.unreachable` counts, 0 for any other."""
    places = np.flatnonzero(stored.keyframes)
    shown = order[places]
    # The frames stored before a keyframe are as many as its place: of those shown before it, the rest comes after it.
    begins = np.concatenate([places + is_depth, shown])
    ends = np.concatenate([shown, shown + stored.inexact[places]]).clip(max=len(order))
    marks = np.zeros(len(order) + 1, np.int64)
    is_span = begins < ends
    np.add.at(marks, begins[is_span], 1)
    np.add.at(marks, ends[is_span], -1)
    return (np.cumsum(marks[:-1]) > 0).astype(np.int64)


def _check_complete(path: Path, order: NDArray[np.int64]) -> None:
    found = np.sort(order)
    wrong = np.flatnonzero(found != np.arange(len(found)))
    if wrong.size:
        place, frame = int(wrong[0]), int(found[wrong[0]])
        problem = missing(place) if frame > place else f"frame {frame} exists more than once"
        if frame < 0:
            problem = f"{-frame} frames are shown before the first one that is stored"
        raise RobotroveError(str(path), problem, "each frame once, at a constant rate")


def _sums(values: NDArray[np.int64] | NDArray[np.int32]) -> NDArray[np.int64]:
    """Return the sums of the first 0, 1, … n values."""
    sums = np.zeros(len(values) + 1, np.int64)
    np.cumsum(values, out=sums[1:])
    return sums


def prove(path: Path, frames: int, fps: int) -> None:
    """Make sure that a file begins with a keyframe, and has frame k at exactly k/fps s, for k below `frames`.

    An ordinary file is proven by its tables and the first bytes of its keyframes, any other packet by packet.

    Raises:
        RobotroveError: See `probe`.
    """
    try:
        is_proven = len(_proven(path, fps).sizes) == frames
    except Unusual:
        is_proven = False
    if not is_proven:
        probe(path, expected_frames=frames, fps=fps, in_order=False)


def survey(path: Path, fps: int) -> VideoInfo:
    """Return what `probe` does where frames may be stored in any order, without demuxing an ordinary file.

    Raises:
        RobotroveError: See `probe`.
    """
    try:
        table = _proven(path, fps)
        kind = encoding_of_table(table)
    except Unusual:
        return probe(path, fps=fps, in_order=False)
    keyframes = tuple(np.sort(_frames(table, fps)[table.keyframes]).tolist())
    return VideoInfo(len(table.sizes), kind.width, kind.height, Fraction(fps), kind.codec, kind.pix_fmt, keyframes)


def _proven(path: Path, fps: int) -> SampleTable:
    """Return the tables of a file with frame k at exactly k/fps s; Unusual if they do not prove that."""
    table = read_table(path)
    # Bytes at the wrong place would look like anything but keyframes.
    parameters_within(table)
    _, own, _ = read_keyframes(table, np.flatnonzero(table.keyframes))
    frames = _frames(table, fps)
    is_exact = np.array_equal(frames * table.time_base.denominator, table.pts * (table.time_base.numerator * fps))
    is_whole = np.array_equal(np.sort(frames), np.arange(len(frames)))
    if not (is_exact and is_whole and table.pts[0] == 0 and table.keyframes[0] and own.all()):
        raise Unusual
    return table


def _frames(table: SampleTable, fps: int) -> NDArray[np.int64]:
    """Return the number of each frame in the order in which they are stored: (n,)."""
    return table.pts * (table.time_base.numerator * fps) // table.time_base.denominator

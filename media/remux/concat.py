"""Concatenation and cutting of videos without re-encoding."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from fractions import Fraction
from itertools import dropwhile, groupby
from pathlib import Path
from types import TracebackType

import av
from av.video.stream import VideoStream

from ...core.errors import RobotroveError
from ..mp4.nal_units import has_units, read_keyframe
from ..video.frame_times import Grid
from ..video.probe import Order, open_track, packets, packets_from
from .clip import Clip, Encoding
from .concat_mp4 import join_tables, split_tables
from .video_index import encoding_of


class NotCopyable(RobotroveError):
    """A clip with packets that cannot be copied."""

    def __init__(self, clip: Clip, why: str) -> None:
        action = "re-encode this clip, or cut at the keyframe of a closed GOP"
        super().__init__(str(clip.path), f"{clip} cannot be copied: {why}", todo=action)


def join(clips: Sequence[Clip], out: Path, fps: int, faststart: bool = False) -> None:
    """Copy the frames of clips one after the other into one mp4 file, frame k at exactly k/fps s.

    Every clip decodes to the same pixels as in its own file, whatever its rate there. Where all files are
    ordinary mp4 files (`read_table` says which), bytes are copied without looking at packets; all others are
    read packet by packet. Each run of clips of one file is read in one pass, with one source open at a time; the
    bytes written depend on the clips only.

    Args:
        clips: Pieces in the order wanted, at least one.
        out: File to write; overwritten.
        fps: Frames per second, of the sources too if a clip says no other.
        faststart: Put the index before the frames, so that players can start before all has arrived.

    Raises:
        NotCopyable: If a clip does not begin at the keyframe of a closed GOP, frames of it are stored
            among others, or it is encoded otherwise than the first one.
        RobotroveError: If a file is no video, is damaged, or has fewer frames than said.
    """
    if not clips:
        raise RobotroveError(str(out), "no clip to concatenate")
    if join_tables(clips, out, fps, faststart):
        return
    delay = 0
    while True:
        try:
            with _Output(out, fps, faststart, delay) as output, closing(_pieces(clips, fps)) as pieces:
                for piece in pieces:
                    output.append(piece)
            return
        except _FurtherAhead as exc:  # rare: the first clip is too short to have all that its parameters allow
            delay = exc.frames


def split(pieces: Sequence[tuple[Clip, Path]], fps: int, faststart: bool = False) -> None:
    """Copy each clip into an mp4 file of its own, frame i at exactly i/fps s.

    Clips of one file that follow each other are read in one pass.

    Args:
        pieces: Clips, in any order, and the file to write for each; overwritten.
        fps: Frames per second, of the sources too if a clip says no other.
        faststart: See `join`.

    Raises:
        NotCopyable: See `join`. Files of clips before that one are complete.
        RobotroveError: See `join`.
    """
    if split_tables(pieces, fps, faststart):
        return
    with closing(_pieces([clip for clip, _ in pieces], fps)) as sources:
        for number, (piece, (clip, out)) in enumerate(zip(sources, pieces, strict=True)):
            try:
                with _Output(out, fps, faststart) as output:
                    output.append(piece)
            except _FurtherAhead:
                join([clip], out, fps, faststart)
                split(pieces[number + 1 :], fps, faststart)
                return


@dataclass(frozen=True, slots=True)
class _Piece:
    """A clip, and its file read up to it."""

    clip: Clip
    track: VideoStream
    grid: Grid
    encoding: Encoding
    stored: Iterator[av.Packet[VideoStream]]


def _pieces(clips: Sequence[Clip], fps: int) -> Generator[_Piece, None, None]:
    """Yield each clip, to be read before the next is asked for; files are sought only where clips do not follow on."""
    for (path, rate), group in groupby(clips, key=lambda clip: (clip.path, clip.rate)):
        with open_track(path) as (source, track):
            grid = Grid(path, track, rate or fps)
            encoding = encoding_of(track)
            stored = packets(path, source, track)
            position = 0
            for clip in group:
                if clip.first != position:
                    stored = _from(clip, grid, packets_from(path, source, track, grid.pts_within(clip.first)))
                yield _Piece(clip, track, grid, encoding, stored)
                position = clip.first + clip.frames


def _from(clip: Clip, grid: Grid, stored: Iterator[av.Packet[VideoStream]]) -> Iterator[av.Packet[VideoStream]]:
    # Where frames are stored less ahead than elsewhere in the file, seeking ends at an earlier keyframe.
    return dropwhile(lambda packet: grid.frame(packet.pts) < clip.first, stored)


class _FurtherAhead(Exception):
    """A frame is stored further ahead of its time than the first clip said; `frames` is how far."""

    def __init__(self, frames: int) -> None:
        self.frames = frames


class _Output:
    """An mp4 file to which clips are appended; frames are stored at least `delay` frames ahead of their time."""

    def __init__(self, out: Path, fps: int, faststart: bool, delay: int = 0) -> None:
        options = {"movflags": "+faststart"} if faststart else {}
        self._container = av.open(str(out.absolute()), "w", format="mp4", options=options)
        self._tick = Fraction(1, fps)
        self._written = 0
        self._stream: VideoStream | None = None
        self._least = delay
        self._delay: int | None = None  # frames between storing and showing, the same for the whole file

    def __enter__(self) -> _Output:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self._container.close()

    def append(self, piece: _Piece) -> None:
        """Write the packets of a clip, in the order in which they are stored."""
        target = self._target(piece)
        base, tick, mux = self._written, self._tick, self._container.mux_one
        for position, (offset, packet) in enumerate(_checked(piece)):
            if self._delay is None:
                self._delay = max(_delay(piece, packet), self._least)
            ahead = position - self._delay
            if ahead > offset:
                raise _FurtherAhead(position - offset)
            packet.stream = target
            packet.pts = base + offset
            packet.dts = base + ahead
            packet.duration = 1
            packet.time_base = tick
            mux(packet)
        self._written += piece.clip.frames

    def _target(self, piece: _Piece) -> VideoStream:
        if self._stream is None:
            # "opaque" copies the parameters as they are instead of looking for an encoder.
            self._stream = self._container.add_stream_from_template(piece.track, opaque=True)
            self._stream.time_base = self._tick
            self._encoding = piece.encoding
        elif piece.encoding != self._encoding:
            mine, first = _facts(piece.encoding), _facts(self._encoding)
            notes = [f"{name} {mine[name]} instead of {first[name]}" for name in mine if mine[name] != first[name]]
            raise NotCopyable(piece.clip, f"its encoding differs from the first clip's: {', '.join(notes)}")
        return self._stream


def _delay(piece: _Piece, first: av.Packet[VideoStream]) -> int:
    """Return how many frames ahead a clip is stored, given its first packet."""
    delay = piece.grid.delay(first.pts, first.dts)
    if delay is None:
        raise NotCopyable(piece.clip, "its file has no decoding times of frames")
    return delay


def _checked(piece: _Piece) -> Iterator[tuple[int, av.Packet[VideoStream]]]:
    """Yield the packets of a clip, each with the number of its frame in it, if they are just its frames."""
    clip, frame_at = piece.clip, piece.grid.frame
    codec, extradata = piece.encoding.codec, piece.track.codec_context.extradata or b""
    units = has_units(codec)
    order = Order()
    for position in range(clip.frames):
        packet = next(piece.stored, None)
        if packet is None:
            raise RobotroveError(str(clip.path), f"it ends before frame {clip.first + position}", f"{clip} in it")
        if packet.is_corrupt:
            raise RobotroveError(str(clip.path), f"packet {position} of {clip} is damaged", "a complete mp4 file")
        offset = frame_at(packet.pts) - clip.first
        if position == 0 and not (packet.is_keyframe and offset == 0):
            raise NotCopyable(clip, f"frame {clip.first} is not a keyframe")
        if units and packet.is_keyframe:
            facts = read_keyframe(codec, extradata, memoryview(packet))
            if position == 0 and not facts.closed:
                raise NotCopyable(clip, f"frame {clip.first} is not a keyframe of a closed GOP")
            if not facts.own:
                raise NotCopyable(clip, f"frame {clip.first + offset} has parameters other than those of its file")
        if offset >= clip.frames or not order.add(offset):
            raise NotCopyable(clip, f"frame {clip.first + offset} is stored among its frames")
        yield offset, packet


def _facts(encoding: Encoding) -> dict[str, str]:
    facts = {name: str(value) for name, value in asdict(encoding).items()}
    return {"size": f"{facts.pop('width')}x{facts.pop('height')}", **facts}

"""Videos made of pieces of others, without re-encoding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby
from pathlib import Path

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from ..core.errors import RobotroveError
from .track import codec_name, open_track, packets, ticks_per_frame


@dataclass(frozen=True, slots=True)
class Clip:
    """A run of frames of one file that begins at a keyframe.

    Attributes:
        path: Video file.
        first: Index of the first frame.
        frames: Number of frames.
    """

    path: Path
    first: int
    frames: int


def join(clips: Sequence[Clip], out: Path, fps: int, faststart: bool = False) -> None:
    """Copy the frames of clips one after the other into one mp4 file, frame k at exactly k/fps s.

    Every clip decodes to the same pixels as in its own file, provided that GOPs are closed there.
    Reads each run of clips of one file in one pass, with one source open at a time; the bytes
    written depend on the clips only.

    Args:
        clips: Pieces in the order wanted, at least one.
        out: File to write; overwritten.
        fps: Frames per second, of the sources too.
        faststart: Put the index before the frames, so that players can start before all has arrived.

    Raises:
        RobotroveError: If a clip does not begin at a keyframe, has fewer frames than said, or is
            encoded otherwise than the first one.
    """
    if not clips:
        raise RobotroveError(str(out), "there is no clip to join")
    tick = Fraction(1, fps)
    options = {"movflags": "+faststart"} if faststart else {}
    written = 0
    facts: dict[str, str] = {}
    with av.open(str(out.absolute()), "w", format="mp4", options=options) as container:
        for path, group in groupby(clips, key=lambda clip: clip.path):
            with open_track(path) as (source, track):
                if not facts:
                    facts = _facts(track)
                    # "opaque" copies the parameters as they are instead of looking for an encoder.
                    target = container.add_stream_from_template(track, opaque=True)
                    target.time_base = tick
                _check_same(path, facts, _facts(track))
                for packet in _packets(source, track, list(group), fps):
                    packet.stream = target
                    packet.pts = packet.dts = written
                    packet.duration = 1
                    packet.time_base = tick
                    container.mux_one(packet)
                    written += 1


def _packets(
    source: InputContainer, track: VideoStream, clips: list[Clip], fps: int
) -> Iterator[av.Packet[VideoStream]]:
    """Yield the packets of clips of one file; the file is sought only where clips do not follow on."""
    path = clips[0].path
    ticks = ticks_per_frame(path, track, fps)
    stored = packets(path, source, track)
    position = 0
    for clip in clips:
        if clip.first != position:
            source.seek(clip.first * ticks, stream=track)
            stored = packets(path, source, track)
        for index in range(clip.first, clip.first + clip.frames):
            packet = next(stored, None)
            if packet is None:
                raise RobotroveError(str(path), f"it ends before frame {index}", f"{_text(clip)} in it")
            if index == clip.first and not (packet.is_keyframe and packet.pts == index * ticks):
                raise RobotroveError(
                    str(path),
                    f"{_text(clip)} cannot be copied: frame {index} is no keyframe",
                    action="encode this clip again, or cut at a keyframe",
                )
            if packet.pts != index * ticks or packet.dts != packet.pts:
                raise RobotroveError(
                    str(path),
                    f"frame {index} is shown at {packet.pts} and stored at {packet.dts}",
                    f"both at {index * ticks} (in units of {track.time_base} s)",
                )
            yield packet
        position = clip.first + clip.frames


def _text(clip: Clip) -> str:
    return f"the clip of frames {clip.first} to {clip.first + clip.frames - 1}"


def _facts(track: VideoStream) -> dict[str, str]:
    context = track.codec_context
    return {
        "codec": codec_name(track),
        "size": f"{context.width}x{context.height}",
        "pix_fmt": str(context.pix_fmt),
        "extradata": (context.extradata or b"").hex(),
    }


def _check_same(path: Path, expected: dict[str, str], found: dict[str, str]) -> None:
    notes = [f"{name} {found[name]} instead of {expected[name]}" for name in expected if found[name] != expected[name]]
    if notes:
        raise RobotroveError(
            str(path),
            "encoded otherwise than the first clip: " + ", ".join(notes),
            "the same encoder and settings for all clips of one file",
            "encode this clip again with the settings of the others",
        )

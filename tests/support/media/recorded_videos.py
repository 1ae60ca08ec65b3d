"""Videos as others write them, every frame with its number in it, and LeRobot's way to put them together."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from robotrove.formats.hdf5.samples.pictures import draw_marker, read_marker
from robotrove.media.encode.pyav_encoder import own_priority
from robotrove.media.video.probe import iter_frames

FPS = 30
GROUPS = {"g": "12", "bf": "3"}
# Name: codec, options. All but the first two have frames stored in another order than shown, or a delay.
KINDS: dict[str, tuple[str, dict[str, str]]] = {
    "av1": ("libsvtav1", {"g": "2", "crf": "30", "preset": "12"}),
    "h264 in order": ("libx264", {"g": "2", "bf": "0", "sc_threshold": "0"}),
    "h264 of LeRobot": ("libx264", {"g": "2", "crf": "30"}),
    "h264 B-frames": ("libx264", {**GROUPS, "x264-params": "b-pyramid=normal:scenecut=0:b-adapt=0"}),
    "h264 open GOPs": ("libx264", {**GROUPS, "x264-params": "open-gop=1:scenecut=0:b-adapt=0"}),
    "hevc closed GOPs": ("libx265", {"x265-params": "log-level=none:pools=1:keyint=7:open-gop=0"}),
    "hevc open GOPs": ("libx265", {"x265-params": "log-level=none:pools=1:keyint=12:min-keyint=12"}),
}


def record(
    path: Path,
    kind: str,
    count: int,
    *,
    number: int = 0,
    camera: int = 0,
    first: int = 0,
    time_base: Fraction = Fraction(1, FPS),
    **changes: str,
) -> Path:
    """Write frames `number`, `number` + 1 … of a camera; the first one is shown at `first` / FPS s."""
    codec, options = KINDS[kind]
    if codec not in av.codecs_available:
        pytest.skip(f"PyAV has no {codec}")
    threads = {"svtav1-params": "lp=1"} if codec == "libsvtav1" else {"threads": "1"}
    with own_priority(), av.open(str(path), "w") as out:
        stream = out.add_stream(codec, FPS, options=options | threads | changes)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        stream.codec_context.time_base = time_base
        for index in range(count):
            image = np.full((64, 64, 3), 80 + index % 7, np.uint8)
            draw_marker(image, number + index, camera)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.time_base = time_base
            frame.pts = round(Fraction(first + index, FPS) / time_base)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def concatenate(paths: Sequence[Path], out: Path) -> Path:
    """Put videos one after the other with FFmpeg's concat demuxer, as LeRobot 0.4 does."""
    listing = out.with_suffix(".ffconcat")
    listing.write_text("ffconcat version 1.0\n" + "".join(f"file '{path}'\n" for path in paths))
    with (
        av.open(str(listing), format="concat", options={"safe": "0"}) as source,
        av.open(str(out), "w", options={"movflags": "faststart"}) as target,
    ):
        track = source.streams.video[0]
        stream = target.add_stream_from_template(track, opaque=True)
        stream.time_base = track.time_base
        for packet in source.demux(track):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    return out


def numbers(path: Path, first: int = 0, count: int | None = None) -> list[int]:
    """Return the numbers in the pixels of frames."""
    return [read_marker(frame)[0] for frame in iter_frames(path, first, count)]

"""Clips of moving pictures in ways that a seek reaches, or not; and a reader that seeks, written as LeRobot's."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

HEIGHT, WIDTH, BITS = 48, 64, 8
_X265 = "log-level=none:pools=1:bframes=3"
# Name: codec, options, options of the container.
REACHABLE: dict[str, tuple[str, dict[str, str], dict[str, str]]] = {
    "h264 in order": ("libx264", {"g": "12", "bf": "0"}, {}),
    "h264 B-frames, closed": ("libx264", {"x264-params": "open-gop=0:keyint=12:bframes=3"}, {}),
    "hevc closed": ("libx265", {"x265-params": f"{_X265}:open-gop=0:keyint=12"}, {}),
    "mpeg4 in order": ("mpeg4", {"g": "12", "bf": "0"}, {}),
    "fragments": ("libx264", {"g": "12", "bf": "0"}, {"movflags": "frag_keyframe+empty_moov"}),
}
UNREACHABLE: dict[str, tuple[str, dict[str, str], dict[str, str]]] = {
    "h264 open": ("libx264", {"g": "6", "bf": "3", "x264-params": "open-gop=1:scenecut=0:b-adapt=0"}, {}),
    "hevc open": ("libx265", {"x265-params": f"{_X265}:open-gop=1:keyint=6:min-keyint=6:b-adapt=0:scenecut=0"}, {}),
    "mpeg4 B-frames": ("mpeg4", {"g": "6", "bf": "2"}, {}),
    "mpeg2 B-frames": ("mpeg2video", {"g": "6", "bf": "2"}, {}),
    "h264 intra refresh": ("libx264", {"g": "8", "bf": "0", "x264-params": "intra-refresh=1"}, {}),
}


def picture(number: int) -> np.ndarray:
    """Return a moving picture; white and black blocks in its first rows say its number."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    pixels = np.stack([x + 3 * number, 2 * y + number, x + y + 5 * number], -1).astype(np.uint8)
    for bit in range(BITS):
        pixels[:16, bit * 8 : bit * 8 + 8] = 255 * (number >> bit & 1)
    return pixels


def number_in(frame: av.VideoFrame) -> int:
    grey = frame.to_ndarray(format="gray")[4:12]
    return sum(int(grey[:, bit * 8 + 2 : bit * 8 + 6].mean() > 127) << bit for bit in range(BITS))


def write_clip(path: Path, kind: str, numbers: Sequence[int], fps: int) -> Path:
    """Encode the pictures of some numbers; written over what is there."""
    codec, options, container = (REACHABLE | UNREACHABLE)[kind]
    with av.open(str(path), "w", format="mp4", options=container) as out:
        stream = out.add_stream(codec, rate=fps, options={"crf": "18", "threads": "1"} | options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        if codec.startswith("mpeg"):
            stream.codec_context.bit_rate = 4_000_000
        for place, number in enumerate(numbers):
            frame = av.VideoFrame.from_ndarray(picture(number), format="rgb24")
            frame.pts, frame.time_base = place, Fraction(1, fps)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def write_depth(path: Path, keyint: int, frames: int, fps: int) -> Path:
    """Encode depth as LeRobot 0.6 does, with a keyframe at least every so many frames."""
    with av.open(str(path), "w") as out:
        options = {"g": str(keyint), "crf": "30", "x265-params": "lossless=1:log-level=none:pools=1"}
        stream = out.add_stream("libx265", rate=fps, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "gray12le"
        for number in range(frames):
            grey = picture(number)[..., 0].astype(np.uint16) * 16
            frame = av.VideoFrame.from_ndarray(grey, format="gray12le")
            frame.pts, frame.time_base = number, Fraction(1, fps)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def played(path: Path) -> list[int]:
    """Return the numbers of all frames, decoded from the first to the last."""
    with av.open(str(path)) as container:
        return [number_in(frame) for frame in container.decode(video=0)]


def lost_frames(path: Path, fps: int, *, is_depth: bool = False) -> list[int]:
    """Return the frames that a seek to their time does not give as playing does; of depth, one tick before it."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        right = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        lost = []
        for place, pixels in enumerate(right):
            if is_depth:  # lerobot 0.6.1, decode_video_frames_pyav
                container.seek(round(place / fps / stream.time_base) - 1, any_frame=False, stream=stream)
            else:
                container.seek(round(place / fps * 1e6), any_frame=False)
            frame = next((one for one in container.decode(video=0) if one.time > place / fps - 1e-4), None)
            if frame is None or frame.time > place / fps + 1e-4 or (frame.to_ndarray(format="rgb24") != pixels).any():
                lost.append(place)
    return lost

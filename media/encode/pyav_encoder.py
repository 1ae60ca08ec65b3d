"""The default encoder: PyAV, in this process."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
from av.container import OutputContainer
from av.video.stream import VideoStream

from ...core.columns import Array
from ...core.errors import EpisodeRejected, UsageError
from ..image.pixels import rgb_frame, to_bt601
from .encoder import Encoder, single_frames
from .settings import codec_options, odd_size


class PyavEncoder(Encoder):
    """Encodes with the FFmpeg libraries that PyAV brings."""

    def encode(self, path: Path, frames: Iterator[Array], *, width: int, height: int, fps: int) -> int:
        """See Encoder.encode."""
        self.settings.check_size(width, height)
        convert = to_bt601(self.settings.pix_fmt)
        count = 0
        with av.open(str(path.absolute()), "w", format="mp4") as container:
            try:
                stream = self._open_stream(container, width, height, fps)
            except av.error.FFmpegError as exc:
                raise self._refused(width, height, fps, exc) from exc
            try:
                for image in single_frames(frames, width, height):
                    frame = convert(rgb_frame(image))
                    frame.pts = count
                    container.mux(stream.encode(frame))
                    count += 1
            except BaseException:
                # SVT-AV1 must be told that its input has ended. Nothing is muxed: where the header could
                # not be written (disk full), PyAV would write it again and crash the process.
                stream.encode(None)
                raise
            container.mux(stream.encode(None))
        return count

    def check_available(self) -> None:
        """Raise UsageError if PyAV has no such codec, or it does not take the settings."""
        settings = self.settings
        try:
            with av.open(io.BytesIO(), "w", format="mp4") as container:
                context = self._open_stream(container, 64, 64, 30).codec_context
                unknown = set(context.options)  # avcodec_open2 leaves behind what it did not know
        except (av.error.FFmpegError, av.codec.codec.UnknownCodecError, ValueError) as exc:
            raise UsageError(
                f"codec {settings.codec}",
                f"PyAV {av.__version__} cannot encode with {settings}: {exc}",
                "libsvtav1 or libx264",
                "choose one of these, or `encoder: ffmpeg` with an ffmpeg program that has the codec",
            ) from exc
        if unknown:
            raise UsageError(
                f"codec {settings.codec}",
                f"PyAV {av.__version__} has no option {', '.join(sorted(unknown))} for it",
                "libsvtav1 or libx264",
                "choose one of these, or `encoder: ffmpeg`",
            )

    def version(self) -> str:
        """Return the versions of PyAV and of the libraries in it."""
        parts = [f"pyav {av.__version__}"]
        for name in ("libavcodec", "libavformat", "libswscale"):
            parts.append(f"{name} {'.'.join(map(str, av.library_versions[name]))}")
        return ", ".join(parts)

    def _open_stream(self, container: OutputContainer, width: int, height: int, fps: int) -> VideoStream:
        options = codec_options(self.settings)
        stream = cast(VideoStream, container.add_stream(self.settings.codec, rate=fps, options=options))
        stream.width, stream.height, stream.pix_fmt = width, height, self.settings.pix_fmt
        stream.codec_context.time_base = Fraction(1, fps)
        with own_priority():
            stream.codec_context.open()
        return stream

    def _refused(self, width: int, height: int, fps: int, why: Exception) -> EpisodeRejected:
        if width % 2 or height % 2:
            return odd_size(self.settings.codec, width, height)
        detail = f"{self.settings.codec} refuses {width}x{height} pixels at {fps} fps: {why}"
        return EpisodeRejected("not_encodable", detail)


@contextmanager
def own_priority() -> Iterator[None]:
    """Take back the real-time priority that a library gives all threads of this process while the block runs.

    SVT-AV1 does so where it may, that is as root, as in most containers. Nothing else on the machine then runs: neither
    the heartbeat of another process nor the daemons of a cluster.
    """
    is_known = hasattr(os, "sched_getscheduler") and os.path.isdir("/proc/self/task")
    before = os.sched_getscheduler(0) if is_known else None
    try:
        yield
    finally:
        if before is not None and before != os.SCHED_FIFO:
            _take_back(before)


def _take_back(policy: int) -> None:
    for thread in os.listdir("/proc/self/task"):
        with suppress(OSError):  # it has just ended
            if os.sched_getscheduler(int(thread)) == os.SCHED_FIFO:
                os.sched_setscheduler(int(thread), policy, os.sched_param(0))

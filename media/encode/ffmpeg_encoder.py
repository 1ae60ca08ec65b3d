"""Encoder for system builds of FFmpeg with other codecs: frames go to its program over a pipe."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING

import ffmpeg

from ...core.columns import Array
from ...core.errors import EpisodeRejected, RobotroveError, UsageError
from .encoder import Encoder, single_frames
from .settings import VideoSettings, codec_options, odd_size

if TYPE_CHECKING:
    from ..image.pixels import Pixels


class FfmpegEncoder(Encoder):
    """Encodes with the `ffmpeg` program found on the PATH."""

    def encode(self, path: Path, frames: Iterator[Array], *, width: int, height: int, fps: int) -> int:
        """See Encoder.encode; also raises RobotroveError if the program fails."""
        self.settings.check_size(width, height)
        if refusal := _trial(self.settings, width, height):
            if width % 2 or height % 2:
                raise odd_size(f"{self.settings.codec} of this ffmpeg", width, height)
            raise EpisodeRejected("not_encodable", f"ffmpeg refuses {width}x{height} pixels: {refusal}")
        command = _command(self.settings, str(path.absolute()), "mp4", width, height, fps)
        with TemporaryFile() as log:
            # Unbuffered: nothing is left to be flushed into the pipe of a process that has ended.
            with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=log, bufsize=0) as process:
                assert process.stdin is not None
                count = 0
                try:
                    for image in single_frames(frames, width, height):
                        if not _write_all(process.stdin, image):
                            break
                        count += 1
                except BaseException:
                    process.kill()
                    raise
            if process.returncode:
                raise RobotroveError(str(path), f"ffmpeg ended with status {process.returncode}: {_tail(log)}")
        return count

    def check_available(self) -> None:
        """Raise UsageError if there is no ffmpeg program, or it cannot encode with the settings."""
        if shutil.which("ffmpeg") is None:
            raise UsageError(
                "encoder ffmpeg",
                "the program `ffmpeg` is missing on PATH",
                todo="install FFmpeg (apt install ffmpeg, module load ffmpeg), or use `encoder: pyav`",
            )
        if refusal := _trial(self.settings, 64, 64):
            raise UsageError(
                f"codec {self.settings.codec}",
                f"ffmpeg cannot encode with {self.settings}: {refusal}",
                "a video encoder listed by `ffmpeg -encoders`, with a preset and pix_fmt that it supports",
                "choose another codec, or install an FFmpeg that has it",
            )

    def version(self) -> str:
        """Return the first line of `ffmpeg -version`."""
        return subprocess.run(["ffmpeg", "-version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]


def _command(settings: VideoSettings, target: str, container: str, width: int, height: int, fps: int) -> list[str]:
    """Return the command that encodes raw frames of its standard input."""
    source = ffmpeg.input("pipe:0", format="rawvideo", pixel_format="rgb24", video_size=(width, height), framerate=fps)
    # The filter sws_scale would be inserted anyway, but with a matrix of its own choice.
    yuv = source.filter("scale", in_range="full", out_range="tv", out_color_matrix="bt601", flags="bilinear")
    sink = yuv.output(
        target, format=container, vcodec=settings.codec, pix_fmt=settings.pix_fmt, **codec_options(settings)
    )
    quiet = sink.global_args("-hide_banner", "-loglevel", "error", "-nostats", "-filter_threads", "1")
    command: list[str] = quiet.overwrite_output().compile()
    return command


@lru_cache(maxsize=64)
def _trial(settings: VideoSettings, width: int, height: int) -> str:
    """Encode one black frame to nowhere; return why that fails, empty if it does not.

    What a codec takes differs between versions: SVT-AV1 1.4 knows no odd sizes, 3.0 does.
    """
    command = _command(settings, "-", "null", width, height, 30)
    done = subprocess.run(command, input=bytes(width * height * 3), capture_output=True)
    return "" if done.returncode == 0 else _last_lines(done.stderr) or f"status {done.returncode}"


def _write_all(pipe: IO[bytes], image: Pixels) -> bool:
    """Write one frame; False if the program has ended, the reason is in its log."""
    rest = memoryview(image.data).cast("B")
    try:
        while rest:
            rest = rest[pipe.write(rest) :]
    except BrokenPipeError:
        return False
    return True


def _tail(log: IO[bytes]) -> str:
    log.seek(0)
    return _last_lines(log.read())


def _last_lines(stderr: bytes) -> str:
    return " | ".join(stderr.decode(errors="replace").strip().splitlines()[-4:])
